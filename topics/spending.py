"""`spending`: how far each detector has spent its share of the budget of false pages."""

from __future__ import annotations

from typing import Annotated

import msgspec

from topics.fields import Count, EpochMs, Name, NonNegative, Ratio, Record
from topics.spec import Cleanup, TopicSpec


class Spending(Record, frozen=True, kw_only=True):
    """The ledger of one detector, since it started to count."""

    detector: Name
    """Who spends: an agent, with its partition where each has a share of its own, such as `telemetry/3`;
    or a rule of another tool, such as `foreign/HighErrors/3`."""
    since_ms: EpochMs
    share: Ratio
    """Of the budget that all detectors have together."""
    false_pages_per_week: Annotated[float, msgspec.Meta(gt=0)]
    """That budget."""
    page_level: Ratio
    """The p-value below which the detector pages now."""
    tests: Count
    """Samples judged."""
    spent: NonNegative
    """False pages that so many tests at their levels make at most, in expectation. All pages of another
    tool's rule, which states no level."""
    episodes: Count
    """Episodes recorded, paging or not."""
    pages: Count
    """Of these, how many paged."""
    static_pages: Count
    """... and how many of the pages a static bound decided, not what was learned."""


SPENDING = TopicSpec(
    name="spending",
    key="detector",
    value=Spending,
    key_of=lambda spending: spending.detector,
    cleanup=Cleanup.COMPACT,
    describes="What each detector has spent of its share of the budget of false pages: tests, alpha, pages.",
    producers=("telemetry", "cohorts", "learned", "foreign"),
    consumers=("console", "gateway", "playhead budget"),
)
