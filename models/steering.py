"""Turns steering commands into the answer that players are given, and back.

Each audience is under one command at a time, or none. A command is a lease: it ends by the resume that names
it or by a newer command; where it has run out, `models.leases` makes the resume.
"""

from __future__ import annotations

import msgspec

from models import words
from models.guards import brings_back_to
from models.obedience import Key, concerns, objection, outcome
from topics import STEERING
from topics.commands import Command, CommandKind, OutcomeStatus
from topics.emission import Emission
from topics.fields import derive_id
from topics.steering import SteeringAnswer

ACTOR = "cdn"
KINDS = frozenset({CommandKind.STEER, CommandKind.SHED})
DEFAULT = "the default order"


class Steered(msgspec.Struct, frozen=True):
    """What an audience is under."""

    generation: int = -1
    """Of the last command obeyed."""
    command: Command | None = None
    """The lease in force."""
    last_id: str = ""
    """The last command obeyed."""
    reduced_ms: int | None = None
    """When its viewers were last told to return."""
    flaps: int = 0
    """How often they were moved again soon after that."""


class Steering:
    """Obeys the commands to each audience.

    Args:
        ttl_s: how long a player may keep an answer.
        signing_key: what commands must be signed with; empty believes everyone.
        flap_window_s: an audience moved again so soon after it was brought back flaps.

    Example:
        >>> move = Command(
        ...     time_ms=0, id="c1", kind=CommandKind.STEER, target="isp=3", generation=1, owner="policy",
        ...     reason="stalls on 7", expires_ms=300_000, audience={"isp": "3"}, away_from="7",
        ...     pathway_priority=["5", "7"], share=0.1)
        >>> steered, emissions = Steering(ttl_s=10, signing_key="").step(None, move)
        >>> [emission.spec.name for emission in emissions]
        ['steering', 'outcomes']
        >>> emissions[1].record.after
        '10 % of isp=3: 5, 7'
    """

    def __init__(self, *, ttl_s: float, signing_key: Key, flap_window_s: float = 0.0) -> None:
        self._ttl_s = ttl_s
        self._key = signing_key
        self._flap_window_ms = 1_000 * flap_window_s

    def step(self, state: Steered | None, command: Command) -> tuple[Steered, list[Emission]]:
        """Return what the audience is under after `command`, the answer if it changed, and the outcome."""
        steered = state or Steered()
        in_force = steered.command.id if steered.command is not None else ""
        if not concerns(command, KINDS, in_force) or (command.id and command.id == steered.last_id):
            return steered, []
        no = objection(command, steered.generation, self._key)
        if not no:
            no = _not_in_force(steered, command) if command.kind is CommandKind.RESUME else _flaw(command)
        if not no:
            no = _anothers(steered, command)
        if not no and command.renews and command.renews != in_force:
            no = f"{command.renews}, which it renews, is not in force"
        if no:
            return steered, [outcome(command, ACTOR, OutcomeStatus.REFUSED, no)]
        if command.dry_run:
            said = f"a dry run: {command.reason}"
            told = outcome(
                command,
                ACTOR,
                OutcomeStatus.DRY_RUN,
                words.sentence(said),
                before=_told(steered.command),
                after=_told(command if command.kind in KINDS else None),
            )
            return steered, [told]
        return self._obey(steered, command)

    def _obey(self, steered: Steered, command: Command) -> tuple[Steered, list[Emission]]:
        lease = command if command.kind in KINDS else None
        # Moved again soon after the way back had begun: the audience flaps.
        last_ms = steered.reduced_ms
        soon = last_ms is not None and command.time_ms - last_ms < self._flap_window_ms
        returns = lease is None or bool(lease.ramp)
        again = not returns and (steered.command is None or bool(steered.command.ramp))
        flaps = steered.flaps + again if soon else 0
        reduced_ms = command.time_ms if returns else steered.reduced_ms
        after = Steered(command.generation, lease, command.id, reduced_ms, flaps)
        status = OutcomeStatus.APPLIED
        if lease is None:
            under = steered.command
            # The end of the way back is what was meant to come.
            ran_out = under is None or (command.time_ms >= under.expires_ms and not under.ramp)
            status = OutcomeStatus.EXPIRED if ran_out else OutcomeStatus.UNDONE
        told = outcome(
            command, ACTOR, status, command.reason, before=_told(steered.command), after=_told(lease)
        )
        return after, [Emission(STEERING, self._answer(command, flaps)), told]

    def _answer(self, command: Command, flaps: int) -> SteeringAnswer:
        """Return the answer that `command` asks for; a resume asks for the default."""
        answer = SteeringAnswer(
            id=derive_id("steering", command.target, command.id, command.generation),
            time_ms=command.time_ms,
            audience=command.target,
            cell=command.audience,
            pathway_priority=[],
            flaps=flaps,
            ttl_s=self._ttl_s,
            generation=command.generation,
            reason=command.reason,
            origin_ms=command.origin_ms,
        )
        if command.kind is CommandKind.RESUME:
            return answer
        return msgspec.structs.replace(
            answer,
            pathway_priority=command.pathway_priority,
            away_from=command.away_from,
            share=command.share,
            split=command.split,
            demand_gbps=command.demand_gbps,
            ramp=command.ramp,
            max_bitrate_kbps=command.max_bitrate_kbps,
            p2p=command.p2p,
            command_id=command.id,
            incident=command.incident,
            expires_ms=command.expires_ms,
        )


def _not_in_force(steered: Steered, command: Command) -> str:
    """Return why a resume has nothing to undo, or nothing.

    It ends whatever is in force for its incident, so that it need not know of renewals. The actor's own word
    that a lease ran out is enough: it has it from the answer that is being served.
    """
    named = command.undoes or "the command"
    if steered.command is None:
        return "" if command.owner == ACTOR else f"{named} is not in force: nothing is"
    same_incident = command.incident and command.incident == steered.command.incident
    if command.undoes == steered.command.id or same_incident:
        return ""
    return f"{named} is not in force: {steered.command.id} is"


def _anothers(steered: Steered, command: Command) -> str:
    """Return why a command may not take an audience over from another incident's, or nothing.

    It may where viewers are on their way back to the CDN that fails anew. Two incidents may be decided about
    at once, neither knowing of the other's command: the first has it.
    """
    under = steered.command
    if under is None or command.kind not in KINDS or command.time_ms >= under.expires_ms:
        return ""
    if not under.incident or not command.incident or under.incident == command.incident:
        return ""
    if brings_back_to(under, command.away_from):
        return ""
    return f"{command.target} is under {under.id} of another incident, {under.incident}"


def _flaw(command: Command) -> str:
    """Return why a command to steer or shed cannot be served as an answer, or nothing."""
    order = command.pathway_priority
    if len(set(order)) != len(order):
        return f"a pathway is named twice in {', '.join(order)}"
    if command.kind is CommandKind.STEER:
        if not order:
            return "it names no pathway to steer to"
        if order[0] == command.away_from:
            return f"it steers away from {command.away_from} and names it first"
    elif command.max_bitrate_kbps is None and command.p2p is None:
        return "it sheds nothing: neither a bitrate nor peer-to-peer is named"
    return "it has no id to be undone by" if not command.id else ""


def _told(command: Command | None) -> str:
    """Return in words what an audience is told."""
    if command is None:
        return DEFAULT
    asked = []
    if command.pathway_priority:
        asked.append(", ".join(command.pathway_priority))
    if command.max_bitrate_kbps is not None:
        asked.append(f"at most {command.max_bitrate_kbps:g} kb/s")
    if command.p2p is not None:
        asked.append("peer-to-peer" if command.p2p else "no peer-to-peer")
    return words.sentence(f"{words.percent(command.share)} of {command.target}: {'; '.join(asked)}")
