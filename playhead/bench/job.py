"""The job that every contestant does: score metric samples and publish anomalies.

A thousand series over the partitions of `telemetry`, values around a steady level. Now and then one series
leaves its level for a while, so that there is an anomaly to tell.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import Producer

from topics import TELEMETRY
from topics.telemetry import Sample

SAMPLES_A_SERIES_BEFORE_ANOMALIES = 100
"""A series is judged in full from so many samples on."""

LEVEL_MS = 100.0
SPREAD_MS = 5.0
ANOMALY_MS = 4_000.0
BACKLOG_POLL_S = 0.05


def samples(count: int, series: int, anomaly_every: int, seed: int) -> Iterator[Sample]:
    """Yield `count` samples that take turns over `series` series; one in `anomaly_every` is far off."""
    rng = random.Random(seed)
    grace = SAMPLES_A_SERIES_BEFORE_ANOMALIES * series
    for number in range(count):
        which = number % series
        off = number >= grace and number % anomaly_every == 0
        yield Sample(
            time_ms=int(time.time() * 1000),
            service=f"service-{which // 10}",
            metric=f"latency_p99_{which % 10}_ms",
            value=ANOMALY_MS if off else rng.gauss(LEVEL_MS, SPREAD_MS),
        )


def send(
    client: Mapping[str, Any],
    prefix: str,
    stream: Iterator[Sample],
    *,
    rate: float | None = None,
    progress: Callable[[int], None] = lambda sent: None,
) -> int:
    """Send samples, at `rate` a second or as fast as they are taken; return how many."""
    producer = Producer(
        {
            **client,
            "linger.ms": 5 if rate else 50,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 500_000,
        }
    )
    topic = TELEMETRY.full_name(prefix)
    began = time.perf_counter()
    sent = 0
    for sample in stream:
        if rate is not None:
            ahead = sent / rate - (time.perf_counter() - began)
            if ahead > 0:
                producer.flush(0)
                time.sleep(ahead)
        while True:
            try:
                producer.produce(topic, key=TELEMETRY.key_of(sample), value=TELEMETRY.encode(sample))
                break
            except BufferError:
                producer.poll(BACKLOG_POLL_S)
        sent += 1
        if sent % 10_000 == 0:
            producer.poll(0)
            progress(sent)
    producer.flush()
    progress(sent)
    return sent
