"""The input of the delivery test: telemetry of many series, beats and segments in the order of their times.

Every record carries its event time as Kafka's time too, so that nothing depends on when it was sent, and
everything is drawn from one seed, so that two runs have the same input to the byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

from playhead.packing import PACKED_HEADERS, partition_of
from topics import CDN_NODES, PLAYBACK, POLICIES, SEGMENTS, TELEMETRY
from topics.cdn import NodeReport
from topics.commands import CommandKind
from topics.ingest import Segment, SegmentStatus
from topics.playback import Beat, PlayerState
from topics.policies import Policy
from topics.spec import AnySpec
from topics.telemetry import Samples

SERIES = 2_000
MINUTES = 10
VIEWERS = 900
FAULTS = 400
MIN_BASELINE_ROUNDS = 120
PACKED_SHARE = 3, 5
"""So many of so many samples travel packed; which ones changes from round to round."""

MINUTE_MS = 60_000
METRIC = "latency_p99_ms"


class Wire(NamedTuple):
    """A record as it is sent."""

    spec: AnySpec
    key: bytes | None
    value: bytes
    time_ms: int
    partition: int = -1
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """What is sent, in slices of equal event time, and what there is in it."""

    before: list[Wire]
    slices: list[list[Wire]]
    closing: list[Wire]
    ledger: list[Wire]
    """One sample a partition, to be sent when all else is taken: it makes the lane tell its ledger."""
    dead: int
    """Events among all that break a rule."""
    events: dict[str, int]
    """Events by topic, `closing` and `ledger` among them."""


def make_input(events: int, slices: int, start_ms: int, seed: int = 7) -> Input:
    """Return about `events` samples with the beats and segments of the same ten minutes.

    Args:
        events: samples; a multiple of `SERIES`.
        slices: parts of equal event time.
        start_ms: when it begins, on a whole minute.
    """
    rounds = events // SERIES
    telemetry = list(_telemetry(rounds, start_ms, seed))
    rest = sorted(_beats_and_segments(start_ms, seed), key=lambda wire: wire.time_ms)
    end_ms = start_ms + MINUTES * MINUTE_MS
    parts: list[list[Wire]] = [[] for _ in range(slices)]
    for wire in rest:
        parts[min((wire.time_ms - start_ms) * slices // (end_ms - start_ms), slices - 1)].append(wire)
    for number, records in enumerate(telemetry):
        parts[number * slices // rounds] += records
    poison = list(_poison(start_ms))
    for number, wire in enumerate(poison):
        part = parts[(number + 1) * slices // (len(poison) + 2)]
        part.insert(len(part) // 2, wire)
    late_ms = end_ms + 30_000
    parts[-1] += _late(start_ms, late_ms)
    closing = [*_closing_beats(end_ms + 5 * MINUTE_MS)]
    ledger = [_sample(name, end_ms + 3 * MINUTE_MS, 100.0) for name in _one_series_a_partition()]
    counts = {
        TELEMETRY.name: rounds * SERIES + 3 + MINUTES + len(ledger),
        PLAYBACK.name: VIEWERS * MINUTES + MINUTES + len(closing),
        SEGMENTS.name: MINUTES * 60 + MINUTES,
    }
    return Input(list(_reference(start_ms)), parts, closing, ledger, 3 * MINUTES + 2, counts)


def _telemetry(rounds: int, start_ms: int, seed: int) -> Iterator[list[Wire]]:
    """Yield the records of each round: every series has one sample in it, singly or packed."""
    rng = np.random.default_rng(seed)
    values = rng.normal(100.0, 5.0, (rounds, SERIES))
    for _ in range(FAULTS):
        first = int(rng.integers(MIN_BASELINE_ROUNDS, rounds - 40))
        lasts = int(rng.integers(6, 20))
        series = int(rng.integers(SERIES))
        values[first : first + lasts, series] = rng.choice([160.0, 3_000.0, 9_000.0])
        values[first + lasts // 2 : first + lasts, series] *= rng.choice([1.0, 2.0])
    names = [f"service-{number}" for number in range(SERIES)]
    keys = [f"{name}/{METRIC}".encode() for name in names]
    homes = np.array([partition_of(key, TELEMETRY.partitions) for key in keys])
    texts = [key.decode() for key in keys]
    heads = [f',"service":"{name}","metric":"{METRIC}","value":'.encode() for name in names]
    packed_of, of = PACKED_SHARE
    step_ms = MINUTES * MINUTE_MS / rounds
    numbers = np.arange(SERIES)
    for number in range(rounds):
        time_ms = start_ms + int(number * step_ms)
        is_packed = (numbers + number) % of < packed_of
        row = np.round(values[number], 3)
        records = [
            Wire(TELEMETRY, keys[i], b'{"time_ms":%d%b%b}' % (time_ms, heads[i], b"%.3f" % value), time_ms)
            for i, value in zip(np.flatnonzero(~is_packed).tolist(), row[~is_packed].tolist(), strict=True)
        ]
        for home in range(TELEMETRY.partitions):
            inside = np.flatnonzero(is_packed & (homes == home))
            samples = Samples(
                series=[texts[i] for i in inside],
                which=list(range(len(inside))),
                time_ms=[time_ms] * len(inside),
                value=row[inside].tolist(),
            )
            records.append(Wire(TELEMETRY, None, msgspec.json.encode(samples), time_ms, home, packed=True))
        yield records


def _beats_and_segments(start_ms: int, seed: int) -> Iterator[Wire]:
    """CDN b stalls in minutes 5 and 6; a live pipeline misses segments in minute 7."""
    rng = random.Random(seed)
    for minute in range(MINUTES):
        now_ms = start_ms + minute * MINUTE_MS
        for viewer in range(VIEWERS):
            cdn, isp = "abc"[viewer % 3], "xy"[viewer % 2]
            stalls = rng.random() < (0.3 if cdn == "b" and minute in {5, 6} else 0.02)
            beat = Beat(
                time_ms=now_ms + viewer * 60,
                session_id=f"s{viewer}",
                state=PlayerState.PLAYING,
                title="match",
                cdn=cdn,
                isp=isp,
                play_ms=50_000,
                stall_ms=5_000 if stalls else 0,
            )
            yield _encoded(PLAYBACK, beat)
        for number in range(30):
            sequence = minute * 30 + number
            for pipeline in ("east", "west"):
                missing = pipeline == "east" and minute == 7 and number < 10
                segment = Segment(
                    id=f"{pipeline}-{sequence}",
                    time_ms=now_ms + number * 2_000,
                    stream="live",
                    pipeline=pipeline,
                    sequence=sequence,
                    duration_ms=2_000,
                    status=SegmentStatus.MISSING if missing else SegmentStatus.PUBLISHED,
                    size_bytes=0 if missing else 500_000,
                )
                yield _encoded(SEGMENTS, segment)


def _poison(start_ms: int) -> Iterator[Wire]:
    for minute in range(MINUTES):
        for spec in (PLAYBACK, TELEMETRY, SEGMENTS):
            yield Wire(spec, b"bad", b'{"time_ms": "yesterday"}', start_ms + minute * MINUTE_MS)


def _late(start_ms: int, now_ms: int) -> list[Wire]:
    """One sample in time, and two of its series in one packed record: far too late, and from the future."""
    name = "service-0"
    samples = Samples(
        series=[f"{name}/{METRIC}"], which=[0, 0], time_ms=[start_ms, now_ms + 600_000], value=[1.0, 1.0]
    )
    home = partition_of(f"{name}/{METRIC}".encode(), TELEMETRY.partitions)
    return [
        _sample(name, now_ms, 100.0),
        Wire(TELEMETRY, None, msgspec.json.encode(samples), now_ms, home, packed=True),
    ]


def _closing_beats(time_ms: int) -> Iterator[Wire]:
    """Beats of every partition from so late that all windows before them close."""
    homes: dict[int, str] = {}
    number = 0
    while len(homes) < PLAYBACK.partitions:
        homes.setdefault(partition_of(f"end{number}".encode(), PLAYBACK.partitions), f"end{number}")
        number += 1
    for session in homes.values():
        yield _encoded(
            PLAYBACK,
            Beat(time_ms=time_ms, session_id=session, state=PlayerState.PLAYING, title="match", cdn="a"),
        )


def _one_series_a_partition() -> list[str]:
    homes: dict[int, str] = {}
    for number in range(SERIES):
        key = f"service-{number}/{METRIC}".encode()
        homes.setdefault(partition_of(key, TELEMETRY.partitions), f"service-{number}")
    return list(homes.values())


def _reference(start_ms: int) -> Iterator[Wire]:
    """Leave to switch pipelines in earnest; and CDNs with room, so that moves are proposed."""
    policy = Policy(time_ms=start_ms, policy="switch", allows=CommandKind.FAIL_OVER, dry_run=False)
    yield _encoded(POLICIES, policy)
    for cdn in "abc":
        report_ms = start_ms + 6 * MINUTE_MS
        report = NodeReport(time_ms=report_ms, node=f"{cdn}-1", cdn=cdn, capacity_gbps=1_000, load=0.3)
        yield _encoded(CDN_NODES, report)


def _sample(service: str, time_ms: int, value: float) -> Wire:
    text = b'{"time_ms":%d,"service":"%b","metric":"%b","value":%.1f}'
    return Wire(
        TELEMETRY,
        f"{service}/{METRIC}".encode(),
        text % (time_ms, service.encode(), METRIC.encode(), value),
        time_ms,
    )


def _encoded(spec: AnySpec, record: Any) -> Wire:
    return Wire(spec, spec.key_of(record).encode(), spec.encode(record), record.time_ms)


def headers_of(wire: Wire) -> list[tuple[str, bytes]] | None:
    """Return the headers that `wire` is sent with."""
    return PACKED_HEADERS if wire.packed else None
