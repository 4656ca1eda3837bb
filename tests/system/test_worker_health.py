"""A worker's health endpoints over a real Kafka: what they say before, while and after all is well."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eventually import eventually_async
from topic_tools import TopicTools

from agents import metrics, telemetry
from config import Settings, load
from playhead import worker
from playhead.app import PlayheadApp
from playhead.cache import MemoryCache
from playhead.health import HealthServer
from topics import DEAD_LETTERS, LANE_STATE, TELEMETRY
from topics.telemetry import Sample

METRICS = [each for each in vars(metrics).values() if hasattr(each, "_documentation")]


@pytest.fixture
def topics(kafka: Any, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(DEAD_LETTERS, LANE_STATE)
    return tools


@pytest.fixture
def settings(topics: TopicTools, tmp_path: Path) -> Settings:
    figures = load({}).settings
    engine = figures.engine.model_copy(update={"web_port": 0, "checkpoint_interval_s": 0.2})
    return figures.model_copy(update={"prefix": topics.prefix, "data_dir": str(tmp_path), "engine": engine})


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


def told(body: str) -> Any:
    return json.loads(body)


async def test_readiness_waits_for_the_topic_and_health_tells_of_a_crash(
    topics: TopicTools, settings: Settings
) -> None:
    app = PlayheadApp("telemetry", settings, topics.client, MemoryCache(10))

    async def publish(_: Any) -> None:
        raise AssertionError("a lane publishes by itself")

    telemetry.attach(app, settings, publish)
    health = HealthServer(settings, [app])
    port = await health.start()
    await app.start()

    assert (await ask(port, "/healthz"))[0] == 200
    assert (await ask(port, "/readyz"))[0] == 503
    topics.create(TELEMETRY)
    await eventually_async(lambda: app.ready, "readiness")
    status, body = await ask(port, "/readyz")
    assert (status, told(body)) == (200, {"ok": True, "agents": {"telemetry": True}})

    await app.lanes[0].crash(RuntimeError("out of luck"))
    status, body = await ask(port, "/healthz")
    assert (status, told(body)) == (503, {"ok": False, "agents": {"telemetry": False}})
    assert "out of luck" in str(app.failure)
    await app.stop()
    await health.stop()


async def test_a_worker_tells_every_metric_and_ends_when_told_to(
    topics: TopicTools, settings: Settings
) -> None:
    topics.create(TELEMETRY)
    topics.send(TELEMETRY, [Sample(time_ms=0, service="payment", metric="error_rate", value=0.1)] * 5)
    topics.send(TELEMETRY, [b"no JSON"], key=b"payment/error_rate")
    stop = asyncio.Event()
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        worker.run(settings, topics.client, MemoryCache(10), ["telemetry"], stop=stop, ready=ready.set_result)
    )

    port = await asyncio.wait_for(ready, 60)
    await eventually_async(lambda: len(topics.read(DEAD_LETTERS)) == 1, "the dead letter")
    _, body = await ask(port, "/metrics")
    for metric in METRICS:
        assert f"# HELP {metric._name}" in body
        assert metric._documentation in body
    assert 'playhead_records_total{agent="telemetry",outcome="dead"}' in body
    stop.set()
    await asyncio.wait_for(running, 60)


async def test_a_worker_waiting_for_a_topic_can_be_stopped(topics: TopicTools, settings: Settings) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(
        worker.run(settings, topics.client, MemoryCache(10), ["preferences"], stop=stop)
    )
    await eventually_async(
        lambda: any(thread.name.startswith("view-") for thread in threading.enumerate()), "a view that waits"
    )

    stop.set()

    await asyncio.wait_for(running, 60)
