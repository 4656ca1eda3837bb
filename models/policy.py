"""Turns incidents into guarded, leased commands — or into the reason why nothing is done.

What may be done is a policy's to allow: without one every command is a dry run. A first command reaches a
canary share; when the incident worsens under it, the lease is renewed and the share widened; when it is
resolved, the command is undone. Each command carries its reason, its evidence, what else was thought of, its
limits and how it is undone; each decision to do nothing is an outcome that says why.

Decisions follow from the incident, from what was decided for it before, and from what is known around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from config.sections import PolicySettings
from models import words
from models.cdn_loads import CdnLoad, backups, cdn_loads
from models.guards import Held, dry_run, in_force, taken, too_small
from models.levers import CDN, Choice, Lever, choose
from models.obedience import signed
from topics import COMMANDS
from topics.anomalies import Severity
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind
from topics.emission import Emission
from topics.fields import derive_id
from topics.incidents import Incident, IncidentState
from topics.ingest import PipelineSelection
from topics.policies import Policy
from topics.steering import SteeringAnswer

OWNER = "policy"
FIRST_GENERATION = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known around an incident when it is decided about."""

    policies: Sequence[Policy] = ()
    nodes: Sequence[NodeReport] = ()
    answers: Sequence[SteeringAnswer] = ()
    """The steering being served to every audience."""
    selection_of: Callable[[str], PipelineSelection | None] = lambda stream: None


class Decided(msgspec.Struct, frozen=True):
    """What was decided about one incident so far."""

    time_ms: int = 0
    """Event time of the last record decided about."""
    generation: int = FIRST_GENERATION
    lease: Command | None = None
    """The command in force as far as is known; never a dry run."""
    proposal: Command | None = None
    """The last dry run."""
    severity: Severity = Severity.LOW
    """How bad it was when the last command was given."""
    impact_viewers: float = 0.0
    held: str = ""
    """Why nothing was done, when that was told last."""

    @property
    def last(self) -> Command | None:
        """The last command given, in earnest or as a dry run."""
        return self.lease or self.proposal


class PolicyEngine:
    """Decides about incidents, one at a time.

    Args:
        settings: bounds that hold whatever a policy allows.
        signing_key: what commands are signed with; empty leaves them unsigned.
    """

    def __init__(self, settings: PolicySettings, signing_key: str) -> None:
        self._settings = settings
        self._key = signing_key

    def step(
        self, state: Decided | None, incident: Incident, around: Surroundings
    ) -> tuple[Decided, list[Emission]]:
        """Return what is decided after `incident`, the commands, or the reason for none."""
        decided = state or Decided()
        if incident.time_ms < decided.time_ms:
            return decided, []
        decided = _up_to_date(decided, incident, around)
        if incident.state is IncidentState.RESOLVED:
            said = f"the incident is resolved: {incident.summary}"
            return self._undone(decided, incident, said)
        choice = choose(incident, self._settings)
        if choice.lever is None:
            undone: list[Emission] = []
            if decided.lease is not None:
                decided, undone = self._undone(decided, incident, f"another cause: {incident.summary}")
            after, held = _held(decided, incident, Held("; ".join(choice.others)))
            return after, [*undone, *held]
        plan = self._plan(decided, incident, choice.lever, choice, around)
        if isinstance(plan, Held):
            after, emissions = _held(decided, incident, plan)
            return after, emissions
        return self._given(decided, incident, plan)

    # -- from a lever to a command ------------------------------------------------------------------------

    def _plan(
        self, decided: Decided, incident: Incident, lever: Lever, choice: Choice, around: Surroundings
    ) -> Command | Held:
        """Return the command to give, or why there is none."""
        policy = self._policy(lever.kind, around.policies)
        dry = dry_run(incident, policy)
        # What was only proposed has moved nobody: it is no reason to hold back when acting is allowed.
        decided = decided if dry else msgspec.structs.replace(decided, proposal=None)
        held = (
            too_small(incident, lever, policy)
            or self._already(decided, incident, lever, around)
            or taken(incident, lever, around.answers)
        )
        if held is not None:
            return held
        command = self._command(decided, incident, lever, policy, around)
        reason = f"{lever.does}: {incident.summary}"
        command = msgspec.structs.replace(
            command,
            reason=words.sentence(f"{reason} ({dry})" if dry else reason),
            dry_run=bool(dry),
            evidence=[words.sentence(cause.contrast) for cause in incident.causes if cause.contrast],
            alternatives=[*choice.others, "wait: viewers suffer for as long as it lasts"],
        )
        if lever.kind is CommandKind.FAIL_OVER:
            return command
        return self._within_bounds(decided, incident, command, policy, around)

    def _policy(self, kind: CommandKind, policies: Sequence[Policy]) -> Policy:
        """Return the policy that governs a lever: one that acts before one that does not, then by name."""
        fitting = [policy for policy in policies if policy.enabled and policy.allows is kind]
        nobody = Policy(time_ms=0, policy="", allows=kind, lease_s=self._settings.default_lease_s)
        return min(fitting, key=lambda policy: (policy.dry_run, policy.policy), default=nobody)

    def _already(
        self, decided: Decided, incident: Incident, lever: Lever, around: Surroundings
    ) -> Held | None:
        """Hold where the last command is right still, or was given too short a while ago to change it."""
        commands = [each for each in (decided.lease, decided.proposal) if each is not None]
        commands = [each for each in commands if incident.time_ms < each.expires_ms]
        given = any(lever.is_pulled_by(each) for each in commands)
        if lever.kind is CommandKind.FAIL_OVER:
            served = around.selection_of(lever.target)
            if served is not None and served.pipeline == lever.pipeline:
                ours = decided.lease is not None and served.command_id == decided.lease.id
                return Held(f"{lever.pipeline} is served already", lever.kind, silent=ours)
            return Held("it is commanded already", lever.kind, silent=True) if given else None
        if not commands:
            return None
        if given and not self._is_worse(decided, incident):
            return Held("it is commanded already", lever.kind, silent=True)
        dwell_ms = self._settings.min_dwell_s * 1_000
        age_ms = incident.time_ms - max(each.time_ms for each in commands)
        if age_ms < dwell_ms:
            since = words.lasting(age_ms)
            return Held(
                f"the last command is {since} old; it has {words.lasting(dwell_ms)} to show its effect",
                lever.kind,
            )
        return None

    def _is_worse(self, decided: Decided, incident: Incident) -> bool:
        """Whether the incident has worsened since the last command was given."""
        grown = self._settings.impact_growth * decided.impact_viewers
        return incident.severity > decided.severity or incident.impact_viewers > grown

    def _command(
        self, decided: Decided, incident: Incident, lever: Lever, policy: Policy, around: Surroundings
    ) -> Command:
        limits = msgspec.structs.replace(
            policy.limits, max_load=min(policy.limits.max_load, self._settings.target_max_load)
        )
        first = decided.lease is None and decided.proposal is None
        return Command(
            id=derive_id("command", incident.id, lever.kind, lever.target),
            time_ms=incident.time_ms,
            kind=lever.kind,
            target=lever.target,
            generation=_next_generation(decided, incident, lever.target, around),
            incident=incident.incident,
            owner=policy.owner if policy.policy else OWNER,
            reason=lever.does,
            expires_ms=incident.time_ms + int(policy.lease_s * 1_000),
            limits=limits,
            undo=lever.undo,
            audience=lever.audience,
            away_from=lever.away_from,
            max_bitrate_kbps=lever.max_bitrate_kbps,
            p2p=lever.p2p,
            pipeline=lever.pipeline,
            from_sequence=lever.from_sequence,
            origin_ms=incident.origin_ms if first and incident.time_ms == incident.opened_ms else None,
        )

    def _within_bounds(
        self, decided: Decided, incident: Incident, command: Command, policy: Policy, around: Surroundings
    ) -> Command | Held:
        """Return the command for as large a share as the limits and the CDNs' room allow."""
        share = self._wanted_share(decided, incident, command, policy)
        if share < self._settings.least_share:
            return Held(f"the limits leave {words.percent(share)} of the audience to move", command.kind)
        loads = cdn_loads(around.nodes, incident.time_ms, self._settings.max_report_age_s * 1_000)
        if command.p2p is False:
            full = self._without_room(loads, command.audience.get(CDN, ""))
            if full:
                return Held(f"peers' traffic would come back to the CDNs: {full}", command.kind)
        if command.kind is CommandKind.STEER:
            return self._steered(incident, command, share, loads, around)
        return msgspec.structs.replace(command, share=share)

    def _wanted_share(self, decided: Decided, incident: Incident, command: Command, policy: Policy) -> float:
        """Return the canary's share, or a wider one where the same lever is pulled and was not enough."""
        last = decided.last
        again = (
            last is not None
            and last.kind is command.kind
            and last.target == command.target
            and last.away_from == command.away_from
            and incident.time_ms < last.expires_ms
        )
        share = last.share * self._settings.widen_factor if last is not None and again else policy.first_share
        most = policy.limits.max_viewers
        if most is not None and incident.impact_viewers > 0:
            share = min(share, most / incident.impact_viewers)
        return min(share, policy.limits.max_share)

    def _without_room(self, loads: dict[str, CdnLoad], cdn: str) -> str:
        """Return which CDN has no room for more, of all or of the one that is meant; or nothing."""
        bound = self._settings.backup_max_load
        meant = {name: load for name, load in loads.items() if cdn in {"", name}}
        if not meant:
            return "no load report of them is recent"
        full = [
            f"{name} is at {words.percent(load.ratio)}" for name, load in meant.items() if load.ratio >= bound
        ]
        return words.listed(full) if full else ""

    def _steered(
        self,
        incident: Incident,
        command: Command,
        share: float,
        loads: dict[str, CdnLoad],
        around: Surroundings,
    ) -> Command | Held:
        away_from = command.away_from
        if away_from not in loads:
            age = words.lasting(self._settings.max_report_age_s * 1_000)
            return Held(
                f"no load report of {CDN} {away_from} is younger than {age}: how much would move is unknown",
                command.kind,
            )
        others = [
            each for each in in_force(around.answers, incident.time_ms) if each.audience != command.target
        ]
        found = backups(loads, away_from, share, command.limits.max_load, others, self._settings)
        if not found.order:
            said = "; ".join(found.said) or "no other CDN reports its load"
            return Held(f"no CDN can take viewers of {away_from}: {said}", command.kind)
        return msgspec.structs.replace(
            command,
            share=found.share,
            pathway_priority=[*found.order, away_from],  # last, for players whom nothing else serves
            alternatives=[*command.alternatives, *found.said],
        )

    # -- giving and undoing -------------------------------------------------------------------------------

    def _given(
        self, decided: Decided, incident: Incident, command: Command
    ) -> tuple[Decided, list[Emission]]:
        """Give `command`, after undoing one that has another audience."""
        emissions: list[Emission] = []
        moved = decided.lease is not None and decided.lease.target != command.target
        if moved and not command.dry_run:
            decided, emissions = self._undone(decided, incident, f"another cause: {incident.summary}")
        command = signed(command, self._key)
        after = msgspec.structs.replace(
            decided,
            generation=max(decided.generation, command.generation),
            lease=decided.lease if command.dry_run else command,
            proposal=command if command.dry_run else None,
            severity=incident.severity,
            impact_viewers=incident.impact_viewers,
            held="",
        )
        return after, [*emissions, Emission(COMMANDS, command)]

    def _undone(self, decided: Decided, incident: Incident, why: str) -> tuple[Decided, list[Emission]]:
        """Undo the command in force, where there is one."""
        lease = decided.lease
        blank = msgspec.structs.replace(
            decided, lease=None, proposal=None, severity=Severity.LOW, impact_viewers=0.0, held=""
        )
        if lease is None:
            return blank, []
        generation = max(incident.time_ms, decided.generation + 1)
        command = Command(
            id=derive_id("command", incident.id, CommandKind.RESUME, lease.id),
            time_ms=incident.time_ms,
            kind=CommandKind.RESUME,
            target=lease.target,
            generation=generation,
            incident=incident.incident,
            owner=lease.owner,
            reason=words.sentence(why),
            expires_ms=incident.time_ms + int(self._settings.default_lease_s * 1_000),
            undo="a new command, from the canary on",
            undoes=lease.id,
            undoes_kind=lease.kind,
            audience=lease.audience,
        )
        after = msgspec.structs.replace(blank, generation=generation)
        return after, [Emission(COMMANDS, signed(command, self._key))]


def _up_to_date(decided: Decided, incident: Incident, around: Surroundings) -> Decided:
    """Return what was decided, with the lease as the actor has it, for it may have been renewed."""
    lease = decided.lease
    for answer in around.answers:
        # What the actor is seen to serve may lag behind what was commanded: the newer of the two counts.
        if (
            lease is not None
            and answer.audience == lease.target
            and answer.incident == incident.incident
            and answer.generation > lease.generation
            and answer.expires_ms is not None
        ):
            lease = msgspec.structs.replace(
                lease,
                id=answer.command_id,
                generation=answer.generation,
                expires_ms=answer.expires_ms,
                share=answer.share,
            )
    return msgspec.structs.replace(decided, time_ms=incident.time_ms, lease=lease)


def _held(decided: Decided, incident: Incident, held: Held) -> tuple[Decided, list[Emission]]:
    """Say why nothing is done, unless it was said last or goes without saying."""
    if held.silent or held.why == decided.held:
        return decided, []
    return msgspec.structs.replace(decided, held=held.why), [held.told(incident, OWNER)]


def _next_generation(decided: Decided, incident: Incident, target: str, around: Surroundings) -> int:
    """Return a generation above every one given to `target`, as far as is known."""
    served = [answer.generation for answer in around.answers if answer.audience == target]
    selection = around.selection_of(target)
    if selection is not None:
        served.append(selection.generation)
    return max(incident.time_ms, decided.generation + 1, *(generation + 1 for generation in served))
