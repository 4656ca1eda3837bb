"""Dead letters: a record that cannot be taken is kept whole, with where it stood and why."""

from __future__ import annotations

from collections.abc import Iterable

from topics import DEAD_LETTERS
from topics.dead_letters import MAX_KEPT_BYTES, DeadLetter
from topics.emission import Emission
from topics.fields import MAX_TIME_MS, derive_id

REASON_CHARACTERS = 2_000


def dead_letter(
    *,
    agent: str,
    topic: str,
    partition: int,
    offset: int,
    time_ms: int,
    key: bytes | None,
    value: bytes | None,
    reason: str,
    headers: Iterable[tuple[str, bytes]] = (),
    packed_index: int | None = None,
) -> Emission:
    """Return the dead letter of one record; a record refused again for the same cause has the same id."""
    return Emission(
        DEAD_LETTERS,
        DeadLetter(
            id=derive_id("dead-letter", agent, topic, partition, offset, packed_index),
            time_ms=min(max(time_ms, 0), MAX_TIME_MS),
            topic=topic,
            partition=partition,
            offset=offset,
            reason=reason[:REASON_CHARACTERS],
            agent=agent,
            key=key,
            value=value[:MAX_KEPT_BYTES] if value is not None else None,
            value_bytes=len(value) if value is not None and len(value) > MAX_KEPT_BYTES else None,
            headers=list(headers),
            packed_index=packed_index,
        ),
    )
