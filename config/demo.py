"""The figures of the demo."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.sections import NonNegativeInt, PositiveFloat, PositiveInt, Section, Share


class DemoSettings(Section):
    """How fast recordings are replayed, and what is made up around them."""

    seed: NonNegativeInt
    feed_s: PositiveFloat
    max_beats_per_s: PositiveFloat
    fed_within_s: PositiveFloat
    tick_ms: PositiveInt
    most_behind_s: PositiveFloat
    largest_minute: PositiveInt
    fault_minutes: NonNegativeInt
    healed_minutes: NonNegativeInt
    stall_ms: Annotated[int, Field(gt=0, le=60_000)]
    segment_ms: PositiveInt
    segments_lost_from: Share
    segments_lost_to: Share
    viewers: PositiveInt
    actions_per_minute: PositiveInt
    node_headroom: PositiveFloat
    first_share: Share
    lease_s: PositiveFloat
    renew_before_s: PositiveFloat
    ready_timeout_s: PositiveFloat
    quiet_s: PositiveFloat
    settle_s: PositiveFloat
