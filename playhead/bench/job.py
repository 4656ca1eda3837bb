"""The job that every contestant does: score metric samples and publish anomalies.

Series take turns, with values around a steady level. Every so often each series leaves its level for one
sample, so that there are anomalies to tell: every second series far from its own baseline and within all
bounds once it is known, the others beyond the static bound, which tells also of a series just met.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer

from config import Settings
from models.anomaly.bank import EpisodePhase, Limits
from models.anomaly.base import RELATIVE_SCALE
from models.anomaly.build import bank_figures, series_bank, watched_metrics
from playhead.bench.rules import Rules
from playhead.packing import PACKED_HEADERS, partition_of
from topics import TELEMETRY
from topics.telemetry import Sample, Samples

ANOMALY_CYCLE: Final = 1_009
"""A series leaves its level once in so many samples: a prime, so that the places wander over batches."""

LATENCY_CYCLE: Final = 8
"""... while latency is measured: every alert counts, and an episode ends after five normal samples."""

LEVEL_MS: Final = 100.0
SPREAD_MS: Final = 5.0
FAR_MS: Final = 200.0
"""Twenty spreads off, and within all static bounds."""

BEYOND_MS: Final = 6_000.0
"""Beyond the critical static bound of the metric."""

KNOWN_AFTER: Final = 100
"""Samples after which a series is judged in full by its baseline."""

METRIC: Final = "latency_p99_0_ms"
CHUNK: Final = 10_000
QUEUE_POLL_S: Final = 0.02
QUEUE_RECORDS: Final = 200_000
ADMIN_TIMEOUT_S: Final = 30.0
HELD_MS: Final = 600_000
_POOL: Final = 4_096
_TIME, _VALUE = 1_111_111_111_111, 7.0625

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """What the samples of a backlog look like.

    Args:
        series: How many take turns.
        cycle: Each leaves its level once in so many samples.
        tags: Tags of each series.
        tag_bytes: Length of a tag's value.
        packed: Events to a record; 1 for single events.
        seed: Of the values.
    """

    series: int = 1_000
    cycle: int = ANOMALY_CYCLE
    tags: int = 0
    tag_bytes: int = 8
    packed: int = 1
    seed: int = 1
    _frames: dict[int, tuple[bytes, bytes, bytes]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def sample(self, which: int, time_ms: int, value: float) -> Sample:
        """Return one sample of series `which`."""
        tags = {f"tag{n}": f"{which:0{self.tag_bytes}d}" for n in range(self.tags)}
        return Sample(
            time_ms=time_ms,
            service=f"service-{which // 10}",
            metric=METRIC.replace("_0_", f"_{which % 10}_"),
            value=value,
            tags=tags,
        )

    def key(self, which: int) -> bytes:
        """Return the key of series `which`."""
        return TELEMETRY.key_of(self.sample(which, 0, 0.0)).encode()

    @property
    def record_bytes(self) -> int:
        """Bytes of one record: key and value."""
        _, key, value, _ = next(self.records(0, self.packed, 1))
        return len(key or b"") + len(value)

    def columns(self, start: int, stop: int) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Return series and value of the samples from `start` to before `stop`."""
        number = np.arange(start, stop, dtype=np.int64)
        which, rank = number % self.series, number // self.series
        # A small integer hash in place of random numbers: any part of the stream can be made by itself.
        place = (number * 2_654_435_761 + self.seed * 40_503) % 4_294_967_296 * _POOL // 4_294_967_296
        values = self._pool[place]
        turn = rank + which
        off = (turn % self.cycle == 0) & (turn > 0)
        by_baseline = off & (rank >= KNOWN_AFTER) & (which % 2 == 0)
        values[off] = BEYOND_MS
        values[by_baseline] = FAR_MS
        return which, values

    def records(
        self, start: int, stop: int, partitions: int, time_ms: Callable[[], int] = lambda: _TIME
    ) -> Iterator[tuple[int, bytes | None, bytes, int]]:
        """Yield partition (-1: by key), key, value and count of events of each record."""
        yield from (self._packed if self.packed > 1 else self._single)(start, stop, partitions, time_ms)

    @cached_property
    def _pool(self) -> npt.NDArray[np.float64]:
        rng = np.random.default_rng(self.seed)
        pool: npt.NDArray[np.float64] = rng.normal(LEVEL_MS, SPREAD_MS, _POOL).round(3)
        return pool

    def _frame(self, which: int) -> tuple[bytes, bytes, bytes]:
        """Return what stands before the time, between time and value, and after it."""
        text = TELEMETRY.encode(self.sample(which, _TIME, _VALUE))
        head, rest = text.split(str(_TIME).encode())
        middle, tail = rest.split(str(_VALUE).encode())
        return head, middle, tail

    def _single(
        self, start: int, stop: int, partitions: int, time_ms: Callable[[], int]
    ) -> Iterator[tuple[int, bytes | None, bytes, int]]:
        frames, keys = self._frames, self._keys
        for first in range(start, stop, CHUNK):
            which, values = self.columns(first, min(first + CHUNK, stop))
            now = b"%d" % time_ms()
            for series, value in zip(which.tolist(), values.tolist(), strict=True):
                frame = frames.get(series)
                if frame is None:
                    frame = frames[series] = self._frame(series)
                    keys[series] = self.key(series)
                head, middle, tail = frame
                yield -1, keys[series], b"%b%b%b%r%b" % (head, now, middle, value, tail), 1

    @cached_property
    def _keys(self) -> dict[int, bytes]:
        return {}

    def _packed(
        self, start: int, stop: int, partitions: int, time_ms: Callable[[], int]
    ) -> Iterator[tuple[int, bytes | None, bytes, int]]:
        names = [self.key(which).decode() for which in range(self.series)]
        home = np.array([partition_of(name.encode(), partitions) for name in names])
        waiting: list[tuple[Ints, npt.NDArray[np.float64]]] = [
            (np.zeros(0, np.int64), np.zeros(0)) for _ in range(partitions)
        ]
        for first in range(start, stop, CHUNK):
            which, values = self.columns(first, min(first + CHUNK, stop))
            last = first + CHUNK >= stop
            for partition in range(partitions):
                mine = home[which] == partition
                left, left_values = waiting[partition]
                left = np.concatenate((left, which[mine]))
                left_values = np.concatenate((left_values, values[mine]))
                whole = len(left) if last else len(left) - len(left) % self.packed
                for at in range(0, whole, self.packed):
                    part = slice(at, min(at + self.packed, whole))
                    seen, inverse = np.unique(left[part], return_inverse=True)
                    value = msgspec.json.encode(
                        Samples(
                            series=[names[each] for each in seen.tolist()],
                            which=inverse.tolist(),
                            time_ms=[time_ms()] * len(inverse),
                            value=left_values[part].tolist(),
                        )
                    )
                    yield partition, None, value, len(inverse)
                waiting[partition] = (left[whole:], left_values[whole:])

    def starts(self, settings: Settings, events: int) -> int:
        """Return how many episodes the bank starts over the first `events` samples."""
        bank = series_bank(settings.detection)
        limits = limits_of(settings)
        for slot in range(self.series):
            bank.open(slot, limits, 0)
        found = 0
        for first in range(0, events, 10 * CHUNK):
            which, values = self.columns(first, min(first + 10 * CHUNK, events))
            verdicts = bank.step_many(which.astype(np.int32), np.zeros(len(which), np.int64), values)
            found += int((verdicts.phase == EpisodePhase.STARTED).sum())
        return found


def limits_of(settings: Settings) -> Limits:
    """Return what is known beforehand of the job's metrics."""
    return watched_metrics(settings.detection).limits_of(METRIC)


def rules_of(settings: Settings) -> Rules:
    """Return the rules that contestants without Playhead's models apply."""
    figures, limits = bank_figures(settings.detection), limits_of(settings)
    return Rules(
        rate=figures.rate,
        scoring_samples=figures.scoring_samples,
        baseline_samples=figures.baseline_samples,
        high=figures.high,
        critical=figures.critical,
        flagged_weight=figures.flagged_weight,
        relearn_after=figures.relearn_after,
        open_after=list(figures.open_after),
        clear_after=figures.clear_after,
        relative_scale=RELATIVE_SCALE,
        worse=limits.worse,
        warn_bound=limits.warn,
        critical_bound=limits.critical,
        noise=limits.noise,
    )


def send_backlog(
    client: Mapping[str, Any],
    prefix: str,
    shape: Shape,
    events: int,
    partitions: int,
    first: int = 0,
) -> None:
    """Send `events` samples from number `first` on, as fast as they are taken."""
    send_with(new_producer(client, linger_ms=20.0), prefix, shape, events, partitions, first)


@contextmanager
def held_backlog(
    client: Mapping[str, Any], prefix: str, shape: Shape, events: int, partitions: int, first: int = 0
) -> Iterator[Callable[[], None]]:
    """Send `events` samples, from number `first` on, that nobody sees before what this yields is called.

    They are one transaction, and consumers by default read what is committed. So several processes can share
    the partitions out before the first of them begins to read.
    """
    name = {"transactional.id": f"{prefix}backlog", "transaction.timeout.ms": HELD_MS}
    producer = new_producer({**client, **name}, linger_ms=20.0)
    producer.init_transactions(ADMIN_TIMEOUT_S)
    producer.begin_transaction()
    committed = False

    def let_go() -> None:
        nonlocal committed
        producer.commit_transaction(ADMIN_TIMEOUT_S)
        committed = True

    try:
        send_with(producer, prefix, shape, events, partitions, first)
        yield let_go
    finally:
        if not committed:
            producer.abort_transaction(ADMIN_TIMEOUT_S)


def send_with(
    producer: Producer,
    prefix: str,
    shape: Shape,
    events: int,
    partitions: int,
    first: int = 0,
) -> None:
    """Send `events` samples through `producer`, and return when the broker has them."""
    topic = TELEMETRY.full_name(prefix)
    batch: list[dict[str, Any]] = []
    for partition, key, value, _ in shape.records(first, first + events, partitions, now_ms):
        if shape.packed > 1:
            _produce_packed(producer, topic, partition, value)
        else:
            batch.append({"key": key, "value": value})
            if len(batch) >= CHUNK:
                produce_all(producer, topic, batch)
                batch = []
    produce_all(producer, topic, batch)
    while producer.flush(1.0):
        pass


def produce_all(producer: Producer, topic: str, batch: list[dict[str, Any]]) -> None:
    """Queue a batch once there is room for all of it.

    Were it queued in part, what found no room would follow later, and a series' samples change places.
    """
    while len(producer) + len(batch) > QUEUE_RECORDS:
        producer.poll(QUEUE_POLL_S)
    if batch and producer.produce_batch(topic, batch) != len(batch):
        raise BufferError(next(str(each["_error"]) for each in batch if "_error" in each))
    producer.poll(0)


def _produce_packed(producer: Producer, topic: str, partition: int, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value=value, partition=partition, headers=PACKED_HEADERS)
            break
        except BufferError:
            producer.poll(QUEUE_POLL_S)
    producer.poll(0)


def new_producer(client: Mapping[str, Any], *, linger_ms: float) -> Producer:
    """Return the producer of backlogs and live streams."""
    return Producer(
        {
            **client,
            "linger.ms": linger_ms,
            "batch.size": 1_000_000,
            "batch.num.messages": 50_000,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "delivery.report.only.error": True,
            "queue.buffering.max.messages": 2 * QUEUE_RECORDS,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )


def now_ms() -> int:
    """Return the time of day."""
    return time.time_ns() // 1_000_000
