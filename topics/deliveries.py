"""`deliveries`: what each receiver outside Playhead was told last of each incident, and what it answered."""

from __future__ import annotations

from enum import StrEnum

from topics.fields import Count, Name, Record, Sentence
from topics.spec import Cleanup, TopicSpec


class NoticeKind(StrEnum):
    """What a receiver is told."""

    PAGE = "page"
    """It asks for somebody: it pages, pages again, or is more severe than when it did."""
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class DeliveryStatus(StrEnum):
    """What came of telling."""

    DELIVERED = "delivered"
    FAILING = "failing"
    """It could not be told yet and is tried again."""
    REFUSED = "refused"
    """It will not take this notice; it is not tried again."""


class NoticeDelivery(Record, frozen=True, kw_only=True):
    """The newest notice to a receiver about an incident."""

    delivery: Name
    """``receiver/incident``."""
    receiver: Name
    incident: Name
    notice: Name
    """Id of what was told: the same however often it was tried, so that a receiver takes it once."""
    kind: NoticeKind
    status: DeliveryStatus
    attempts: Count = 1
    """How often the receiver was tried in a row when this was written."""
    answer: Sentence = ""
    labels: dict[str, str] = {}
    """Of an Alertmanager's alert: what it is known by there."""


def delivery_key(receiver: str, incident: str) -> str:
    """Return the key of a delivery.

    >>> delivery_key("on-call", "d94ab8")
    'on-call/d94ab8'
    """
    return f"{receiver}/{incident}"


DELIVERIES = TopicSpec(
    name="deliveries",
    key="receiver/incident",
    value=NoticeDelivery,
    key_of=lambda delivery: delivery.delivery,
    describes="What each receiver was told last of each incident, and what it answered.",
    producers=("notify",),
    consumers=("notify", "playhead incidents"),
    cleanup=Cleanup.COMPACT,
)
