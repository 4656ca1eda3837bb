"""Sending a great many records, and knowing what became of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from playhead.brokers import AWAY

Notice = Callable[[str], None]
"""Told, once each, when the broker goes away and when it is back."""

Headers = Sequence[tuple[str, bytes | None]]

ANY_PARTITION = -1
"""The key decides."""

FULL_QUEUE_POLL_S = 0.05
FLUSH_POLL_S = 0.2
TOLD_FAILURES = 5


class Sender(Protocol):
    """The way to Kafka."""

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = ANY_PARTITION,
        headers: Headers | None = None,
        events: int = 1,
    ) -> None:
        """Queue one record that carries so many events."""

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take in what the broker said."""

    def flush(self) -> None:
        """Return once the broker has taken or failed every record."""


class BulkSender:
    """Implements `Sender` for tools: a full queue makes them wait, and failures are counted, not raised.

    Args:
        client: settings of a producer, with ``bootstrap.servers``, as `brokers.producer_config` gives them.
        notice: told of outages.
        linger_ms: how long a record may wait for company.
    """

    def __init__(self, client: Mapping[str, Any], notice: Notice, *, linger_ms: float = 20.0) -> None:
        self._notice = notice
        self._away = False
        self._left = 0
        self.failed = 0
        """Events that the broker did not take."""
        self.failures: list[str] = []
        """Why, for the first few."""
        self._producer = Producer(
            {
                **client,
                "linger.ms": linger_ms,
                "batch.size": 1_000_000,
                "batch.num.messages": 50_000,
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 262_144,
                # Millions of successes are counted by what is left, without a call of Python for each.
                "delivery.report.only.error": True,
                "error_cb": self._note_error,
            }
        )

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = ANY_PARTITION,
        headers: Headers | None = None,
        events: int = 1,
    ) -> None:
        """Queue one record, waiting while the queue is full."""
        count = self._count_failure if events == 1 else partial(self._count_failure, events=events)
        while True:
            try:
                self._producer.produce(topic, value, key, partition, count, headers=headers)
                return
            except BufferError:
                self.poll(FULL_QUEUE_POLL_S)
            except KafkaException as error:
                # Such as a record larger than any broker takes: it never reaches the queue.
                count(error.args[0], None)
                return

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take in what the broker said."""
        self._producer.poll(timeout_s)
        left = len(self._producer)
        if self._away and left < self._left:
            self._away = False
            self._notice("Kafka answers again")
        self._left = left

    def flush(self) -> None:
        """Return once the broker has taken or failed every record."""
        while self._producer.flush(FLUSH_POLL_S):
            self.poll()

    def _count_failure(self, error: KafkaError | None, message: Message | None, events: int = 1) -> None:
        if error is None:
            return
        self.failed += events
        if len(self.failures) < TOLD_FAILURES:
            where = "" if message is None else f"{message.topic()}: "
            self.failures.append(where + error.str())

    def _note_error(self, error: KafkaError) -> None:
        if error.code() in AWAY and not self._away:
            self._away = True
            self._notice("Kafka does not answer; waiting for it")
