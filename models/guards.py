"""What keeps a lever from being pulled: too little reason, no leave, somebody else's hand on it."""

from __future__ import annotations

from dataclasses import dataclass

from models import words
from models.levers import Lever
from models.served import Answers, under
from topics import OUTCOMES
from topics.commands import Command, CommandKind, Outcome, OutcomeStatus
from topics.controls import Control
from topics.emission import Emission
from topics.fields import derive_id
from topics.incidents import Incident
from topics.policies import Policy
from topics.steering import SteeringAnswer


@dataclass(frozen=True, slots=True)
class Held:
    """A decision to do nothing."""

    why: str
    kind: CommandKind = CommandKind.HOLD
    silent: bool = False
    """All is as it should be: nobody needs to be told."""

    def told(self, incident: Incident, actor: str) -> Emission:
        """Return the decision as an outcome of no command."""
        return Emission(
            OUTCOMES,
            Outcome(
                id=derive_id("held", incident.id),
                time_ms=incident.time_ms,
                command_id=incident.id or derive_id("held", incident.incident, incident.time_ms),
                kind=self.kind,
                target=incident.subject,
                incident=incident.incident,
                actor=actor,
                status=OutcomeStatus.REFUSED,
                reason=words.sentence(self.why),
            ),
        )


def too_small(incident: Incident, lever: Lever, policy: Policy) -> Held | None:
    """Hold where the incident is not bad enough for the policy to act."""
    if incident.severity < policy.min_severity:
        least = policy.min_severity.name.lower()
        return Held(f"severity {incident.severity.name.lower()} is below {least}", lever.kind)
    if incident.impact_viewers < policy.min_impact_viewers:
        least = words.viewers(policy.min_impact_viewers)
        return Held(f"{words.viewers(incident.impact_viewers)} suffer, fewer than {least}", lever.kind)
    return None


def dry_run(incident: Incident, policy: Policy, approved: Control | None = None) -> str:
    """Return why a command may only be a dry run, or nothing.

    Args:
        approved: a person's word that lets it pass the blast radius.
    """
    if not policy.policy:
        return f"dry run: no policy allows {policy.allows}"
    if policy.dry_run:
        return f"dry run: policy {policy.policy} is one"
    most = policy.approval_over_viewers
    if most is not None and incident.impact_viewers > most and approved is None:
        return f"needs approval: more than {most:,.0f} viewers"
    return ""


def taken(incident: Incident, lever: Lever, answers: Answers) -> Held | None:
    """Hold where another incident has the audience: it is under one command at a time.

    One whose viewers are on their way back to the CDN that fails now gives it up.
    """
    answer = under(answers, lever.target, incident.time_ms)
    if answer is None or answer.incident == incident.incident or brings_back_to(answer, lever.away_from):
        return None
    return Held(f"{answer.audience} is under command {answer.command_id} already", lever.kind)


def brings_back_to(lease: Command | SteeringAnswer, cdn: str) -> bool:
    """Whether viewers return to `cdn` in steps under a command, or under the answer that obeys it."""
    return bool(lease.ramp and cdn) and lease.away_from == cdn
