"""A way to Kafka that only remembers, and Kafka messages made by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

from confluent_kafka import Message


class Sent(NamedTuple):
    """One record as it was handed over."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int
    headers: Any


class MemorySender:
    """Implements `playhead.bulk_sender.Sender`."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.flushes = 0

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: Any = None,
        events: int = 1,
    ) -> None:
        self.sent.append(Sent(topic, value, key, partition, headers))

    def poll(self, timeout_s: float = 0.0) -> None:
        pass

    def flush(self) -> None:
        self.flushes += 1


def message(
    topic: str,
    partition: int,
    offset: int,
    *,
    time_ms: int = 0,
    key: bytes | None = None,
    value: bytes | None = None,
    headers: list[tuple[str, bytes | None]] | None = None,
) -> Message:
    """Return a message as a consumer hands it over."""
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=(1, time_ms),
        key=key,
        value=value,
        headers=headers,
    )
