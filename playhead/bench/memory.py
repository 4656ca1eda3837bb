"""`playhead bench memory`: how much memory a worker takes while it drains a backlog.

A lane that falls behind must not read faster than it judges: what waits in memory is bounded by the queues of
the client, not by the backlog. One worker meets a backlog that is there already, and its resident memory is
looked at all the while.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from pathlib import Path

import msgspec

from config import Settings
from playhead.bench.arena import Arena, MeasureError, Report
from playhead.bench.backlog import Backlog, Feeder
from playhead.brokers import client_config
from playhead.worker_process import WorkerProcess

AGENT = "telemetry"
READY_TIMEOUT_S = 120.0
LOOK_S = 0.25
STALL_TIMEOUT_S = 60.0
WARM_UP_SHARE = 0.1
"""Of the backlog: by then the queues have filled once, and every series is known."""

MB = 1_000_000


class Look(msgspec.Struct, frozen=True):
    """The worker at one moment."""

    seconds: float
    events: int
    """Taken so far."""
    rss_mb: float


class MemoryResult(msgspec.Struct, frozen=True):
    """One drain, with where it was taken."""

    machine: str
    cpus: int
    load_average: float
    """At the end."""
    events: int
    series: int
    events_per_record: int
    seconds: float
    events_per_s: float
    started_mb: float
    """Before the first event."""
    warm_mb: float
    """After `WARM_UP_SHARE` of the backlog."""
    peak_mb: float
    growth_mb: float
    """From `warm_mb` to the peak after it."""
    looks: list[Look]


def run(
    settings: Settings, *, events: int, series: int, events_per_record: int, report: Report
) -> MemoryResult:
    """Measure and return one drain.

    Args:
        events: of the backlog, at least.

    Raises:
        MeasureError: the worker did not drain it.
    """
    with Arena(settings, "memory", AGENT) as arena, tempfile.TemporaryDirectory() as folder:
        feeder = Feeder(client_config(arena.settings), arena.settings.prefix)
        source = Backlog(series, events_per_record=events_per_record)
        while feeder.events < events:
            report(f"sending a backlog: {feeder.events:,} of {events:,} events")
            for wire in source.turn():
                feeder.send(wire)
        feeder.flush()
        with WorkerProcess(Path(folder) / "worker.log", arena.environment, [AGENT]) as worker:
            looks = _watch(worker, feeder.events, report)
    return summed_up(looks, series=series, events_per_record=events_per_record)


def summed_up(looks: list[Look], *, series: int, events_per_record: int) -> MemoryResult:
    """Return what `looks` say.

    >>> looks = [Look(0.0, 0, 90.0), Look(1.0, 20, 200.0), Look(2.0, 60, 230.0), Look(3.0, 100, 210.0)]
    >>> found = summed_up(looks, series=1, events_per_record=1)
    >>> found.warm_mb, found.peak_mb, found.growth_mb
    (200.0, 230.0, 30.0)
    """
    events = looks[-1].events
    warm = next(look for look in looks if look.events >= WARM_UP_SHARE * events)
    peak_mb = max(look.rss_mb for look in looks if look.seconds >= warm.seconds)
    first = max((look for look in looks if not look.events), key=lambda look: look.seconds, default=looks[0])
    seconds = looks[-1].seconds - first.seconds
    return MemoryResult(
        machine=platform.machine(),
        cpus=os.cpu_count() or 1,
        load_average=os.getloadavg()[0],
        events=events,
        series=series,
        events_per_record=events_per_record,
        seconds=seconds,
        events_per_s=events / seconds if seconds else 0.0,
        started_mb=first.rss_mb,
        warm_mb=warm.rss_mb,
        peak_mb=peak_mb,
        growth_mb=peak_mb - warm.rss_mb,
        looks=looks,
    )


def _watch(worker: WorkerProcess, events: int, report: Report) -> list[Look]:
    """Look at `worker` until it has taken `events`."""
    began = moved = time.monotonic()
    looks: list[Look] = []
    taken = 0
    while taken < events:
        if not worker.running:
            raise MeasureError("the worker ended before the backlog did")
        now = time.monotonic()
        found = worker.events()
        if found > taken or not found:
            moved = now if found else moved
        taken = found
        if now - moved > (STALL_TIMEOUT_S if taken else READY_TIMEOUT_S):
            raise MeasureError(f"the worker stands still at {taken:,} of {events:,} events")
        looks.append(Look(now - began, taken, worker.rss_bytes / MB))
        report(f"{taken:,} of {events:,} events, {looks[-1].rss_mb:.0f} MB")
        time.sleep(LOOK_S)
    return looks
