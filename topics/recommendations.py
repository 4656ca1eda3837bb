"""`recommendations` and `invalidations`: each viewer's list, and what a change of taste outdates."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from topics.fields import Name, OptionalName, Record
from topics.spec import Cleanup, TopicSpec


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """One title of a list, with why it is there."""

    title: Name
    score: float
    reason: OptionalName = ""


class Recommendation(Record, frozen=True, kw_only=True):
    """A viewer's list, best first."""

    viewer: Name
    titles: list[Suggestion]
    genres: dict[str, float] = {}
    """The viewer's genre preferences that the list follows."""


class InvalidationScope(StrEnum):
    """Which cached entries are outdated."""

    KEY = "key"
    PREFIX = "prefix"


class Invalidation(Record, frozen=True, kw_only=True):
    """Entries of the cache that must not be served any more."""

    scope: InvalidationScope
    key: Name
    reason: OptionalName = ""


RECOMMENDATIONS = TopicSpec(
    name="recommendations",
    key="viewer",
    value=Recommendation,
    key_of=lambda recommendation: recommendation.viewer,
    describes="Each viewer's list of titles.",
    producers=("preferences",),
    consumers=("gateway",),
    cleanup=Cleanup.COMPACT,
)

INVALIDATIONS = TopicSpec(
    name="invalidations",
    key="cache key",
    value=Invalidation,
    key_of=lambda invalidation: invalidation.key,
    describes="Cache entries that a viewer's action outdated.",
    producers=("preferences",),
    consumers=("gateway",),
    retention_hours=24,
)
