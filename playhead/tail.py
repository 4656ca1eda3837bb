"""Reading several topics from a chosen start and on, as records come, in no consumer group.

`log_reader` reads one topic to its end; a tail goes on, survives a broker that goes away for a while, and
says when all that stood there at the start has been read.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from playhead import log_reader
from playhead.brokers import AWAY, broker_error, kafka_errors

Start = Literal["beginning", "end"] | int
"""The oldest record kept; what comes from now on; or what Kafka took in since a time, Unix epoch in ms."""

WAITED_FOR = AWAY | log_reader.UNSETTLED
"""What waiting mends: the broker is away, or a partition has no leader for now."""

Place = tuple[str, int]
"""A topic's full name and a partition."""


class Tail:
    """Follows every partition of some topics; a context manager.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        topics: full names.
        start: where to begin.
        notice: told when the broker goes away and when it is back.

    Raises:
        TopicMissingError: one of the topics is not there.
        BrokerUnavailableError: the broker does not answer.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topics: Sequence[str],
        start: Start,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._brokers = str(client["bootstrap.servers"])
        self._notice = notice
        self._away = False
        self._unread: dict[Place, int] = {}
        places: list[TopicPartition] = []
        backlog = 0
        since: log_reader.Start
        since = datetime.fromtimestamp(start / 1_000, UTC) if isinstance(start, int) else "beginning"
        for topic in topics:
            for span in log_reader.spans_of(client, topic, since):
                first = span.end if start == "end" else span.first
                places.append(TopicPartition(topic, span.partition, first))
                if first < span.end:
                    self._unread[topic, span.partition] = span.end
                    backlog += span.end - first
        self.places: tuple[Place, ...] = tuple((place.topic, place.partition) for place in places)
        """All that is followed."""
        self.backlog = backlog
        """Offsets there were to read at the start."""
        self._consumer = Consumer(
            {
                **client,
                # A name is demanded; nothing is ever committed under it.
                "group.id": f"playhead-tail-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                # The default of a second stalls a consumer whose queue was full.
                "fetch.queue.backoff.ms": 2,
                "queued.max.messages.kbytes": 65_536,
                "error_cb": self._note_error,
            }
        )
        self._consumer.assign(places)

    @property
    def unread(self) -> frozenset[Place]:
        """Partitions of which something that was there at the start has not been read."""
        return frozenset(self._unread)

    def read(self, most: int, wait_s: float) -> list[Message]:
        """Return at most `most` records, waiting up to `wait_s` for the first.

        Raises:
            BrokerRefusedError: the broker answered with an error that waiting does not mend.
        """
        with kafka_errors(self._brokers):
            first = self._consumer.poll(wait_s)
            messages = [] if first is None else [first, *self._consumer.consume(most - 1, 0)]
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                # The last offsets may hold no record: compaction or a transaction's marker has taken them.
                self._unread.pop((message.topic(), message.partition()), None)
            elif error.code() in WAITED_FOR:
                self._note_error(error)
                continue
            else:
                raise broker_error(self._brokers, error)
            self._note_answer()
        if records:
            self._note_answer()
        if self._unread:
            self._note_read(records)
        return records

    def pause(self, place: Place) -> None:
        """Read nothing more of a partition for now."""
        self._consumer.pause([TopicPartition(*place)])

    def resume(self, place: Place) -> None:
        """Read a paused partition again."""
        self._consumer.resume([TopicPartition(*place)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def _note_read(self, records: list[Message]) -> None:
        newest = {(record.topic(), record.partition()): record.offset() for record in records}
        for place, offset in newest.items():
            if offset + 1 >= self._unread.get(place, offset + 2):
                del self._unread[place]

    def _note_answer(self) -> None:
        if self._away:
            self._away = False
            self._notice("Kafka answers again")

    def _note_error(self, error: KafkaError) -> None:
        if error.code() in WAITED_FOR and not self._away:
            self._away = True
            self._notice("Kafka does not answer; waiting for it")
