"""The contestants, each run in a process of its own: ``python -m playhead.bench.contestants NAME …``.

`lane` is Playhead's telemetry agent as a worker runs it. `faust` is what one would write with Faust alone: an
``async for`` over the events, one detector a series, the same figures, the same anomalies. `ceiling` only
fetches. Each prints one JSON line when it has read its first event, and one when it has read them all.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import faust
import msgspec
from confluent_kafka import Consumer

from agents import metrics, telemetry
from agents.telemetry import PHASES
from config import Settings, load
from models.anomaly.bank import BankDetector, EpisodePhase
from models.anomaly.build import bank_figures, watched_metrics
from playhead.app import PlayheadApp
from playhead.brokers import client_config
from playhead.cache import MemoryCache
from playhead.logs import configure
from playhead.publisher import Publisher, encoded
from topics import ANOMALIES, TELEMETRY
from topics.anomalies import Anomaly, AnomalyKind, Severity
from topics.emission import Emission
from topics.fields import derive_id

WATCH_S = 0.01


class Clock:
    """Counts events and prints when the first and the last of them was taken."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._began: float | None = None
        self._cpu_s = 0.0
        self.done = False

    def saw(self, count: int) -> None:
        """Note that `count` events were taken so far."""
        if count > 0 and self._began is None:
            self._began = time.perf_counter()
            self._cpu_s = _cpu_s()
            _print({"at": "first"})
        if count >= self._expected and not self.done and self._began is not None:
            self.done = True
            seconds = time.perf_counter() - self._began
            _print(
                {
                    "at": "last",
                    "events": count,
                    "seconds": seconds,
                    "cpu_s": _cpu_s() - self._cpu_s,
                    "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            )


async def lane(settings: Settings, clock: Clock) -> None:
    """Playhead's own agent."""
    client = client_config(settings)
    app = PlayheadApp("telemetry", settings, client, MemoryCache(capacity=1))
    publisher = Publisher(client, settings.prefix)
    telemetry.attach(app, settings, publisher)
    await app.start()
    while not clock.done:
        clock.saw(int(metrics.EVENTS.labels("telemetry", "processed")._value.get()))
        await asyncio.sleep(WATCH_S)
    await app.stop()


async def plain_faust(settings: Settings, clock: Clock) -> None:
    """Faust alone, an event at a time, with its options as they come."""
    client = client_config(settings)
    app = faust.App(
        f"{settings.prefix}plain-faust",
        broker=f"kafka://{client['bootstrap.servers']}",
        value_serializer="raw",
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    publisher = Publisher(client, settings.prefix)
    figures, watched = bank_figures(settings.detection), watched_metrics(settings.detection)
    detectors: dict[str, BankDetector] = {}
    count = 0

    async def score(stream: Any) -> None:
        nonlocal count
        async for event in stream.events():
            sample = TELEMETRY.decode(event.value)
            series = TELEMETRY.key_of(sample)
            detector = detectors.get(series)
            if detector is None:
                detector = detectors[series] = BankDetector(figures, watched.limits_of(sample.metric))
            verdict = detector.step_one(sample.time_ms, sample.value)
            if verdict.phase is not EpisodePhase.NONE:
                emission = Emission(
                    ANOMALIES,
                    Anomaly(
                        id=derive_id("plain", event.message.partition, event.message.offset),
                        time_ms=sample.time_ms,
                        subject=sample.service,
                        series=series,
                        phase=PHASES[verdict.phase],
                        kind=AnomalyKind.LATENCY_SPIKE,
                        severity=Severity(max(verdict.severity, 1)),
                        score=verdict.score,
                        confidence=0.5,
                        metric=sample.metric,
                        value=sample.value,
                        origin_ms=int(event.message.timestamp * 1000),
                    ),
                )
                publisher.send(encoded(emission))
            count += 1
            clock.saw(count)

    topic = app.topic(TELEMETRY.full_name(settings.prefix), value_type=bytes, value_serializer="raw")
    app.agent(topic, name="score")(score)
    await app.start()
    while not clock.done:
        await asyncio.sleep(WATCH_S)
    publisher.flush(10.0)
    await app.stop()


async def ceiling(settings: Settings, clock: Clock) -> None:
    """confluent-kafka fetching, doing nothing: no engine in Python can be faster here."""
    consumer = Consumer(
        {
            **client_config(settings),
            "group.id": f"{settings.prefix}ceiling",
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 2,
            "queued.min.messages": 200_000,
        }
    )
    consumer.subscribe([TELEMETRY.full_name(settings.prefix)])
    count = 0
    while not clock.done:
        count += len(consumer.consume(10_000, 0.05))
        clock.saw(count)
    consumer.close()


CONTESTANTS: dict[str, Callable[[Settings, Clock], Awaitable[None]]] = {
    "lane": lane,
    "faust": plain_faust,
    "ceiling": ceiling,
}


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _print(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


async def _main(name: str, expected: int) -> None:
    settings = load(os.environ).settings
    configure(settings.log)
    await CONTESTANTS[name](settings, Clock(expected))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(CONTESTANTS))
    parser.add_argument("expected", type=int)
    arguments = parser.parse_args()
    asyncio.run(_main(arguments.name, arguments.expected))
