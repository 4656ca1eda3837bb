"""Turns incidents into guarded, leased commands — or into the reason why nothing is done.

What may be done is a policy's to allow: without one every command is a dry run. A first command reaches a
canary share; when the incident worsens under it, the lease is renewed and the share widened; when it is
resolved, the command is undone. Each command carries its reason, its evidence, what else was thought of, its
limits and how it is undone; each decision to do nothing is an outcome that says why.

Decisions follow from the incident, from what was decided for it before, and from what is known around it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from config.sections import PolicySettings
from models import words
from models.cdn_loads import CdnLoad
from models.faults import Fault, recognise
from models.guards import Held, brings_back_to, dry_run, taken, too_small
from models.leases import command_behind
from models.levers import CDN, Choice, Lever, choose
from models.moving import within_room
from models.obedience import Key, signed
from models.returning import no_room_back, on_the_way_back
from models.served import in_force, under
from models.surroundings import Surroundings, described
from topics import COMMANDS
from topics.anomalies import Severity
from topics.commands import Command, CommandKind
from topics.controls import ControlVerb
from topics.emission import Emission
from topics.fields import derive_id
from topics.incidents import Incident, IncidentState
from topics.policies import Policy

OWNER = "policy"
FIRST_GENERATION = 0


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

    def __init__(self, settings: PolicySettings, signing_key: Key) -> None:
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
        ended = self._ended(decided, incident, around)
        if ended is not None:
            return ended
        choice = choose(incident, self._settings)
        if choice.lever is None:
            undone: list[Emission] = []
            if decided.lease is not None:
                # Who has just been moved takes what he suffered along: it looks like everyone's for a while.
                lease = decided.lease
                young = None if incident.cause else self._dwelling(incident, lease.kind, [lease])
                if young is not None:
                    return _held(decided, incident, young)
                decided, undone = self._undone(decided, incident, f"another cause: {incident.summary}")
            after, held = _held(decided, incident, Held("; ".join(choice.others)))
            return after, [*undone, *held]
        plan = self._plan(decided, incident, choice.lever, choice, around)
        if isinstance(plan, Held):
            after, emissions = _held(decided, incident, plan)
            return after, emissions
        return self._given(decided, incident, plan)

    def _ended(
        self, decided: Decided, incident: Incident, around: Surroundings
    ) -> tuple[Decided, list[Emission]] | None:
        """Return what follows where nothing more is to be done about the incident; None where it lasts."""
        taken_back = around.said(ControlVerb.UNDO, incident.time_ms, incident.incident)
        if taken_back is not None:
            after, undone = self._undone(decided, incident, f"taken back by {taken_back.by}")
            after = msgspec.structs.replace(after, held=decided.held)
            after, held = _held(after, incident, Held(f"{taken_back.by} has taken it back"))
            return after, [*undone, *held]
        if incident.state is not IncidentState.RESOLVED:
            return None
        if decided.lease is not None and incident.time_ms >= decided.lease.expires_ms:
            return _blank(decided), []  # it has run out, and who serves it has seen to that
        if decided.lease is not None and decided.lease.ramp:
            return decided, []
        if decided.lease is not None and decided.lease.kind is CommandKind.STEER:
            return self._returning(decided, decided.lease, incident, around)
        return self._undone(decided, incident, f"the incident is resolved: {incident.summary}")

    def _returning(
        self, decided: Decided, lease: Command, incident: Incident, around: Surroundings
    ) -> tuple[Decided, list[Emission]]:
        """Let the viewers return in steps; where the CDN has no room for them yet the steward sees to it."""
        full = no_room_back(lease, around, incident.time_ms, self._settings)
        if full:
            return _held(decided, incident, Held(f"viewers stay moved: {full}", lease.kind))
        answer = around.answers.get(lease.target)
        flaps = answer.flaps if answer is not None else 0
        command = msgspec.structs.replace(
            on_the_way_back(lease, incident, incident.time_ms, flaps, self._settings),
            id=derive_id("command", incident.id, "return", lease.target),
            generation=_next_generation(decided, incident, lease.target, around),
            owner=OWNER,
        )
        after = msgspec.structs.replace(_blank(decided), generation=command.generation, lease=command)
        return after, [Emission(COMMANDS, signed(command, self._key))]

    # -- from a lever to a command ------------------------------------------------------------------------

    def _plan(
        self, decided: Decided, incident: Incident, lever: Lever, choice: Choice, around: Surroundings
    ) -> Command | Held:
        """Return the command to give, or why there is none."""
        policy = self._policy(lever.kind, around.policies)
        approved = around.said(ControlVerb.APPROVE, incident.time_ms, incident.incident)
        dry = dry_run(incident, policy, approved)
        # What was only proposed has moved nobody: it is no reason to hold back when acting is allowed.
        decided = decided if dry else msgspec.structs.replace(decided, proposal=None)
        decided = _taking_over(decided, incident, lever, around)
        held = (
            too_small(incident, lever, policy)
            or self._already(decided, incident, lever, around)
            or taken(incident, lever, around.answers)
            or self._tried(incident, lever, around)
        )
        if held is not None:
            return held
        command = self._command(decided, incident, lever, policy, around)
        reason = f"{lever.does}: {incident.summary}"
        # A proposal is another record than the command it may become once it is allowed, and so is what is
        # commanded anew after something else was served meanwhile.
        what, since = "proposal" if dry else "command", _served_generation(lever.target, around)
        command = msgspec.structs.replace(
            command,
            id=derive_id(what, incident.id, lever.kind, lever.target, since),
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

    def _tried(self, incident: Incident, lever: Lever, around: Surroundings) -> Held | None:
        """Hold where nothing may be changed now, or where the same was tried and did not help."""
        if lever.kind is CommandKind.FAIL_OVER:
            frozen = around.said(ControlVerb.FREEZE, incident.time_ms)
            return Held(f"frozen by {frozen.by}", lever.kind) if frozen is not None else None
        hands_off = around.hands_off(incident.time_ms, self._settings)
        if hands_off:
            return Held(hands_off, lever.kind)
        failed = around.failed(lever.target, incident.incident)
        return Held(f"it was tried: {described(failed)}", lever.kind) if failed is not None else None

    def _already(  # noqa: PLR0911 reasons to leave it stand side by side
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
        if any(each.ramp for each in commands):
            return None  # it is bad again on the way back: that way ends now
        if given and not self._is_worse(decided, incident):
            return Held("it is commanded already", lever.kind, silent=True)
        found = around.verification_of(lever.target)
        if given and decided.lease is not None and found is not None and found.incident == incident.incident:
            return Held("it is being verified, and widened as it helps", lever.kind, silent=True)
        return self._dwelling(incident, lever.kind, commands)

    def _dwelling(self, incident: Incident, kind: CommandKind, commands: Sequence[Command]) -> Held | None:
        """Hold while the last command is too young to have shown its effect."""
        settle_s = self._settings.steering_ttl_s + self._settings.verify_settle_s
        dwell_ms = max(self._settings.min_dwell_s, settle_s) * 1_000
        age_ms = incident.time_ms - max(each.time_ms for each in commands)
        if age_ms < dwell_ms:
            since = words.lasting(age_ms)
            return Held(
                f"the last command is {since} old; it has {words.lasting(dwell_ms)} to show its effect",
                kind,
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
        most = min(policy.limits.max_share, 1 - self._settings.control_share)
        fault = recognise(incident, around.nodes, self._settings, policy.first_share, most)
        share = min(self._wanted_share(decided, incident, command, policy, fault), most)
        if share < self._settings.least_share:
            return Held(f"the limits leave {words.percent(share)} of the audience to move", command.kind)
        loads = around.loads(incident.time_ms, self._settings)
        if command.p2p is False:
            full = self._without_room(loads, command.audience.get(CDN, ""))
            if full:
                return Held(f"peers' traffic would come back to the CDNs: {full}", command.kind)
        if command.kind is CommandKind.STEER:
            command = msgspec.structs.replace(
                command, evidence=[words.sentence(f"{fault.kind}: {fault.said}"), *command.evidence]
            )
            return within_room(command, share, decided.lease, incident, loads, around, self._settings)
        return msgspec.structs.replace(command, share=share)

    def _wanted_share(
        self, decided: Decided, incident: Incident, command: Command, policy: Policy, fault: Fault
    ) -> float:
        """Return the first step's share, or a wider one where the same lever is pulled and was not enough."""
        last = decided.last
        again = (
            last is not None
            and last.kind is command.kind
            and last.target == command.target
            and last.away_from == command.away_from
            and incident.time_ms < last.expires_ms
        )
        if last is not None and again and last.ramp:
            share = last.share
        elif last is not None and again:
            wider = last.share * self._settings.widen_factor
            share = min(wider, last.share + self._settings.max_step_share)
        else:
            share = fault.first_share if command.kind is CommandKind.STEER else policy.first_share
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
        blank = _blank(decided)
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


def _blank(decided: Decided) -> Decided:
    return msgspec.structs.replace(
        decided, lease=None, proposal=None, severity=Severity.LOW, impact_viewers=0.0, held=""
    )


def _up_to_date(decided: Decided, incident: Incident, around: Surroundings) -> Decided:
    """Return what was decided, with the lease as the actor has it, for it may have been renewed."""
    lease = decided.lease
    ours = [each for each in around.answers.values() if each.incident == incident.incident]
    for answer in in_force(ours, incident.time_ms):
        # What the actor is seen to serve may lag behind what was commanded: the newer of the two counts.
        known = decided.generation if lease is None else lease.generation
        same = lease is None or answer.audience == lease.target
        if same and answer.command_id and answer.generation > known:
            lease = command_behind(answer)
    return msgspec.structs.replace(decided, time_ms=incident.time_ms, lease=lease)


def _taking_over(decided: Decided, incident: Incident, lever: Lever, around: Surroundings) -> Decided:
    """Return what was decided, with another incident's way back to the CDN that fails now for its lease."""
    answer = under(around.answers, lever.target, incident.time_ms)
    if answer is None or answer.incident == incident.incident or not brings_back_to(answer, lever.away_from):
        return decided
    return msgspec.structs.replace(decided, lease=command_behind(answer))


def _held(decided: Decided, incident: Incident, held: Held) -> tuple[Decided, list[Emission]]:
    """Say why nothing is done, unless it was said last or goes without saying."""
    if held.silent or held.why == decided.held:
        return decided, []
    return msgspec.structs.replace(decided, held=held.why), [held.told(incident, OWNER)]


def _next_generation(decided: Decided, incident: Incident, target: str, around: Surroundings) -> int:
    """Return a generation above every one given to `target`, as far as is known."""
    return max(incident.time_ms, decided.generation + 1, _served_generation(target, around) + 1)


def _served_generation(target: str, around: Surroundings) -> int:
    """Return the newest generation seen to be served to `target`."""
    served = (around.answers.get(target), around.selection_of(target))
    return max((each.generation for each in served if each is not None), default=FIRST_GENERATION)
