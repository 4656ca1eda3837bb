"""What was commanded and is not yet seen to be served.

A command reaches the view of what is served by way of its actor. Whatever is decided meanwhile must count it
as obeyed, so that two decisions at once do not share out one room: its audience is taken, and what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from models.served import Answers
from topics.commands import Command, CommandKind
from topics.steering import SteeringAnswer

MOVES = frozenset({CommandKind.STEER, CommandKind.SHED})


class Promises:
    """Remembers commands until they are served, or so long that they must have been refused.

    Args:
        within_s: how long an actor may take to obey.
        ttl_s: how long players keep an answer.
    """

    def __init__(self, within_s: float, ttl_s: float) -> None:
        self._within_ms = int(1_000 * within_s)
        self._ttl_s = ttl_s
        self._given: dict[str, tuple[int, Command]] = {}

    def note(self, command: Command, now_ms: int) -> None:
        """Take note of a command given at `now_ms`."""
        if command.kind is CommandKind.RESUME:
            self._given.pop(command.target, None)
        elif command.kind in MOVES and not command.dry_run:
            self._given[command.target] = (now_ms, command)

    def with_promised(self, served: Answers, now_ms: int) -> Answers:
        """Return the answers as they will be once every command given has been obeyed.

        One whose lease has run out meanwhile stands all the same: what it has replaced is over.
        """
        promised: dict[str, SteeringAnswer] = {}
        for target, (given_ms, command) in list(self._given.items()):
            known = served.get(target)
            obeyed = known is not None and known.generation >= command.generation
            if obeyed or now_ms - given_ms >= self._within_ms:
                del self._given[target]
            else:
                promised[target] = _answer(command, known.flaps if known is not None else 0, self._ttl_s)
        return _Promised(served, promised) if promised else served


class _Promised:
    """Implements `Answers`: what is promised, in place of what is served."""

    def __init__(self, served: Answers, promised: Mapping[str, SteeringAnswer]) -> None:
        self._served = served
        self._promised = promised

    def get(self, audience: str, /) -> SteeringAnswer | None:
        return self._promised.get(audience) or self._served.get(audience)

    def values(self) -> Iterable[SteeringAnswer]:
        stay = [each for each in self._served.values() if each.audience not in self._promised]
        return [*stay, *self._promised.values()]


def _answer(command: Command, flaps: int, ttl_s: float) -> SteeringAnswer:
    return SteeringAnswer(
        time_ms=command.time_ms,
        audience=command.target,
        cell=command.audience,
        pathway_priority=command.pathway_priority,
        away_from=command.away_from,
        share=command.share,
        split=command.split,
        ramp=command.ramp,
        flaps=flaps,
        ttl_s=ttl_s,
        max_bitrate_kbps=command.max_bitrate_kbps,
        p2p=command.p2p,
        generation=command.generation,
        command_id=command.id,
        incident=command.incident,
        reason=command.reason,
        expires_ms=command.expires_ms,
    )
