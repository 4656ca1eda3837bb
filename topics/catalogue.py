"""`catalogue`: the titles that can be watched."""

from __future__ import annotations

from typing import Annotated

import msgspec

from topics.delivery import Delivery
from topics.fields import Count, Name, OptionalName, Record
from topics.spec import Cleanup, TopicSpec


class Title(Record, frozen=True, kw_only=True):
    """One title."""

    title: Name
    name: OptionalName = ""
    genres: list[Name] = []
    year: Annotated[int, msgspec.Meta(ge=1870, le=2200)] | None = None
    live: bool = False
    duration_s: Count | None = None
    delivery: Delivery | None = None
    """What there is to be played; absent: the gateway has no manifest of it."""


CATALOGUE = TopicSpec(
    name="catalogue",
    key="title",
    value=Title,
    key_of=lambda title: title.title,
    describes="Titles: genres, year, live or on demand.",
    producers=("content team", "playhead produce"),
    consumers=("preferences", "gateway"),
    cleanup=Cleanup.COMPACT,
    partitions=1,
)
