"""`placements`: at which sites each title is to be kept, and when what lacks is to be copied there."""

from __future__ import annotations

from typing import Annotated

import msgspec

from topics.fields import Count, Name, Ratio, Record, Sentence
from topics.spec import Cleanup, TopicSpec

HourOfDay = Annotated[int, msgspec.Meta(ge=0, le=23)]


class SiteFill(msgspec.Struct, frozen=True, kw_only=True):
    """A copy to be made."""

    site: Name
    at_hour: HourOfDay
    """UTC: the site's quietest hour."""


class TitlePlacement(Record, frozen=True, kw_only=True):
    """Where one title is kept from now on."""

    title: Name
    sites: list[Name]
    """Best first; popular titles have more."""
    fills: list[SiteFill] = []
    """Sites that did not hold it before."""
    drops: list[Name] = []
    """Sites that held it and need it no longer."""
    plays: Count = 0
    """In the time looked at."""
    best_score: Ratio = 0.0
    reason: Sentence = ""


PLACEMENTS = TopicSpec(
    name="placements",
    key="title",
    value=TitlePlacement,
    key_of=lambda placement: placement.title,
    describes="At which sites each title is kept, and which copies are to be made when it is quiet.",
    producers=("playhead place",),
    consumers=("CDN nodes", "gateway"),
    cleanup=Cleanup.COMPACT,
)
