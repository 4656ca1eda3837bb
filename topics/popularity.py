"""`popularity`: how each title is rated and how often it is played."""

from __future__ import annotations

from topics.fields import Count, Name, NonNegative, Record
from topics.spec import Cleanup, TopicSpec


class TitlePopularity(Record, frozen=True, kw_only=True):
    """Sums of one title in one partition of `viewing`; those of all partitions make the title's."""

    title: Name
    source: Count
    """Partition of `viewing`."""
    ratings: Count = 0
    rating_sum: NonNegative = 0.0
    plays: Count = 0


POPULARITY = TopicSpec(
    name="popularity",
    key="title, source partition",
    value=TitlePopularity,
    key_of=lambda popularity: f"{popularity.title}/{popularity.source}",
    describes="Ratings and plays of each title, per partition of viewing.",
    producers=("popularity",),
    consumers=("preferences",),
    cleanup=Cleanup.COMPACT,
    partitions=1,
    internal=True,
)
