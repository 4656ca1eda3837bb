"""`viewing`: what viewers do, under a pseudonym."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from topics.fields import DurationMs, Name, OptionalName, Record
from topics.spec import TopicSpec

MAX_RATING = 5.0
"""The best rating; the worst is 0."""


class Action(StrEnum):
    """What a viewer did."""

    PLAY = "play"
    STOP = "stop"
    COMPLETE = "complete"
    LIKE = "like"
    RATE = "rate"
    SHARE = "share"
    SEARCH = "search"
    ADD_TO_LIST = "add_to_list"


class ViewerAction(Record, frozen=True, kw_only=True):
    """One action of one viewer."""

    viewer: Name
    """A pseudonym: never a name, address or account number."""
    action: Action
    title: OptionalName = ""
    rating: Annotated[float, msgspec.Meta(ge=0, le=MAX_RATING)] | None = None
    watched_ms: DurationMs | None = None
    query: OptionalName = ""
    region: OptionalName = ""


VIEWING = TopicSpec(
    name="viewing",
    key="viewer",
    value=ViewerAction,
    key_of=lambda action: action.viewer,
    describes="Viewers' actions: play, stop, complete, like, rate, share, search, add to list.",
    producers=("gateway", "playhead produce"),
    consumers=("preferences", "popularity", "experiments"),
)
