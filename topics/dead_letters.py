"""`dead-letters`: records that could not be taken, whole, with where they stood and why."""

from __future__ import annotations

from topics.fields import Count, Name, OptionalName, Record, Sentence
from topics.spec import MAX_RECORD_BYTES, TopicSpec

MAX_KEPT_BYTES = MAX_RECORD_BYTES
"""Longer values are cut: in JSON bytes take a third more room, and a letter has to fit a record."""


class DeadLetter(Record, frozen=True, kw_only=True):
    """One record that was refused; `time_ms` is the broker's time of the original."""

    topic: Name
    partition: Count
    offset: Count
    reason: Sentence
    agent: Name
    """Who refused it."""
    key: bytes | None = None
    value: bytes | None = None
    value_bytes: Count | None = None
    """Size of the original value where the record was too large to keep whole: `value` is its beginning."""
    headers: list[tuple[str, bytes]] = []
    packed_index: Count | None = None
    """Which event of a packed record it was; `value` is that record while `headers` name its encoding."""
    redriven_from: OptionalName = ""
    """In a receipt: the id of the letter at the same origin that was driven back. A receipt has no bytes."""


def origin(letter: DeadLetter) -> str:
    """Return where the record stood, as people write it.

    >>> origin(DeadLetter(time_ms=0, topic="telemetry", partition=2, offset=7, reason="", agent="telemetry"))
    'telemetry[2]@7'
    """
    return f"{letter.topic}[{letter.partition}]@{letter.offset}"


DEAD_LETTERS = TopicSpec(
    name="dead-letters",
    key="origin",
    value=DeadLetter,
    key_of=origin,
    describes="Records that were refused: the bytes, topic, partition, offset and reason.",
    producers=("every agent",),
    consumers=("playhead dead-letters",),
    retention_hours=24 * 30,
    max_bytes=2 * MAX_RECORD_BYTES,
)
