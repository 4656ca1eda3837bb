"""How things stand: who is told what, for how long, why, whether it helps; what waits for a person."""

from __future__ import annotations

import msgspec

from config import Settings
from models.served import in_force
from models.steering_order import share_at
from playhead.steer.known import Known
from topics.commands import OutcomeStatus
from topics.incidents import IncidentState
from topics.steering import SteeringAnswer
from topics.verifications import Verdict


class AudienceStatus(msgspec.Struct, frozen=True):
    """What one audience is told now."""

    audience: str
    told: str
    share: float
    """Moved now, of the audience."""
    returning: bool
    ends_ms: int
    """When the default order is back unless the lease is renewed."""
    command: str
    incident: str
    state: str
    severity: str
    summary: str
    verdict: str
    flaps: int


class Waiting(msgspec.Struct, frozen=True):
    """An incident that lasts and about which nothing is done, with the reason."""

    incident: str
    severity: str
    viewers: float
    summary: str
    why: str
    approvable: bool
    """Whether a person's approval is all that lacks."""


class Status(msgspec.Struct, frozen=True):
    """All of it."""

    now_ms: int
    hands_off: str
    """Why nothing may be changed now; empty where it may."""
    audiences: list[AudienceStatus]
    waiting: list[Waiting]


def status_of(known: Known, settings: Settings) -> Status:
    """Return how things stand."""
    served = in_force(known.answers.values(), known.now_ms)
    around = known.around(settings)
    answered = {answer.incident for answer in served}
    return Status(
        now_ms=known.now_ms,
        hands_off=around.hands_off(known.now_ms, settings.policy),
        audiences=[_of(answer, known) for answer in sorted(served, key=lambda answer: answer.audience)],
        waiting=[
            _waiting(name, known)
            for name, incident in sorted(known.incidents.items(), key=lambda item: -item[1].severity)
            if incident.state is not IncidentState.RESOLVED and name not in answered
        ],
    )


def _of(answer: SteeringAnswer, known: Known) -> AudienceStatus:
    incident = known.incidents.get(answer.incident)
    found = known.verifications.get(answer.audience)
    verdict = found.verdict if found is not None and found.incident == answer.incident else Verdict.UNKNOWN
    return AudienceStatus(
        audience=answer.audience,
        told=told(answer),
        share=share_at(answer, known.now_ms),
        returning=bool(answer.ramp),
        ends_ms=answer.expires_ms or known.now_ms,
        command=answer.command_id,
        incident=answer.incident,
        state=incident.state if incident is not None else "",
        severity=incident.severity.name.lower() if incident is not None else "",
        summary=incident.summary if incident is not None else "",
        verdict=verdict,
        flaps=answer.flaps,
    )


def told(answer: SteeringAnswer) -> str:
    """Return what an answer says, in words."""
    said = []
    if answer.pathway_priority:
        away = f" (away from {answer.away_from})" if answer.away_from else ""
        said.append(" > ".join(answer.pathway_priority) + away)
    if answer.max_bitrate_kbps is not None:
        said.append(f"at most {answer.max_bitrate_kbps:g} kb/s")
    if answer.p2p is not None:
        said.append("peer-to-peer" if answer.p2p else "no peer-to-peer")
    return ", ".join(said) or "the default order"


def _waiting(name: str, known: Known) -> Waiting:
    incident = known.incidents[name]
    proposals = [command for command in known.commands if command.incident == name and command.dry_run]
    held = [
        outcome
        for outcome in known.outcomes
        if outcome.incident == name and outcome.actor == "policy" and outcome.status is OutcomeStatus.REFUSED
    ]
    reasons = [(command.time_ms, command.reason) for command in proposals]
    reasons += [(outcome.time_ms, outcome.reason) for outcome in held]
    why = max(reasons, default=(0, "nothing was decided yet"))[1]
    return Waiting(
        incident=name,
        severity=incident.severity.name.lower(),
        viewers=incident.impact_viewers,
        summary=incident.summary,
        why=why,
        approvable="needs approval" in why,
    )
