"""`silences`: which incidents wake nobody, for how long, and up to how many viewers."""

from __future__ import annotations

from topics.fields import Cell, EpochMs, Name, NonNegative, OptionalName, Record, Sentence
from topics.spec import Cleanup, TopicSpec


class Silence(Record, frozen=True, kw_only=True):
    """One person's wish for quiet, until it lapses, is outgrown or is taken back; then it stays listed."""

    silence: Name
    match: Cell
    """All must be true of an incident: dimensions of its cell or cause, `incident`, `subject`, `kind`, or
    `metric` (of every series that fires). Values may have ``*`` and ``?`` in them."""
    by: Name
    reason: Sentence
    until_ms: EpochMs
    wake_over_viewers: NonNegative | None = None
    """It does not hold for an incident that has hit more viewers than this; absent: however many."""
    enabled: bool = True
    """False takes it back."""
    ended_by: OptionalName = ""
    """Who took it back."""


SILENCES = TopicSpec(
    name="silences",
    key="silence",
    value=Silence,
    key_of=lambda silence: silence.silence,
    describes="Silences: which incidents wake nobody, bounded by time and by impact.",
    producers=("playhead incidents", "incidents", "console"),
    consumers=("incidents", "playhead incidents", "console"),
    cleanup=Cleanup.COMPACT,
    partitions=1,
)
