"""`recommendations` and `invalidations`: each viewer's list, and what a change of taste outdates."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from topics.fields import Name, OptionalName, Record
from topics.spec import Cleanup, TopicSpec

CacheKey = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
"""A key of the cache, or the beginning of one: names joined by colons, which the names themselves escape."""


def list_key(viewer: str) -> str:
    """Return the cache key of a viewer's list.

    >>> list_key("v-1"), list_key("a:b")
    ('list:v-1', 'list:a%3Ab')
    """
    return f"list:{_escaped(viewer)}"


def genre_lists_prefix(viewer: str) -> str:
    """Return what the cache keys of a viewer's lists by genre begin with.

    >>> genre_lists_prefix("v-1")
    'list:v-1:genre:'
    """
    return f"{list_key(viewer)}:genre:"


def session_key(viewer: str) -> str:
    """Return the cache key of a viewer's session.

    >>> session_key("v-1")
    'session:v-1'
    """
    return f"session:{_escaped(viewer)}"


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace(":", "%3A")


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
    key: CacheKey
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
