"""Telemetry in bulk, made as fast as it can be sent: what the parts of `playhead bench` feed to workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Producer

from playhead.packing import PACKED_HEADERS, partition_of
from topics import TELEMETRY
from topics.telemetry import series_key

METRIC = "latency_p99_ms"
LEVEL_MS = 100.0
SPREAD_MS = 5.0
OUTLIER_MS = 9_000.0
"""Beyond the static bound of the metric, so that it is told from a series' first sample on."""

METRICS_A_SERVICE = 10
ANY_PARTITION = -1
POLL_EVERY = 1_000
FULL_QUEUE_POLL_S = 0.05


class Wire(NamedTuple):
    """A record as it is sent, and the events in it."""

    key: bytes | None
    value: bytes
    partition: int
    events: int


class Backlog:
    """Samples of many series that take turns, singly or packed.

    Args:
        series: how many.
        events_per_record: 1 for records of one event each.
        outlier_every: one sample in so many is an outlier; 0 for none.
        seed: of the values.
    """

    def __init__(
        self, series: int, *, events_per_record: int = 1, outlier_every: int = 0, seed: int = 1
    ) -> None:
        self.series = series
        self._outlier_every = outlier_every
        self._rng = np.random.default_rng(seed)
        self._sent = 0
        names = [
            (f"service-{number // METRICS_A_SERVICE}", f"part_{number % METRICS_A_SERVICE}_{METRIC}")
            for number in range(series)
        ]
        self._keys = [series_key(*name).encode() for name in names]
        self._heads = [
            f',"service":"{service}","metric":"{metric}","value":'.encode() for service, metric in names
        ]
        self._groups: list[tuple[int, list[int], bytes]] = []
        """Of packed records: partition, series, and the record up to its times."""
        if events_per_record > 1:
            self._group(events_per_record)

    def _group(self, events_per_record: int) -> None:
        homes = np.array([partition_of(key, TELEMETRY.partitions) for key in self._keys])
        for home in range(TELEMETRY.partitions):
            inside = np.flatnonzero(homes == home).tolist()
            for at in range(0, len(inside), events_per_record):
                group = inside[at : at + events_per_record]
                texts = msgspec.json.encode([self._keys[number].decode() for number in group])
                which = msgspec.json.encode(list(range(len(group))))
                self._groups.append((home, group, b'{"series":%b,"which":%b,"time_ms":' % (texts, which)))

    def turn(self) -> Iterator[Wire]:
        """Yield one sample of every series."""
        values = np.round(self._rng.normal(LEVEL_MS, SPREAD_MS, self.series), 1)
        if self._outlier_every:
            first = -self._sent % self._outlier_every
            values[first :: self._outlier_every] = OUTLIER_MS
        self._sent += self.series
        if not self._groups:
            numbers = values.tolist()
            for key, head, value in zip(self._keys, self._heads, numbers, strict=True):
                now_ms = int(time.time() * 1_000)
                yield Wire(key, b'{"time_ms":%d%b%.1f}' % (now_ms, head, value), ANY_PARTITION, 1)
        for home, group, head in self._groups:
            times = msgspec.json.encode([int(time.time() * 1_000)] * len(group))
            numbers = values[group].tolist()
            tail = b'%b,"value":%b}' % (times, msgspec.json.encode(numbers))
            yield Wire(None, head + tail, home, len(group))


class Feeder:
    """Sends a backlog, as fast as the broker takes it or at a rate.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of the run's topics.
    """

    def __init__(self, client: Mapping[str, Any], prefix: str) -> None:
        self._topic = TELEMETRY.full_name(prefix)
        self.events = 0
        """Sent so far."""
        self._producer = Producer(
            {
                **client,
                "linger.ms": 10,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 262_144,
                "delivery.report.only.error": True,
            }
        )

    def send(self, wire: Wire) -> None:
        """Queue one record, waiting while the queue is full."""
        headers = None if wire.key is not None else PACKED_HEADERS
        while True:
            try:
                self._producer.produce(self._topic, wire.value, wire.key, wire.partition, headers=headers)
                break
            except BufferError:
                self._producer.poll(FULL_QUEUE_POLL_S)
        self.events += wire.events
        if self.events % POLL_EVERY < wire.events:
            self._producer.poll(0)

    def flush(self) -> None:
        """Return once the broker has everything."""
        self._producer.flush()
