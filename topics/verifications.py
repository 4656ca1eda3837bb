"""`verifications` and `pulse`: whether what was done helps, and whether the pipeline still sees.

A move is verified against those of the same audience who were not moved. The interval holds however often it
is looked at (an asymptotic confidence sequence), so that a command may be widened or undone at any window.
"""

from __future__ import annotations

from enum import StrEnum

from topics.fields import Count, EpochMs, Name, NonNegative, OptionalName, Ratio, Record
from topics.spec import Cleanup, TopicSpec


class Verdict(StrEnum):
    """What the comparison says so far."""

    UNKNOWN = "unknown"
    HELPED = "helped"
    HARMED = "harmed"
    NO_EFFECT = "no_effect"
    """Not told apart within the time in which a help would have shown."""


class Verification(Record, frozen=True, kw_only=True):
    """What the viewers of an audience who were moved see, beside those who were not."""

    audience: Name
    command_id: OptionalName = ""
    """The command in force in the last window counted."""
    incident: OptionalName = ""
    since_ms: EpochMs
    """Start of the first window counted."""
    window_end_ms: EpochMs
    windows: Count
    moved_viewers: NonNegative
    moved_bad: NonNegative
    """... who stalled or failed."""
    control_viewers: NonNegative
    control_bad: NonNegative
    difference_low: float | None = None
    """Bounds of the difference of the two ratios, moved less control; absent while too few were seen."""
    difference_high: float | None = None
    p_value: Ratio = 1.0
    verdict: Verdict = Verdict.UNKNOWN


VERIFICATIONS = TopicSpec(
    name="verifications",
    key="audience",
    value=Verification,
    key_of=lambda verification: verification.audience,
    describes="Whether a move helps, against the viewers of the same audience who were not moved.",
    producers=("verify",),
    consumers=("policy", "console"),
    cleanup=Cleanup.COMPACT,
)


class Pulse(Record, frozen=True, kw_only=True):
    """The newest that an agent has seen whole; when it grows old, the pipeline is blind."""

    agent: Name
    window_end_ms: EpochMs
    viewers: NonNegative
    viewers_by_cdn: dict[Name, NonNegative] = {}
    """Where they are; empty where beats name no CDN."""


PULSE = TopicSpec(
    name="pulse",
    key="agent",
    value=Pulse,
    key_of=lambda pulse: pulse.agent,
    describes="The newest window each agent has seen whole.",
    producers=("verify",),
    consumers=("policy", "console"),
    cleanup=Cleanup.COMPACT,
    partitions=1,
)
