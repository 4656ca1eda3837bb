"""Dead letters: a record that cannot be taken is kept whole, with where it stood and why."""

from __future__ import annotations

from collections.abc import Iterable

from topics import DEAD_LETTERS
from topics.dead_letters import MAX_KEPT_BYTES, DeadLetter
from topics.emission import Emission
from topics.fields import MAX_TIME_MS, derive_id

REASON_CHARACTERS = 2_000
MAX_ASIDE_BYTES = 100_000
"""Of key and headers together; a letter has to fit a record."""


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
    headers: Iterable[tuple[str, bytes | None]] = (),
    packed_index: int | None = None,
) -> Emission:
    """Return the dead letter of one record; a record refused again for the same cause has the same id.

    What is too large is cut: value and key to their beginnings, the headers altogether.
    """
    kept_headers = [(name, content or b"") for name, content in headers]
    aside_bytes = len(key or b"") + sum(len(name) + len(content) for name, content in kept_headers)
    if aside_bytes > MAX_ASIDE_BYTES:
        key, kept_headers = key[:MAX_ASIDE_BYTES] if key is not None else None, []
    whole = aside_bytes <= MAX_ASIDE_BYTES and len(value or b"") <= MAX_KEPT_BYTES
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
            value_bytes=None if whole else len(value or b""),
            headers=kept_headers,
            packed_index=packed_index,
        ),
    )
