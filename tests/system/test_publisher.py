"""The way out to a real Kafka: delivered means readable, and nothing is lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sums import NUMBERS, Number
from topic_tools import TopicTools

from playhead.publisher import Publisher, UndeliveredError, encoded
from playhead.topics_admin import TopicsAdmin, Wanted
from topics import DEAD_LETTERS
from topics.emission import Emission


@pytest.fixture
def topics(kafka: Any, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(NUMBERS, DEAD_LETTERS)
    return tools


@pytest.fixture
def publish(topics: TopicTools) -> Iterator[Publisher]:
    publisher = Publisher(topics.client, topics.prefix)
    yield publisher
    publisher.close()


def number(value: int, name: str = "n") -> Emission:
    return Emission(NUMBERS, Number(id=str(value), time_ms=value, name=name, value=value))


def values(topics: TopicTools) -> list[int]:
    return [record.value for record in topics.read(NUMBERS)]


def java_partition(key: bytes, partitions: int) -> int:
    """Return where Kafka's own Java producer puts `key`: the murmur2 of its ``Utils``, made positive."""
    mask = 0xFFFFFFFF
    m = 0x5BD1E995
    digest = (0x9747B28C ^ len(key)) & mask
    for at in range(0, len(key) // 4 * 4, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        digest = (digest * m & mask) ^ k
    rest = key[len(key) // 4 * 4 :]
    if rest:
        digest = (digest ^ int.from_bytes(rest, "little")) * m & mask
    digest = (digest ^ digest >> 13) * m & mask
    digest ^= digest >> 15
    return (digest & 0x7FFFFFFF) % partitions


def test_the_reference_hash_is_that_of_kafka() -> None:
    # From the tests of Kafka's Utils.murmur2, as signed 32-bit numbers.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}

    for key, signed in known.items():
        assert java_partition(key, 0x80000000) == signed & 0x7FFFFFFF


async def test_what_is_acknowledged_can_be_read(topics: TopicTools, publish: Publisher) -> None:
    await publish([number(value) for value in range(100)])

    assert values(topics) == list(range(100))


async def test_nothing_to_send_is_sent_at_once(publish: Publisher) -> None:
    await publish([])


async def test_keys_land_where_java_and_faust_put_them(topics: TopicTools, publish: Publisher) -> None:
    names = [f"viewer-{number:03}-{'x' * (number % 7)}" for number in range(200)]

    await publish([number(place, name) for place, name in enumerate(names)])

    messages = topics.messages(NUMBERS)
    assert len(messages) == len(names)
    for message in messages:
        assert message.partition() == java_partition(message.key(), NUMBERS.partitions)


async def test_a_full_queue_makes_senders_wait_and_not_the_event_loop(topics: TopicTools) -> None:
    publisher = Publisher(topics.client, topics.prefix, queue_records=10)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await publisher([number(value) for value in range(300)])
    counting.cancel()
    for value in range(300, 400):
        publisher.send(encoded(number(value)))

    assert await asyncio.to_thread(publisher.flush, 20.0)
    publisher.close()
    assert values(topics) == list(range(400))
    assert turns > 30


async def test_a_record_too_large_for_its_contract_is_a_dead_letter(
    topics: TopicTools, publish: Publisher
) -> None:
    large = Emission(NUMBERS, Number(id="large", time_ms=7, name="n" * (NUMBERS.max_bytes + 1), value=1))

    await publish([number(1), large, number(2)])

    assert values(topics) == [1, 2]
    (letter,) = topics.read(DEAD_LETTERS)
    original = NUMBERS.encode(large.record)
    assert letter.reason.startswith("could not be published")
    assert str(len(original)) in letter.reason
    assert letter.value is not None
    assert original.startswith(letter.value)
    assert (letter.topic, letter.time_ms, letter.value_bytes) == (NUMBERS.name, 7, len(original))


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_record_that_the_broker_finds_too_large_is_a_dead_letter(
    topics: TopicTools, topic_prefix: str, awaited: bool
) -> None:
    narrow = f"{topic_prefix}narrow."
    elsewhere = TopicTools(topics.client["bootstrap.servers"], narrow)
    elsewhere.create(DEAD_LETTERS)
    limits = {"max.message.bytes": "1000"}
    TopicsAdmin(topics.client).create([Wanted(NUMBERS.full_name(narrow), 1, limits)])
    incompressible = "".join(str(value) for value in range(30_000, 31_000))
    large = Emission(NUMBERS, Number(id="large", time_ms=7, name=incompressible, value=1))
    publisher = Publisher(elsewhere.client, narrow)
    emissions = [number(1), large, number(2)]

    if awaited:
        await publisher(emissions)
    else:
        for emission in emissions:
            publisher.send(encoded(emission))
        assert await asyncio.to_thread(publisher.flush, 20.0)

    (letter,) = elsewhere.read(DEAD_LETTERS)
    assert letter.value == NUMBERS.encode(large.record)
    assert letter.key == large.key.encode()
    assert sorted(values(elsewhere)) == [1, 2]
    publisher.close()


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_topic_that_is_not_there_fails_whoever_sends_to_it(topics: TopicTools, awaited: bool) -> None:
    hasty = topics.client | {"topic.metadata.propagation.max.ms": 500}
    publisher = Publisher(hasty, topics.prefix)
    lost = Emission(replace(NUMBERS, name="nowhere"), number(1).record)

    if awaited:
        with pytest.raises(UndeliveredError, match=r"(?i)unknown topic"):
            await publisher([lost])
    else:
        publisher.send(encoded(lost))
        with pytest.raises(UndeliveredError, match=r"(?i)unknown topic"):
            await asyncio.to_thread(publisher.flush, 20.0)
    publisher.close()


async def test_a_closed_publisher_takes_nothing(topics: TopicTools) -> None:
    publisher = Publisher(topics.client, topics.prefix)
    publisher.close()

    with pytest.raises(UndeliveredError, match="closed"):
        publisher.send(encoded(number(1)))
