"""Agents with a state per key, on Faust and a real Kafka: each record counts once, whatever happens."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kept_sums
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from eventually import eventually_async
from kept_sums import HUGE, NAME, Sum, kept_app, saved
from sums import BAD, NUMBERS, TOTALS, Number
from topic_tools import TopicTools

from agents import metrics
from agents.ports import Publish
from playhead.app import PlayheadApp
from playhead.publisher import Publisher
from topics import DEAD_LETTERS
from topics.emission import Emission
from topics.fields import derive_id


@pytest.fixture
def topics(kafka: Any, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(NUMBERS, TOTALS, DEAD_LETTERS)
    return tools


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


@asynccontextmanager
async def running(
    topics: TopicTools, folder: str, publish: Publish | None = None
) -> AsyncIterator[PlayheadApp]:
    publisher = Publisher(topics.client, topics.prefix)
    app = await asyncio.to_thread(kept_app, topics, folder, publish or publisher)
    await app.start()
    try:
        yield app
    finally:
        await app.stop()
        await asyncio.to_thread(publisher.close)


def numbers(first: int, end: int, names: int = 12) -> list[Number]:
    return [
        Number(id=f"id-{value}", time_ms=0, name=f"n{value % names}", value=value)
        for value in range(first, end)
    ]


def sums(sent: Sequence[Number]) -> dict[str, Sum]:
    """The state of each key once each of `sent` was taken once."""
    states: dict[str, Sum] = {}
    for number in sent:
        before = states.get(number.name, Sum(0, 0))
        states[number.name] = Sum(before.total + number.value, before.count + 1)
    return states


def told(topics: TopicTools) -> dict[str, int]:
    return {total.id: total.total for total in topics.read(TOTALS)}


def committed(topics: TopicTools) -> int:
    """How many records the group has behind it."""
    consumer = Consumer(topics.client | {"group.id": f"{topics.prefix}playhead.{NAME}"})
    name = NUMBERS.full_name(topics.prefix)
    places = [TopicPartition(name, number) for number in range(NUMBERS.partitions)]
    try:
        return sum(max(place.offset, 0) for place in consumer.committed(places, 10))
    finally:
        consumer.close()


def outcomes() -> dict[str, float]:
    return {
        outcome: metrics.RECORDS.labels(NAME, outcome)._value.get()
        for outcome in ("processed", "duplicate", "dead")
    }


async def test_state_survives_a_restart_in_a_changelog_with_the_partitions_of_the_topic(
    topics: TopicTools, folder: str
) -> None:
    sent = numbers(0, 400)
    topics.send(NUMBERS, sent[:200])
    async with running(topics, folder) as app:
        await eventually_async(lambda: saved(topics) == sums(sent[:200]), "the first states")
        ((changelog, partitions),) = app.changelogs()
    topics.send(NUMBERS, sent[200:])
    async with running(topics, folder):
        await eventually_async(lambda: saved(topics) == sums(sent), "all states")

    found = AdminClient(topics.client).list_topics(changelog, 10).topics[changelog]
    assert len(found.partitions) == partitions == NUMBERS.partitions
    assert len(topics.read(TOTALS)) == 400, "a stop in good order leaves nothing to be told again"


async def test_a_record_told_again_does_nothing(topics: TopicTools, folder: str) -> None:
    sent = numbers(0, 50)
    before = outcomes()
    topics.send(NUMBERS, [*sent, *sent])
    async with running(topics, folder):
        topics.send(NUMBERS, sent)
        topics.send(NUMBERS, numbers(50, 62))
        await eventually_async(lambda: saved(topics) == sums(numbers(0, 62)), "the states")
        await eventually_async(lambda: outcomes()["duplicate"] - before["duplicate"] == 100, "the duplicates")

    assert len(topics.read(TOTALS)) == 62
    assert outcomes()["processed"] - before["processed"] == 62


async def test_what_cannot_be_taken_is_a_dead_letter_and_changes_nothing(
    topics: TopicTools, folder: str
) -> None:
    before = outcomes()
    sent = numbers(0, 60)
    topics.send(NUMBERS, sent)
    topics.send(NUMBERS, [b"no JSON", None, b'{"time_ms":0,"name":"n1","value":NaN}'], key=b"n1")
    topics.send(NUMBERS, [NUMBERS.encode(Number(time_ms=0, name="n1", value=1))], key=None)
    topics.send(NUMBERS, [Number(time_ms=0, name="n1", value=BAD), Number(time_ms=0, name="n1", value=HUGE)])
    more = numbers(60, 90)
    topics.send(NUMBERS, more)
    async with running(topics, folder):
        await eventually_async(lambda: saved(topics) == sums([*sent, *more]), "the states")
        await eventually_async(lambda: len(topics.read(DEAD_LETTERS)) == 6, "the dead letters")

    reasons = sorted(letter.reason for letter in topics.read(DEAD_LETTERS))
    assert [reason[:30] for reason in reasons] == [
        "JSON is malformed: invalid cha",
        "JSON is malformed: invalid cha",
        "ZeroDivisionError: nobody thou",
        "the record has no key; expecte",
        "the state of b'n1' would be 20",
        "the value is empty (a tombston",
    ]
    originals = {(message.partition(), message.offset()): message for message in topics.messages(NUMBERS)}
    for letter in topics.read(DEAD_LETTERS):
        original = originals[letter.partition, letter.offset]
        assert (letter.agent, letter.topic) == (NAME, NUMBERS.name)
        assert (letter.key, letter.value) == (original.key(), original.value())
    counted = {outcome: count - before[outcome] for outcome, count in outcomes().items()}
    assert counted == {"processed": 90, "duplicate": 0, "dead": 6}


async def test_an_agent_killed_between_publishing_and_saving_loses_and_doubles_nothing(
    topics: TopicTools, folder: str
) -> None:
    sent = numbers(0, 600)
    topics.send(NUMBERS, sent)
    arguments = [topics.client["bootstrap.servers"], topics.prefix, folder]
    for dies_after in ("97", "211"):
        process = subprocess.Popen([sys.executable, kept_sums.__file__, *arguments, dies_after])
        assert await asyncio.to_thread(process.wait, 60) < 0
    async with running(topics, folder):
        await eventually_async(lambda: saved(topics) == sums(sent), "all states")

    assert set(told(topics)) == {derive_id("kept", number.id) for number in sent}
    by_id: dict[str, set[int]] = {}
    for total in topics.read(TOTALS):
        by_id.setdefault(total.id, set()).add(total.total)
    assert all(len(said) == 1 for said in by_id.values()), "an id always says the same"


async def test_a_record_half_way_when_the_agent_stops_is_taken_by_the_next(
    topics: TopicTools, folder: str
) -> None:
    sent = numbers(0, 40, names=1)
    topics.send(NUMBERS, sent)
    publisher = Publisher(topics.client, topics.prefix)
    stuck = asyncio.Event()
    published = 0

    async def publish(emissions: Sequence[Emission]) -> None:
        nonlocal published
        published += 1
        if published == 20:
            stuck.set()
            await asyncio.Event().wait()
        await publisher(emissions)

    async with running(topics, folder, publish):
        await asyncio.wait_for(stuck.wait(), 40)
    async with running(topics, folder):
        await eventually_async(lambda: saved(topics) == sums(sent), "all states")

    assert set(told(topics)) == {derive_id("kept", number.id) for number in sent}
    publisher.close()


async def test_an_agent_that_cannot_publish_crashes_and_skips_nothing(
    topics: TopicTools, folder: str
) -> None:
    sent = numbers(0, 40, names=1)
    topics.send(NUMBERS, sent)
    publisher = Publisher(topics.client, topics.prefix)
    published = 0

    async def publish(emissions: Sequence[Emission]) -> None:
        nonlocal published
        published += 1
        if published == 20:
            raise OSError("no way out")
        await publisher(emissions)

    async with running(topics, folder, publish) as app:
        await eventually_async(lambda: app.failure, "the crash")
        assert "no way out" in str(app.failure)
    assert published == 20
    assert saved(topics) == sums(sent[:19])
    assert committed(topics) <= 19, "the record that failed is read again"
    publisher.close()


async def test_two_agents_share_the_keys_and_hand_them_over(
    topics: TopicTools, folder: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sent = numbers(0, 900)
    async with running(topics, folder):
        topics.send(NUMBERS, sent[:300])
        await eventually_async(lambda: len(told(topics)) > 50, "a beginning")
        async with running(topics, str(tmp_path_factory.mktemp("second"))) as second:
            topics.send(NUMBERS, sent[300:600])
            await eventually_async(lambda: second.ready and second.consumer.assignment(), "a share")
            await eventually_async(lambda: saved(topics) == sums(sent[:600]), "the states of both")
            topics.send(NUMBERS, sent[600:])
        await eventually_async(lambda: saved(topics) == sums(sent), "all states")

    assert set(told(topics)) == {derive_id("kept", number.id) for number in sent}
