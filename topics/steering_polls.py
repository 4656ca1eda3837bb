"""`steering.polls`: a sample of what players said when they polled, and what they were told."""

from __future__ import annotations

from topics.fields import Cell, Count, Name, NonNegative, OptionalName, Positive, Record
from topics.spec import TopicSpec


class SteeringPoll(Record, frozen=True, kw_only=True):
    """One poll."""

    title: OptionalName = ""
    group: Count
    """Of the viewer: those of one group are moved together."""
    cell: Cell = {}
    protocol: Name
    pathways: list[Name] = []
    """As the player said: HLS the one in use, DASH all that it has measured since its last poll."""
    throughput_kbps: NonNegative | None = None
    """... and how fast the first of them was."""
    told: list[Name] = []
    """The order it had been told before; empty where the default order was, or nothing."""
    followed: bool | None = None
    """Whether the first of `told` is among `pathways`; absent where one of them is not known."""
    order: list[Name]
    """What it is told now."""
    ttl_s: Count
    weight: Positive = 1.0
    """How many polls this one stands for."""


STEERING_POLLS = TopicSpec(
    name="steering.polls",
    key="title",
    value=SteeringPoll,
    key_of=lambda poll: poll.title or "-",
    describes="A sample of the polls of players: what they used, what they were told, whether they followed.",
    producers=("gateway",),
    consumers=("console", "playhead subscribe"),
    retention_hours=24,
)
