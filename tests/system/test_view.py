"""Views of a compacted topic on a real Kafka: whole at the start, and up to date from then on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from eventually import eventually_async
from sums import NUMBERS, Number
from topic_tools import TopicTools

from playhead.engine.view import TopicView
from topics.spec import Cleanup

LATEST = replace(NUMBERS, name="latest", cleanup=Cleanup.COMPACT)


@pytest.fixture
def topics(kafka: Any, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(LATEST)
    return tools


@asynccontextmanager
async def following(topics: TopicTools) -> AsyncIterator[TopicView[Number]]:
    view = TopicView(LATEST, topics.client, topics.prefix)
    await view.start()
    try:
        yield view
    finally:
        await view.stop()


def number(name: str, value: int) -> Number:
    return Number(time_ms=0, name=name, value=value)


def known(view: TopicView[Number]) -> dict[str, int]:
    return {record.name: record.value for record in view.values()}


async def test_all_that_is_there_is_known_once_it_has_started(topics: TopicTools) -> None:
    topics.send(LATEST, [number(f"n{place % 500}", place) for place in range(3_000)])

    async with following(topics) as view:
        assert view.ready
        assert known(view) == {f"n{place % 500}": place for place in range(2_500, 3_000)}
        assert view.get("n7") == number("n7", 2_507)
        assert view.get("n500") is None


async def test_an_empty_topic_keeps_nobody_waiting(topics: TopicTools) -> None:
    async with following(topics) as view:
        assert view.ready
        assert known(view) == {}


async def test_it_follows_changes_and_deletions(topics: TopicTools) -> None:
    topics.send(LATEST, [number("kept", 1), number("changed", 1), number("deleted", 1)])

    async with following(topics) as view:
        topics.send(LATEST, [number("changed", 2), number("new", 1)])
        topics.send(LATEST, [None], key=b"deleted")
        topics.send(LATEST, [None], key=b"never there")
        await eventually_async(
            lambda: known(view) == {"kept": 1, "changed": 2, "new": 1}, "changes and deletions"
        )


async def test_a_bad_record_is_passed_over_with_a_warning(
    topics: TopicTools, capsys: pytest.CaptureFixture[str]
) -> None:
    topics.send(LATEST, [number("good", 1), number("worse", 1)])
    topics.send(LATEST, [b'{"time_ms": 0, "name": "worse", "value": "x"}'], key=b"worse")
    topics.send(LATEST, [b"\xff"], key=b"\xfe")

    async with following(topics) as view:
        assert known(view) == {"good": 1, "worse": 1}

    warnings = [line for line in capsys.readouterr().out.splitlines() if "record passed over" in line]
    assert len(warnings) == 2
    assert any("Expected `int`, got `str` - at `$.value`" in line for line in warnings)


async def test_it_waits_for_a_topic_that_is_not_there_yet(topics: TopicTools) -> None:
    later = TopicTools(topics.client["bootstrap.servers"], f"{topics.prefix}later.")
    view = TopicView(LATEST, later.client, later.prefix)
    starting = asyncio.create_task(view.start())
    await asyncio.sleep(0)
    assert not view.ready

    later.create(LATEST)
    await asyncio.wait_for(starting, 30)

    assert view.ready
    await view.stop()


async def test_it_can_be_stopped_while_it_waits(topics: TopicTools) -> None:
    view = TopicView(LATEST, topics.client, f"{topics.prefix}never.")
    starting = asyncio.create_task(view.start())
    await asyncio.sleep(0)

    await asyncio.wait_for(view.stop(), 20)
    await asyncio.wait_for(starting, 20)


async def test_a_view_that_cannot_follow_crashes(topics: TopicTools) -> None:
    view = TopicView(LATEST, topics.client | {"no.such.setting": 1}, topics.prefix)

    await view.start()

    await eventually_async(lambda: view.crashed, "the crash")
    assert not view.ready
    await view.stop()
