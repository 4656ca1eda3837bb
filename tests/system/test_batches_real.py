"""The batch of a real lane keeps its promises, over messages of a real topic."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from batch_checks import PACKED, ROWS, SAMPLE, BatchChecks, Batches, Refusal, Row
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from topic_tools import TopicTools

from agents import metrics
from playhead.engine.batch import MessageBatch
from topics import TELEMETRY
from topics.dead_letters import DeadLetter
from topics.spec import ENCODING_HEADER
from topics.spec import PACKED as PACKED_ENCODING

PARTITION = 2
HEADERS: list[tuple[str, bytes | None]] = [("trace", b"7"), ("empty", None)]
names = count()


@pytest.fixture(scope="module")
def messages(kafka: Any) -> list[Message]:
    """The rows, as they come back from the broker."""
    topics = TopicTools(kafka.brokers, "batches.")
    topics.create(TELEMETRY)
    name = TELEMETRY.full_name(topics.prefix)
    producer = Producer(topics.client)
    for key, value, time_ms, packed in ROWS:
        encoding = [(ENCODING_HEADER, PACKED_ENCODING.encode())] if packed else []
        producer.produce(
            name, key=key, value=value, partition=PARTITION, timestamp=time_ms, headers=[*HEADERS, *encoding]
        )
    assert producer.flush(20) == 0
    consumer = Consumer(topics.client | {"group.id": "batches"})
    consumer.assign([TopicPartition(name, PARTITION, 0)])
    found: list[Message] = consumer.consume(len(ROWS), 30)
    consumer.close()
    assert len(found) == len(ROWS)
    return found


def letters(batch: MessageBatch) -> list[DeadLetter]:
    return [emission.record for emission in batch.refused]  # type: ignore[misc]


def refusals(batch: MessageBatch) -> list[Refusal]:
    return [
        Refusal(batch.offsets.index(letter.offset), letter.reason, letter.packed_index)
        for letter in letters(batch)
    ]


def tallied(batch: MessageBatch) -> tuple[int, int]:
    events = [metrics.EVENTS.labels(batch._agent, outcome)._value for outcome in ("processed", "late")]
    before = [each.get() for each in events]
    batch.report()
    processed, late = (int(each.get() - old) for each, old in zip(events, before, strict=True))
    return processed, late


class TestMessageBatch(BatchChecks):
    @pytest.fixture
    def batches(self, messages: list[Message]) -> Batches:
        def made(rows: Sequence[Row]) -> MessageBatch:
            assert rows is ROWS
            return MessageBatch(f"batches-{next(names)}", TELEMETRY, PARTITION, messages)

        return Batches(made, refusals, tallied)

    def test_a_refused_record_is_kept_whole_with_its_place(self, messages: list[Message]) -> None:
        batch = MessageBatch("scorer", TELEMETRY, PARTITION, messages)

        batch.refuse(1, "no text")

        (letter,) = letters(batch)
        assert (letter.agent, letter.topic, letter.partition, letter.offset) == ("scorer", "telemetry", 2, 1)
        assert (letter.key, letter.value, letter.time_ms) == (None, b"\xff no text", 1_001)
        assert letter.headers == [("trace", b"7"), ("empty", b"")]

    def test_a_refused_event_of_many_is_kept_alone(self, messages: list[Message]) -> None:
        batch = MessageBatch("scorer", TELEMETRY, PARTITION, messages)
        assert batch.values[4] == PACKED

        batch.refuse(4, "late", 0)

        (letter,) = letters(batch)
        assert letter.key == b"payment/error_rate"
        assert letter.value is not None
        assert TELEMETRY.decode(letter.value) == TELEMETRY.decode(SAMPLE)
        assert letter.headers == [("trace", b"7"), ("empty", b"")]

    def test_read_is_processed_and_dead(self, messages: list[Message]) -> None:
        agent = f"batches-{next(names)}"
        batch = MessageBatch(agent, TELEMETRY, PARTITION, messages)
        batch.refuse(1, "no text")
        batch.refuse(3, "empty")
        batch.refuse(4, "late", 0)
        batch.refuse(4, "from the future", 1)
        batch.tally(processed=2, late=1)

        batch.report()

        def told(counter: Any) -> dict[str, float]:
            return {
                sample.labels["outcome"]: sample.value
                for sample in counter.collect()[0].samples
                if sample.name.endswith("_total") and sample.labels["agent"] == agent
            }

        assert told(metrics.RECORDS) == {"processed": 3, "dead": 2}
        assert told(metrics.EVENTS) == {"processed": 2, "late": 1, "dead": 3}
