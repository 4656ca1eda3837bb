"""Topics on a test's broker: made, written to and read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from confluent_kafka import Producer

from playhead.log_reader import read_to_end
from playhead.topics_admin import TopicsAdmin, wanted
from topics.fields import Record
from topics.spec import AnySpec, TopicSpec

R = TypeVar("R", bound=msgspec.Struct)


class TopicTools:
    """The topics of one test, under its prefix."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self.client: dict[str, Any] = {
            "bootstrap.servers": brokers,
            "log_level": 0,
            "reconnect.backoff.max.ms": 500,
        }
        self.prefix = prefix

    def create(self, *specs: AnySpec) -> None:
        """Make the topics as their contracts say."""
        TopicsAdmin(self.client).create(wanted(specs, self.prefix))

    def send(self, spec: AnySpec, records: Iterable[Record | bytes | None], key: bytes | None = None) -> None:
        """Write `records`, encoded or as they are, and return once the broker has them."""
        # Idempotent, so that a batch sent again, as to a topic just made, is not doubled or out of order.
        producer = Producer(
            self.client | {"partitioner": "murmur2_random", "linger.ms": 5, "enable.idempotence": True}
        )
        failures: list[object] = []
        for record in records:
            whole = isinstance(record, Record)
            producer.produce(
                spec.full_name(self.prefix),
                key=spec.key_of(record).encode() if whole else key,
                value=spec.encode(record) if whole else record,
                on_delivery=lambda error, _: failures.append(error) if error is not None else None,
            )
        assert producer.flush(30) == 0
        assert failures == []

    def read(self, spec: TopicSpec[R]) -> list[R]:
        """Return what the topic holds now, in order per partition."""
        return [spec.decode(message.value()) for message in self.messages(spec)]

    def messages(self, spec: AnySpec) -> list[Any]:
        """Return what the topic holds now, as Kafka's messages."""
        return self.messages_of(spec.full_name(self.prefix))

    def messages_of(self, name: str) -> list[Any]:
        """Return what the topic of that full name holds now."""
        return list(read_to_end(self.client, name))
