"""Leases as they are read back from the answers being served, and their end.

When a lease has run out, that is said as a command on the topic that it began on. It follows from the answer
that is being served, so that any worker can see to it. Time and id follow from the lease: whoever finds it
first, and however often, it is the same command.
"""

from __future__ import annotations

from models.obedience import Key, signed
from models.steering import ACTOR
from topics.commands import Command, CommandKind
from topics.fields import derive_id
from topics.steering import SteeringAnswer


def kind_of(answer: SteeringAnswer) -> CommandKind:
    """Return what kind of command an answer obeys."""
    return CommandKind.STEER if answer.pathway_priority else CommandKind.SHED


def command_behind(answer: SteeringAnswer) -> Command:
    """Return the command that an answer obeys, as far as decisions about it need it."""
    return Command(
        id=answer.command_id,
        time_ms=answer.time_ms,
        kind=kind_of(answer),
        target=answer.audience,
        generation=answer.generation,
        incident=answer.incident,
        owner="policy",
        reason=answer.reason,
        expires_ms=answer.expires_ms or answer.time_ms,
        undo="the default order is served again",
        audience=answer.cell,
        away_from=answer.away_from,
        pathway_priority=answer.pathway_priority,
        share=answer.share,
        split=answer.split,
        demand_gbps=answer.demand_gbps,
        ramp=answer.ramp,
        max_bitrate_kbps=answer.max_bitrate_kbps,
        p2p=answer.p2p,
    )


def lapsed(answer: SteeringAnswer, now_ms: int, signing_key: Key) -> Command | None:
    """Return the resume of the lease behind `answer` if it has run out by `now_ms`.

    >>> answer = SteeringAnswer(time_ms=0, audience="everyone", cell={}, pathway_priority=["5"], ttl_s=10,
    ...                         generation=7, command_id="c1", expires_ms=300_000)
    >>> lapsed(answer, 299_999, "") is None
    True
    >>> lapsed(answer, 300_000, "").undoes
    'c1'
    """
    if answer.expires_ms is None or now_ms < answer.expires_ms or not answer.command_id:
        return None
    return signed(
        Command(
            id=derive_id("lapse", answer.audience, answer.command_id),
            time_ms=answer.expires_ms,
            kind=CommandKind.RESUME,
            target=answer.audience,
            generation=answer.generation + 1,
            owner=ACTOR,
            reason="the way back is done" if answer.ramp else "the lease ran out and was not renewed",
            expires_ms=answer.expires_ms,
            undoes=answer.command_id,
            undoes_kind=kind_of(answer),
            incident=answer.incident,
            audience=answer.cell,
        ),
        signing_key,
    )
