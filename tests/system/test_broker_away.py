"""A broker that is killed and comes back: lanes, views and publishers go on where they were."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from eventually import eventually_async
from mode import Service
from sums import IDLE, NUMBERS, PARTITIONS, TOTALS, Number, Sums, running_sums, sums_lane
from topic_tools import TopicTools

from playhead.engine.view import TopicView
from playhead.publisher import Publisher
from topics import DEAD_LETTERS, LANE_STATE
from topics.emission import Emission
from topics.spec import Cleanup

LATEST = replace(NUMBERS, name="latest", cleanup=Cleanup.COMPACT)
ORDERED = replace(NUMBERS, name="ordered", partitions=1)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    await service.start()
    try:
        yield
    finally:
        await service.stop()


def numbers(first: int, end: int) -> list[Number]:
    return [Number(time_ms=0, name=f"n{value % 12}", value=value) for value in range(first, end)]


async def test_all_go_on_where_they_were(fault_kafka: Any, topic_prefix: str) -> None:
    topics = TopicTools(fault_kafka.brokers, topic_prefix)
    topics.create(NUMBERS, TOTALS, DEAD_LETTERS, LANE_STATE, LATEST, ORDERED)
    topics.send(LATEST, numbers(0, 5))
    made: list[Sums] = []
    lane = sums_lane(topics.client, topic_prefix, made, idle_after_s=3.0)
    proofs: list[int | None] = []
    ask = lane._end_offset
    lane._end_offset = lambda partition: proofs.append(ask(partition)) or proofs[-1]  # type: ignore
    view = TopicView(LATEST, topics.client, topic_prefix)
    publisher = Publisher(topics.client, topic_prefix)

    def totals() -> list[tuple[str, int]]:
        """What was told; twice with the same id counts once."""
        told = {total.id: (total.name, total.total) for total in topics.read(TOTALS) if total.name != IDLE}
        return list(told.values())

    def publish(first: int, end: int) -> asyncio.Task[None]:
        return asyncio.create_task(publisher([Emission(ORDERED, each) for each in numbers(first, end)]))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(lane))
        await stack.enter_async_context(running(view))
        topics.send(NUMBERS, numbers(0, 600))
        await eventually_async(lambda: len(totals()) == 600, "the first totals")
        await publish(0, 200)

        # Under way when the broker dies: it may have some of these, and have told of none.
        under_way = publish(200, 400)
        await asyncio.to_thread(fault_kafka.kill)
        # Where the machine is slow a partition may have been idle before.
        idle_before = sum(processor.idle_calls for processor in made)
        meanwhile = publish(400, 600)
        # Silence longer than what makes idle; longer still, and the partitions count as lost.
        await eventually_async(lambda: None in proofs or not lane._shards, "silence that proves nothing")
        assert sum(processor.idle_calls for processor in made) == idle_before
        assert not publisher.flush(0)
        assert not meanwhile.done()
        assert len(list(view.values())) == 5

        await asyncio.to_thread(fault_kafka.start)
        await asyncio.gather(under_way, meanwhile)
        topics.send(LATEST, numbers(5, 8))
        topics.send(NUMBERS, numbers(600, 1_000))
        await eventually_async(lambda: len(list(view.values())) == 8, "what the view missed")
        await eventually_async(lambda: len(totals()) >= 1_000, "all totals")
        await eventually_async(
            lambda: sum(processor.idle_calls for processor in made) >= PARTITIONS, "idleness"
        )

    assert [record.value for record in topics.read(ORDERED)] == list(range(600)), "each once, in order"
    assert Counter(totals()) == running_sums(numbers(0, 1_000))
    publisher.close()
