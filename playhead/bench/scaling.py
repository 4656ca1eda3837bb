"""`playhead bench scaling`: what more processes and partitions give, and what a rebalance costs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from config import Settings
from playhead.bench.engine import Point, measure_point
from playhead.bench.generator import Plan as Stream
from playhead.bench.job import LATENCY_CYCLE, Shape, now_ms, send_backlog
from playhead.bench.live import sent_by, start_generator
from playhead.bench.machine import this_machine
from playhead.bench.programs import Report, split_name
from playhead.bench.running import Alerts, Running, run_topics
from playhead.bench.scaling_results import Rebalance, Scale, ScalingResult
from playhead.brokers import client_config
from topics import TELEMETRY

ALERTS_PER_S: Final = 400
"""So many that a partition is silent for tens of ms at the most."""

SERIES: Final = 1_000
WARM_UP_S: Final = 3.0
FIRST_EVENTS: Final = 1_000
"""Once so many were taken, the stream flows."""

CHANGE_S: Final = 10.0
"""After each change, until the next: longer than it takes the group to notice a member that was killed."""

LONGEST_S: Final = 600.0
"""What the stream is told to last, unless it is told to end."""

NOTHING: Final = "nothing, to compare with"
JOINS: Final = "a second worker joins"
LEAVES: Final = "it leaves"
AGAIN: Final = "another joins"
KILLED: Final = "it is killed"


class Plan(NamedTuple):
    """What a run measures."""

    events: int
    processes: Sequence[int]
    partitions: Sequence[int]
    packed: int
    """Events a record; 1 for single events."""
    rebalance_rate_per_s: float
    """0 leaves rebalances out."""

    @property
    def steps(self) -> int:
        """Runs of a contestant."""
        drains = sum(each <= many for many in self.partitions for each in self.processes)
        return drains + bool(self.rebalance_rate_per_s)


def run(
    settings: Settings, plan: Plan, command: str, report: Report, step: Callable[[], None]
) -> ScalingResult:
    """Measure and return all figures.

    Raises:
        BenchError: a worker did not do its job.
    """
    began, clock = datetime.now(UTC), time.monotonic()
    machine = this_machine(settings)
    scales: list[Scale] = []
    for partitions in plan.partitions:
        point = Point("scaling", f"{partitions} partitions", Shape(packed=plan.packed), partitions)
        names = ["lane" if each == 1 else f"lane-{each}" for each in plan.processes if each <= partitions]
        rows = measure_point(settings, point, names, plan.events, 1, report, step)
        of_partitions = [
            Scale(
                processes=split_name(row.contestant)[1],
                partitions=partitions,
                events=row.events,
                events_per_s=row.events_per_s,
                ratio_to_one=1.0,
                cpu_us_per_event=row.cpu_us_per_event,
                broker_cpu_us_per_event=row.broker_cpu_us_per_event,
                rss_mb=row.rss_mb,
            )
            for row in rows
        ]
        one = of_partitions[0].events_per_s
        scales += [replace(scale, ratio_to_one=scale.events_per_s / one) for scale in of_partitions]
    rebalances: list[Rebalance] = []
    if plan.rebalance_rate_per_s:
        rebalances = _rebalances(settings, plan.rebalance_rate_per_s, report)
        step()
    return ScalingResult(
        command=command,
        began=began.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
        machine=machine,
        throughput=scales,
        rebalances=rebalances,
    )


def _rebalances(settings: Settings, rate_per_s: float, report: Report) -> list[Rebalance]:
    """Let workers come, go and die under a live stream; return what of it its outputs show."""
    partitions = TELEMETRY.partitions
    stream = Stream(
        rate_per_s=rate_per_s,
        seconds=LONGEST_S,
        series=SERIES,
        cycle=max(LATENCY_CYCLE, int(rate_per_s / ALERTS_PER_S)),
        partitions=partitions,
        until_told=True,
    )
    shape = Shape(series=stream.series, cycle=stream.cycle)
    with run_topics(settings, partitions) as mine, tempfile.TemporaryFile() as errors:
        alerts = Alerts(mine)
        with Running(mine, "lane", report) as running:
            send_backlog(client_config(mine), mine.prefix, shape, 1, partitions)
            running.wait_for(1)
            generator = start_generator(mine, stream, errors)
            try:
                changes = _change_workers(running, report)
                sent = sent_by(generator, errors)
            finally:
                generator.kill()
            running.settle()
        found = alerts.starts()
    lost = shape.starts(settings, sent.events) - len(found)
    return [_around(what, span, changes, found, rate_per_s, lost) for what, span in changes.items()]


def _change_workers(running: Running, report: Report) -> dict[str, tuple[float, float]]:
    """Let a second worker come and go, and a third come and be killed; return from when to when each took."""
    spans: dict[str, tuple[float, float]] = {}

    def note(what: str, change: Callable[[], Any]) -> Any:
        report(what)
        began = now_ms()
        changed = change()
        time.sleep(CHANGE_S)
        spans[what] = (began, now_ms())
        return changed

    running.wait_for(FIRST_EVENTS)
    time.sleep(WARM_UP_S)
    note(NOTHING, lambda: None)
    second = note(JOINS, running.add_and_wait)
    note(LEAVES, lambda: running.drop(second))
    third = note(AGAIN, running.add_and_wait)
    note(KILLED, lambda: running.drop(third, kill=True))
    return spans


def _around(
    what: str,
    span: tuple[float, float],
    spans: dict[str, tuple[float, float]],
    found: Sequence[tuple[float, float, int]],
    rate_per_s: float,
    lost: int,
) -> Rebalance:
    """Return what the alerts show of one change."""
    begin, end = span
    late = [at - origin for origin, at, _ in found if begin < at <= end]
    return Rebalance(
        what=what,
        rate_per_s=rate_per_s,
        longest_silence_s=longest_silence_ms(found, *span) / 1000,
        usual_silence_s=longest_silence_ms(found, *spans[NOTHING]) / 1000,
        slowest_alert_s=max(late, default=0.0) / 1000,
        lost=lost,
    )


def longest_silence_ms(found: Sequence[tuple[float, float, int]], begin: float, end: float) -> float:
    """Return the longest time without an alert of one partition, of those that end within the span.

    A silence that ends later is that of the next change, which has begun by then.

    >>> longest_silence_ms([(0, 5, 0), (0, 9, 0), (0, 30, 0), (0, 5, 1), (0, 10, 1)], 20, 40)
    21.0
    >>> longest_silence_ms([(0, 5, 0), (0, 9, 0), (0, 30, 0), (0, 5, 1), (0, 10, 1)], 5, 20)
    5.0
    """
    longest = 0.0
    for partition in {each for _, _, each in found}:
        times = np.array(sorted(at for _, at, each in found if each == partition))
        gaps, ends = np.diff(times), times[1:]
        within = gaps[(ends > begin) & (ends <= end)]
        longest = max(longest, float(within.max(initial=0.0)))
    return longest
