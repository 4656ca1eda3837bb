"""`steering`: the content-steering answer now served to each audience.

The fields are those of the steering manifest of HLS (RFC 8216bis) and DASH (ETSI TS 103 998) and what
Playhead needs to explain and undo them.
"""

from __future__ import annotations

from topics.commands import RampStep
from topics.fields import (
    Cell,
    Count,
    EpochMs,
    Name,
    NonNegative,
    OptionalName,
    Positive,
    Ratio,
    Record,
    Sentence,
)
from topics.spec import Cleanup, TopicSpec


class SteeringAnswer(Record, frozen=True, kw_only=True):
    """What players of an audience are told."""

    audience: Name
    cell: Cell
    pathway_priority: list[Name]
    """Best first, none twice; what the moved share is told. Empty: nothing is asked of the pathways."""
    away_from: OptionalName = ""
    share: Ratio = 1.0
    """How much of the audience is moved; the rest is the control and keeps the default order."""
    split: dict[str, Ratio] = {}
    """Of those moved, how much goes first to each pathway; empty: all to the first of the order."""
    demand_gbps: NonNegative | None = None
    """What the audience asked of `away_from` when it was first moved; absent: maybe all there was."""
    ramp: list[RampStep] = []
    """How viewers return by themselves: from each time on only so many stay moved."""
    flaps: Count = 0
    """How often the audience was moved again soon after it had been brought back."""
    ttl_s: Positive
    max_bitrate_kbps: Positive | None = None
    p2p: bool | None = None
    generation: Count
    command_id: OptionalName = ""
    incident: OptionalName = ""
    reason: Sentence = ""
    expires_ms: EpochMs | None = None
    """When the default order returns by itself; absent where the default is being served."""
    origin_ms: EpochMs | None = None


STEERING = TopicSpec(
    name="steering",
    key="audience",
    value=SteeringAnswer,
    key_of=lambda answer: answer.audience,
    describes="The steering answer being served now, per audience.",
    producers=("cdn",),
    consumers=("gateway", "cdn", "console"),
    cleanup=Cleanup.COMPACT,
)
