"""`playhead bench engine`: throughput and latency of the telemetry lane beside its alternatives.

All do the same job on the same broker in the same run, taking turns, so that ratios hold however fast the
machine is at the moment. What each tells is counted against what the bank finds in the same events.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from msgspec.structs import replace

from config import Settings
from playhead.bench.errors import BenchError, ContestantMissingError
from playhead.bench.job import Shape, held_backlog, send_backlog
from playhead.bench.live import measure_latency
from playhead.bench.machine import cpu_seconds, kafka_pid, this_machine
from playhead.bench.programs import Report, program_of, split_name
from playhead.bench.results import EngineResult, Latency, Throughput
from playhead.bench.running import Alerts, Measured, Running, forget_groups, run_topics
from playhead.brokers import client_config
from topics import TELEMETRY

CONTESTANTS: Final = (
    "lane",
    "lane-2",
    "faust",
    "faust-table",
    "quix",
    "kafka-streams",
    "ceiling",
    "ceiling-decode",
)
AXIS_CONTESTANTS: Final = ("lane", "faust", "quix", "kafka-streams", "ceiling")
LIVE_CONTESTANTS: Final = ("lane", "faust", "quix", "kafka-streams")
RATES_PER_S: Final = (1_000.0, 10_000.0, 100_000.0)
NEAR_CAPACITY: Final = 0.8
STARTS_TOLERANCE: Final = 0.001
LEAST_EVENTS: Final = 20_000
SETTLE_S: Final = 3.0
"""Once every series is known: what is written down of them is not of the backlog that is timed."""


@dataclass(frozen=True)
class Point:
    """One backlog: where on which axis, and how many events for each asked for."""

    axis: str
    at: str
    shape: Shape = field(default_factory=Shape)
    partitions: int = TELEMETRY.partitions
    scale: float = 1.0
    warm: bool = False
    """Whether each series is known before the backlog that is timed."""
    more: tuple[str, ...] = ()
    """Contestants beside those of every axis."""

    def among(self, contestants: Sequence[str]) -> list[str]:
        """Return which of `contestants` take part here."""
        return [name for name in contestants if name in (*AXIS_CONTESTANTS, *self.more)]

    @property
    def first(self) -> int:
        """Number of the first event that is timed."""
        return self.shape.series if self.warm else 0


BASE: Final = Point("base", "1,000 series, 4 partitions")
AXES: Final[Mapping[str, tuple[Point, ...]]] = {
    "series": tuple(
        Point("series", f"{count:,} series, opening", Shape(series=count))
        for count in (10_000, 100_000, 1_000_000)
    ),
    "steady": tuple(
        Point("steady", f"{count:,} series, known", Shape(series=count), warm=True)
        for count in (1_000, 10_000, 100_000, 1_000_000)
    ),
    "partitions": tuple(
        Point("partitions", f"{count} partition{'s'[: count > 1]}", partitions=count) for count in (1, 2, 8)
    ),
    "record": (
        Point("record", "10 tags", Shape(tags=10), scale=0.5),
        Point("record", "10 tags, 1 kB", Shape(tags=10, tag_bytes=40), scale=0.25),
    ),
    "packing": (Point("packing", "100 events a record", Shape(packed=100), scale=2.0, more=("lane-2",)),),
}
"""Beside the base point, which is on every axis."""


class Plan(NamedTuple):
    """What a run measures."""

    events: int
    """Backlog of the fastest contestants; slower ones get their share of it."""
    rounds: int
    """Of the base point."""
    axes: Sequence[str]
    axis_rounds: int
    contestants: Sequence[str]
    rates_per_s: Sequence[float]
    latency_seconds: float
    """Of each measurement of latency; 0 for none."""

    @property
    def steps(self) -> int:
        """Contestants' runs, at the most."""
        runs = sum(len(point.among(self.contestants)) for axis in self.axes for point in AXES[axis])
        live = [name for name in self.contestants if name in LIVE_CONTESTANTS] if self.latency_seconds else []
        return (
            self.rounds * len(self.contestants)
            + self.axis_rounds * runs
            + len(live) * (len(self.rates_per_s) + 1)
        )


def run(
    settings: Settings, plan: Plan, command: str, report: Report, step: Callable[[], None]
) -> EngineResult:
    """Measure and return all figures.

    Args:
        command: how this was called, to be kept with the figures.
        report: told what is being done.
        step: called after each run of a contestant.

    Raises:
        BenchError: a contestant did not do its job at the base point; elsewhere that is told in `missing`.
    """
    began, clock = datetime.now(UTC), time.monotonic()
    machine = this_machine(settings)
    for name in plan.contestants:
        split_name(name)
    contestants, missing = _ready(plan.contestants, report)
    throughput = measure_point(settings, BASE, contestants, plan.events, plan.rounds, report, step)
    for axis in plan.axes:
        for point in AXES[axis]:
            try:
                throughput += measure_point(
                    settings, point, point.among(contestants), plan.events, plan.axis_rounds, report, step
                )
            except BenchError as error:  # the figures so far were minutes of work
                report(f"{point.at}: {error}")
                missing[point.at] = str(error)
    latency: list[Latency] = []
    for row in throughput[: len(contestants)] if plan.latency_seconds else ():
        if row.contestant in LIVE_CONTESTANTS:
            latency += _latencies(settings, plan, row, missing, report, step)
    return EngineResult(
        command=command,
        began=began.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
        machine=machine,
        starts_tolerance=STARTS_TOLERANCE,
        throughput=throughput,
        latency=latency,
        missing=missing,
    )


def _ready(contestants: Sequence[str], report: Report) -> tuple[list[str], dict[str, str]]:
    """Make the others ready before anything is measured; return who takes part, and why others do not."""
    missing: dict[str, str] = {}
    for name in contestants:
        try:
            program_of(name).command_of(report)
        except ContestantMissingError as error:
            missing[name] = str(error)
    return [name for name in contestants if name not in missing], missing


def _latencies(
    settings: Settings,
    plan: Plan,
    row: Throughput,
    missing: dict[str, str],
    report: Report,
    step: Callable[[], None],
) -> list[Latency]:
    near = NEAR_CAPACITY * row.events_per_s
    rates = [rate for rate in plan.rates_per_s if rate < near] + [near]
    found = []
    for rate in rates:
        report(f"{row.contestant} live at {rate:,.0f} events/s")
        try:
            latency = measure_latency(
                settings, row.contestant, rate, plan.latency_seconds, row.events_per_s, report
            )
        except BenchError as error:  # the figures so far were minutes of work
            report(f"{row.contestant} live at {rate:,.0f} events/s: {error}")
            missing[f"{row.contestant} live at {rate:,.0f} events/s"] = str(error)
        else:
            found.append(latency)
        step()
    for _ in range(len(plan.rates_per_s) + 1 - len(rates)):
        step()
    return found


def measure_point(
    settings: Settings,
    point: Point,
    contestants: Sequence[str],
    events: int,
    rounds: int,
    report: Report,
    step: Callable[[], None],
) -> list[Throughput]:
    """Let contestants take turns at backlogs of one kind, each reading one of its size to the end."""
    sizes: dict[int, list[str]] = {}
    for name in contestants:
        share = program_of(name).share_of_events
        sizes.setdefault(max(int(events * point.scale * share), LEAST_EVENTS), []).append(name)
    runs: dict[str, list[_Run]] = {name: [] for name in contestants}
    expected: dict[str, int] = {}
    for size, names in sizes.items():
        starts = point.shape.starts(settings, point.first + size)
        with run_topics(settings, point.partitions) as mine:
            if not all(_is_held(name, point) for name in names):
                report(f"{point.at}: sending a backlog of {size:,} events")
                send_backlog(client_config(mine), mine.prefix, point.shape, size, point.partitions)
            for number in range(rounds):
                for name in names:
                    report(f"{point.at}: {name} reads {size:,} events, round {number + 1} of {rounds}")
                    drain = _drain_held if _is_held(name, point) else _drain
                    runs[name].append(drain(mine, name, point, size, report))
                    expected[name] = starts
                    step()
    rows = [_row(point, name, runs[name], expected[name]) for name in contestants]
    return compared(rows)


class _Run(NamedTuple):
    measured: Measured
    broker_cpu_us_per_event: float | None
    starts: int | None


def _is_held(name: str, point: Point) -> bool:
    """Return whether the backlog comes when all are ready: it is of known series, or for several at once."""
    return point.warm or (split_name(name)[1] > 1 and program_of(name).reads_committed)


def _drain_held(settings: Settings, name: str, point: Point, events: int, report: Report) -> _Run:
    """Let the processes share the partitions, and know the series, before they see the backlog."""
    with run_topics(settings, point.partitions) as mine:
        if point.warm:
            send_backlog(client_config(mine), mine.prefix, point.shape, point.first, point.partitions)
        with _held(mine, name, point, events) as let_go:
            return _drain(mine, name, point, events, report, let_go)


@contextmanager
def _held(settings: Settings, name: str, point: Point, events: int) -> Iterator[Callable[[], None]]:
    """Yield what lets the contestant see the backlog.

    One that reads what is not committed, too, is slow enough for the backlog to be sent as it begins.
    """
    client, prefix = client_config(settings), settings.prefix
    if program_of(name).reads_committed:
        with held_backlog(client, prefix, point.shape, events, point.partitions, point.first) as let_go:
            yield let_go
    else:
        yield lambda: send_backlog(client, prefix, point.shape, events, point.partitions, point.first)


def _drain(
    settings: Settings,
    name: str,
    point: Point,
    events: int,
    report: Report,
    let_go: Callable[[], None] | None = None,
) -> _Run:
    alerts = Alerts(settings)
    pid = kafka_pid(settings)
    since_s = 0.0
    with Running(settings, name, report, packed=point.shape.packed > 1) as running:
        if let_go is not None:
            running.wait_until_shared(point.partitions)
            running.wait_for(point.first)
            time.sleep(SETTLE_S if point.warm else 0.0)
            since_s = time.monotonic()
            let_go()
        running.wait_for(point.first + 1)
        broker_s = cpu_seconds(pid) if pid is not None else 0.0
        running.wait_for(point.first + events)
        broker_s = (cpu_seconds(pid) if pid is not None else 0.0) - broker_s
    measured = running.measured(since_s)
    forget_groups(client_config(settings), settings.prefix)
    starts = len(alerts.starts()) if program_of(name).tells else None
    return _Run(measured, 1e6 * broker_s / events if pid is not None else None, starts)


def _row(point: Point, name: str, runs: Sequence[_Run], expected: int) -> Throughput:
    speeds = [each.measured.events_per_s for each in runs]
    broker = [each.broker_cpu_us_per_event for each in runs if each.broker_cpu_us_per_event is not None]
    # Of several rounds the one that agrees least is told.
    told = [each.starts for each in runs if each.starts is not None]
    starts = max(told, key=lambda count: abs(count - expected)) if told else None
    return Throughput(
        contestant=name,
        axis=point.axis,
        at=point.at,
        series=point.shape.series,
        partitions=point.partitions,
        record_bytes=point.shape.record_bytes,
        events_per_record=point.shape.packed,
        events=runs[0].measured.events,
        rounds=len(runs),
        events_per_s=statistics.median(speeds),
        lowest_per_s=min(speeds),
        highest_per_s=max(speeds),
        ratio_to_faust=None,
        ratio_to_ceiling=None,
        cpu_us_per_event=statistics.median(each.measured.cpu_us_per_event for each in runs),
        broker_cpu_us_per_event=statistics.median(broker) if broker else None,
        rss_mb=statistics.median(each.measured.rss_mb for each in runs),
        starts=starts,
        starts_expected=expected,
        agrees=None if starts is None else abs(starts - expected) <= STARTS_TOLERANCE * expected,
    )


def compared(rows: Sequence[Throughput]) -> list[Throughput]:
    """Return the rows of one point with their ratios to plain Faust and to the ceiling."""

    speed = {row.contestant: row.events_per_s for row in rows}

    def ratio(row: Throughput, name: str) -> float | None:
        return row.events_per_s / speed[name] if name in speed else None

    return [
        replace(row, ratio_to_faust=ratio(row, "faust"), ratio_to_ceiling=ratio(row, "ceiling"))
        for row in rows
    ]
