"""`playhead bench memory`: how much memory a process takes while it drains a backlog, beside the others.

One that falls behind must not read faster than it judges: what waits in memory is bounded by the queues of
the client, not by the backlog. One process meets a backlog that is there already, and its resident memory is
looked at all the while. It then meets as large a backlog of more series, which tells what a series costs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from confluent_kafka import KafkaException

from config import Settings
from playhead.bench.errors import BenchError
from playhead.bench.job import Shape, send_backlog
from playhead.bench.machine import this_machine
from playhead.bench.memory_results import Drain, Look, Memory, MemoryResult
from playhead.bench.programs import Report, one_of
from playhead.bench.running import QUIET_TIMEOUT_S, Running, run_topics
from playhead.brokers import client_config
from topics import TELEMETRY
from topics.errors import PlayheadError

CONTESTANTS: Final = ("lane", "faust", "faust-table", "quix", "kafka-streams")
LOOK_S: Final = 0.25
SETTLE_S: Final = 3.0
"""After the last event, until a process is held to have given back what it will."""

WARM_UP_SHARE: Final = 0.1
"""Of the backlog: by then the queues have filled once, and every series is known."""

MB: Final = 1_000_000


class Plan(NamedTuple):
    """What a run measures."""

    events: int
    """Of the backlog of the fastest; slower ones get their share, but every series at least once."""
    series: int
    many_series: int
    packed: int
    """Events a record; 1 for single events."""
    contestants: Sequence[str] = CONTESTANTS

    @property
    def steps(self) -> int:
        """Drains, of all contestants."""
        return 2 * len(self.contestants)


def run(
    settings: Settings, plan: Plan, command: str, report: Report, step: Callable[[], None]
) -> MemoryResult:
    """Measure and return all drains. What a contestant does not manage is told, and harms no other's figures.

    Args:
        command: how this was called, to be kept with the figures.
        report: told what is being done.
        step: called after each drain.

    Raises:
        BenchError: there is no such contestant, or `many_series` is no more than `series`.
    """
    began, clock = datetime.now(UTC), time.monotonic()
    machine = this_machine(settings)
    if plan.many_series <= plan.series:
        raise BenchError(f"{plan.many_series:,} series are to be more than {plan.series:,}")
    for name in plan.contestants:
        one_of(name)
    found: list[Memory] = []
    missing: dict[str, str] = {}
    for name in plan.contestants:
        events = max(int(plan.events * one_of(name).share_of_events), plan.many_series)
        try:
            few, many = (
                _drain(settings, name, Shape(series=series, packed=plan.packed), events, report, step)
                for series in (plan.series, plan.many_series)
            )
        except (PlayheadError, KafkaException) as error:
            report(f"{name}: {error}")
            missing[name] = str(error)
        else:
            found.append(compared(name, few, many))
    return MemoryResult(
        command=command,
        began=began.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
        machine=machine,
        contestants=found,
        missing=missing,
    )


def compared(name: str, few: Drain, many: Drain) -> Memory:
    """Return two drains of one contestant, and what a series costs by them."""
    more = many.series - few.series
    per_series = MB * (many.settled_mb - few.settled_mb) / more
    return Memory(contestant=name, few=few, many=many, bytes_per_series=per_series)


def summed_up(looks: list[Look], *, series: int) -> Drain:
    """Return what `looks` say; those with all events taken tell what the process settles at.

    >>> looks = [Look(0.0, 0, 90.0), Look(1.0, 20, 200.0), Look(2.0, 60, 230.0), Look(3.0, 100, 210.0),
    ...          Look(4.0, 100, 190.0)]
    >>> found = summed_up(looks, series=1)
    >>> found.started_mb, found.warm_mb, found.peak_mb, found.growth_mb, found.settled_mb, found.seconds
    (90.0, 200.0, 230.0, 30.0, 190.0, 3.0)
    """
    events = looks[-1].events
    warm = next(look for look in looks if look.events >= WARM_UP_SHARE * events)
    peak_mb = max(look.rss_mb for look in looks if look.seconds >= warm.seconds)
    first = max((look for look in looks if not look.events), key=lambda look: look.seconds, default=looks[0])
    done = [look for look in looks if look.events == events]
    seconds = done[0].seconds - first.seconds
    return Drain(
        events=events,
        series=series,
        seconds=seconds,
        events_per_s=events / seconds if seconds else 0.0,
        started_mb=first.rss_mb,
        warm_mb=warm.rss_mb,
        peak_mb=peak_mb,
        growth_mb=peak_mb - warm.rss_mb,
        settled_mb=statistics.median(look.rss_mb for look in done[len(done) // 2 :]),
        looks=looks,
    )


def _drain(
    settings: Settings, name: str, shape: Shape, events: int, report: Report, step: Callable[[], None]
) -> Drain:
    with run_topics(settings, TELEMETRY.partitions) as mine:
        report(f"sending {name} a backlog of {events:,} events of {shape.series:,} series")
        send_backlog(client_config(mine), mine.prefix, shape, events, TELEMETRY.partitions)
        with Running(mine, name, report, packed=shape.packed > 1) as running:
            report(f"{name} drains it")
            looks = _watch(running, events)
    step()
    return summed_up(looks, series=shape.series)


def _watch(running: Running, events: int) -> list[Look]:
    """Look at a contestant's process until it has taken `events`, and for a while afterwards."""
    (member,) = running.members
    began = moved = time.monotonic()
    looks: list[Look] = []
    taken = 0
    while taken < events or time.monotonic() - moved < SETTLE_S:
        member.check()
        now, before, taken = time.monotonic(), taken, member.events
        moved = now if taken > before else moved
        if taken < events and now - moved > QUIET_TIMEOUT_S:
            raise BenchError(
                f"{running.contestant} stands still at {taken:,} of {events:,} events\n{member.errors}"
            )
        looks.append(Look(now - began, taken, member.rss_bytes / MB))
        time.sleep(LOOK_S)
    return looks
