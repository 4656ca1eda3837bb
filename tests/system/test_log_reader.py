"""Reading a topic to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest
from confluent_kafka import Message, Producer

from playhead.brokers import BrokerUnavailableError
from playhead.engine.local_server import free_port
from playhead.log_reader import TopicMissingError, read_to_end, spans_of, time_ms
from playhead.topics_admin import TopicsAdmin, Wanted

NOON_MS = 1_781_956_800_000
PARTITIONS = 3


class Broker(Protocol):
    @property
    def brokers(self) -> str: ...
    def kill(self) -> bool: ...


@pytest.fixture
def client(kafka: Broker) -> dict[str, Any]:
    return {"bootstrap.servers": kafka.brokers, "log_level": 0}


@pytest.fixture
def topic(client: dict[str, Any], topic_prefix: str) -> str:
    name = f"{topic_prefix}log"
    TopicsAdmin(client).create([Wanted(name, PARTITIONS)])
    return name


@pytest.fixture
def write(client: dict[str, Any], topic: str) -> Callable[[int, int], None]:
    """Write `count` records from `first` on, a second apart, round the partitions."""

    def write(first: int, count: int) -> None:
        producer = Producer(client)
        for number in range(first, first + count):
            producer.produce(
                topic,
                value=str(number).encode(),
                partition=number % PARTITIONS,
                timestamp=NOON_MS + number * 1000,
            )
        assert producer.flush(20) == 0

    return write


def numbers(messages: list[Message]) -> list[int]:
    return [int(message.value()) for message in messages]


def test_every_record_is_read_once_and_partitions_keep_their_order(
    client: dict[str, Any], topic: str, write: Callable[[int, int], None]
) -> None:
    write(0, 1_000)

    found = numbers(list(read_to_end(client, topic)))

    assert sorted(found) == list(range(1_000))
    for partition in range(PARTITIONS):
        run = [number for number in found if number % PARTITIONS == partition]
        assert run == sorted(run)


def test_partitions_are_merged_by_time_where_asked(
    client: dict[str, Any], topic: str, write: Callable[[int, int], None]
) -> None:
    write(0, 1_000)

    found = list(read_to_end(client, topic, by_time=True))

    assert numbers(found) == list(range(1_000))
    assert [time_ms(message) for message in found] == [NOON_MS + number * 1000 for number in range(1_000)]


def test_the_end_is_that_of_the_moment_reading_began(
    client: dict[str, Any], topic: str, write: Callable[[int, int], None]
) -> None:
    write(0, 30)
    reading = read_to_end(client, topic)
    found = [next(reading)]

    write(30, 30)
    found += reading

    assert sorted(numbers(found)) == list(range(30))


def test_reading_starts_at_a_time(
    client: dict[str, Any], topic: str, write: Callable[[int, int], None]
) -> None:
    write(0, 100)

    found = read_to_end(client, topic, datetime.fromtimestamp(NOON_MS / 1000 + 90, UTC))

    assert sorted(numbers(list(found))) == list(range(90, 100))


def test_a_time_after_the_newest_record_leaves_nothing_to_read(
    client: dict[str, Any], topic: str, write: Callable[[int, int], None]
) -> None:
    write(0, 100)

    assert list(read_to_end(client, topic, datetime.fromtimestamp(NOON_MS / 1000 + 100, UTC))) == []


def test_reading_starts_at_offsets(
    client: dict[str, Any], topic: str, write: Callable[[int, int], None]
) -> None:
    write(0, 30)

    found = read_to_end(client, topic, {0: 8, 1: 10_000})

    assert sorted(numbers(list(found))) == sorted([24, 27, *range(2, 30, 3)])


def test_an_empty_topic_ends_at_once(client: dict[str, Any], topic: str) -> None:
    assert list(read_to_end(client, topic)) == []
    assert [(span.first, span.end) for span in spans_of(client, topic)] == [(0, 0)] * PARTITIONS


def test_offsets_without_a_record_do_not_keep_reading_from_its_end(
    client: dict[str, Any], topic: str
) -> None:
    producer = Producer(client | {"transactional.id": topic})
    producer.init_transactions(20)
    for number, ends in enumerate((producer.commit_transaction, producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value=str(number).encode(), partition=0)
        assert producer.flush(20) == 0  # aborting would forget what was not sent yet
        ends(20)
    # The broker says that a transaction has ended before its marker is in the log.
    deadline_s = time.monotonic() + 20
    while spans_of(client, topic)[0].end < 4 and time.monotonic() < deadline_s:
        time.sleep(0.05)

    assert numbers(list(read_to_end(client, topic))) == [0]


def test_progress_is_told_up_to_the_whole(
    client: dict[str, Any], topic: str, write: Callable[[int, int], None]
) -> None:
    write(0, 300)
    told: list[tuple[int, int]] = []

    for _ in read_to_end(client, topic, {0: 50}, progress=lambda done, total: told.append((done, total))):
        pass

    assert told[-1] == (250, 250)
    assert told == sorted(told)


def test_a_topic_that_is_not_there_is_named(client: dict[str, Any], topic_prefix: str) -> None:
    with pytest.raises(TopicMissingError, match=f"no topic '{topic_prefix}nothing'.*playhead topics create"):
        list(read_to_end(client, f"{topic_prefix}nothing"))


def test_a_broker_that_does_not_answer_is_named() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    client = {"bootstrap.servers": nobody, "log_level": 0, "socket.connection.setup.timeout.ms": 1000}

    with pytest.raises(BrokerUnavailableError, match=f"no answer from Kafka at {nobody}"):
        list(read_to_end(client, "log"))


def test_a_broker_that_stops_sending_ends_the_reading(fault_kafka: Broker) -> None:
    client = {"bootstrap.servers": fault_kafka.brokers, "log_level": 0}
    TopicsAdmin(client).create([Wanted("log", 1)])
    producer = Producer(client | {"compression.type": "none"})
    for _ in range(600):
        producer.produce("log", value=bytes(100_000))
        producer.poll(0)
    assert producer.flush(30) == 0
    reading = read_to_end(client, "log", stall_timeout_s=2)
    next(reading)
    time.sleep(0.5)

    fault_kafka.kill()

    with pytest.raises(BrokerUnavailableError, match=r"sent nothing of log for 2 s.*partitions \[0\]"):
        list(reading)
