"""Reading what a topic holds now, from a chosen start to its end, in no consumer group.

The end is that of the moment reading begins: what is written meanwhile is left for later, so that reading
ends however busy the topic is.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import chain
from time import monotonic, sleep
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from playhead.brokers import (
    BrokerRefusedError,
    BrokerUnavailableError,
    broker_error,
    first_answer_s,
    kafka_errors,
)
from topics.errors import PlayheadError

Start = Literal["beginning"] | datetime | Mapping[int, int]
"""The oldest record kept; the first one not before a time; or an offset per partition."""

Progress = Callable[[int, int], None]
"""Told how many offsets are behind, and how many there were to read."""

BATCH = 5_000
POLL_S = 0.5
SETTLE_S = 0.1

UNSETTLED = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""What is answered of a partition that has had its leader for a moment only; waiting mends it."""


class TopicMissingError(PlayheadError):
    """A topic to read is not on the broker."""


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets of one partition to read: from `first` up to and not including `end`."""

    partition: int
    first: int
    end: int


def read_to_end(
    client: Mapping[str, Any],
    topic: str,
    start: Start = "beginning",
    *,
    by_time: bool = False,
    progress: Progress | None = None,
    stall_timeout_s: float = 30.0,
) -> Iterator[Message]:
    """Yield the records of `topic` from `start` to the end it has now.

    Records of a partition come in their order. Partitions come as the broker sends them or, `by_time`, merged
    by the records' timestamps; that takes a connection per partition, so that none is read far ahead.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        topic: its full name.
        start: where to begin; a start before the oldest record is that record.
        by_time: whether to merge the partitions by timestamp.
        progress: told after each batch.
        stall_timeout_s: how long the broker may send nothing of what it has.

    Raises:
        TopicMissingError: there is no such topic.
        BrokerUnavailableError: the broker does not answer, or stops sending.
        BrokerRefusedError: the broker answers with an error.
    """
    spans = [span for span in spans_of(client, topic, start) if span.first < span.end]
    told = _Progress(spans, progress)
    runs = [[span] for span in spans] if by_time else [spans]
    readers = [_read(client, topic, run, told, stall_timeout_s) for run in runs]
    try:
        yield from merge(*readers, key=time_ms) if by_time else chain.from_iterable(readers)
    finally:
        for reader in readers:
            reader.close()


def spans_of(client: Mapping[str, Any], topic: str, start: Start = "beginning") -> list[Span]:
    """Return what each partition of `topic` holds from `start` on.

    Raises:
        TopicMissingError, BrokerUnavailableError, BrokerRefusedError: as `read_to_end` does.
    """
    brokers, timeout_s = str(client["bootstrap.servers"]), first_answer_s(client)
    deadline_s = monotonic() + timeout_s
    with _consumer(client) as consumer:
        while True:
            try:
                with kafka_errors(brokers):
                    return _spans(consumer, brokers, topic, start, timeout_s)
            except BrokerRefusedError as error:
                # A partition just made, or moved, may be asked for before its new leader knows of it.
                if error.code not in UNSETTLED or monotonic() > deadline_s:
                    raise
            sleep(SETTLE_S)


def _spans(consumer: Consumer, brokers: str, topic: str, start: Start, timeout_s: float) -> list[Span]:
    found = consumer.list_topics(topic, timeout_s).topics[topic]
    if found.error is not None:
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicMissingError(
                f"there is no topic {topic!r} on {brokers}: `playhead topics create` makes the ones "
                "of the contracts, with the prefix that is set"
            )
        raise broker_error(brokers, found.error)
    places = [TopicPartition(topic, number) for number in sorted(found.partitions)]
    bounds = {place.partition: consumer.get_watermark_offsets(place, timeout=timeout_s) for place in places}
    firsts: Mapping[int, int] = {}
    if isinstance(start, datetime):
        asked = [TopicPartition(topic, number, int(start.timestamp() * 1000)) for number in bounds]
        at = consumer.offsets_for_times(asked, timeout=timeout_s)
        # A time after the newest record has no offset: what is asked for begins at the end.
        firsts = {
            each.partition: each.offset if each.offset >= 0 else bounds[each.partition][1] for each in at
        }
    elif start != "beginning":
        firsts = start
    return [Span(number, max(low, firsts.get(number, low)), high) for number, (low, high) in bounds.items()]


def time_ms(message: Message) -> int:
    """Return a record's timestamp, in ms since the epoch."""
    return int(message.timestamp()[1])


def _consumer(client: Mapping[str, Any]) -> Consumer:
    return Consumer(
        {
            **client,
            # A name is demanded; nothing is ever committed under it.
            "group.id": f"playhead-reader-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 16_384,
        }
    )


def _read(
    client: Mapping[str, Any],
    topic: str,
    spans: Sequence[Span],
    told: _Progress,
    stall_timeout_s: float,
) -> Generator[Message, None, None]:
    brokers = str(client["bootstrap.servers"])
    ends = {span.partition: span.end for span in spans}
    waited_s = 0.0
    with kafka_errors(brokers), _consumer(client) as consumer:
        consumer.assign([TopicPartition(topic, span.partition, span.first) for span in spans])
        while ends:
            first = consumer.poll(POLL_S)
            batch = [] if first is None else [first, *consumer.consume(BATCH, 0)]
            waited_s += POLL_S
            for message in batch:
                number, error = message.partition(), message.error()
                if number not in ends:
                    continue
                waited_s = 0.0
                if error is None and message.offset() < ends[number]:
                    yield message
                    told.reached(number, message.offset() + 1)
                elif error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise broker_error(brokers, error)
                # The last offsets may hold no record: compaction or a transaction's marker has taken them.
                if error is not None or message.offset() + 1 >= ends[number]:
                    told.reached(number, ends.pop(number))
                    consumer.pause([TopicPartition(topic, number)])
            told.tell()
            if waited_s >= stall_timeout_s:
                raise BrokerUnavailableError(
                    f"Kafka at {brokers} has sent nothing of {topic} for {stall_timeout_s:g} s, though there "
                    f"is more in partitions {sorted(ends)}: see `playhead status`"
                )


class _Progress:
    """How far the partitions of one reading have come, together."""

    def __init__(self, spans: Iterable[Span], progress: Progress | None) -> None:
        self._firsts = {span.partition: span.first for span in spans}
        self._reached = dict(self._firsts)
        self._total = sum(span.end - span.first for span in spans)
        self._progress = progress

    def reached(self, partition: int, offset: int) -> None:
        self._reached[partition] = offset

    def tell(self) -> None:
        if self._progress is not None:
            done = sum(self._reached.values()) - sum(self._firsts.values())
            self._progress(done, self._total)
