"""`playhead bench recovery`: how long the series of a killed worker go unwatched.

Two workers share the partitions of `telemetry` under load. One is killed (``kill -9``); the group misses it
after `engine.session_timeout_s`, the other takes its partitions over, reads their snapshots, goes on from
their checkpoints and catches up. Outliers all over the series make it say something all the time, so that
the first word on a series of the dead worker can be timed, and the last that came late.
"""

from __future__ import annotations

import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from config import Settings
from playhead.bench.arena import Arena, MeasureError, Report
from playhead.bench.backlog import Backlog, Feeder
from playhead.brokers import client_config
from playhead.log_reader import read_to_end
from playhead.worker_process import WorkerProcess
from topics import ANOMALIES

AGENT = "telemetry"
WORKERS = 2
EVENTS_PER_RECORD = 100
OUTLIER_EVERY = 97
READY_TIMEOUT_S = 120.0
WARM_UP_TIMEOUT_S = 300.0
STEADY_S = 6.0
"""Load before the kill: some checkpoints long."""

CATCH_UP_TIMEOUT_S = 60.0
BEHIND_MS = 1_000
"""A word that comes later than so long after its cause is one of a lane that has not caught up."""

POLL_S = 0.25


class Recovery(msgspec.Struct, frozen=True):
    """What came of one kill, in seconds since it."""

    series: int
    """Whose state the dead worker had."""
    partitions: list[int]
    missed_after_s: float
    """The other worker was given the partitions."""
    first_output_s: float
    caught_up_s: float
    """Everything later was told within `BEHIND_MS` of its cause."""
    outputs: int
    """New words on the partitions of the dead until the end."""


class RecoveryResult(msgspec.Struct, frozen=True):
    """All kills of one run, with where they were taken."""

    machine: str
    cpus: int
    load_average: float
    """At the end."""
    series: int
    rate_per_s: float
    session_timeout_s: float
    kills: list[Recovery]


class Word(NamedTuple):
    """An anomaly as it was told."""

    id: str
    partition: int
    """Of `telemetry`."""
    told_ms: int
    origin_ms: int


def run(settings: Settings, *, series: int, rate: float, kills: int, report: Report) -> RecoveryResult:
    """Measure and return all kills.

    Args:
        series: of both workers together.
        rate: events a second all the while.

    Raises:
        MeasureError: a worker did not take over, or not in time.
    """
    with Arena(settings, "recovery", AGENT) as arena, tempfile.TemporaryDirectory() as folder:
        live = arena.settings
        crew = _Crew(arena, Path(folder))
        backlog = Backlog(series, events_per_record=EVENTS_PER_RECORD, outlier_every=OUTLIER_EVERY)
        feeder = Feeder(client_config(live), live.prefix)
        with crew:
            report(f"two workers learn {series:,} series")
            crew.wait_until_ready()
            for wire in backlog.turn():
                feeder.send(wire)
            feeder.flush()
            _wait(lambda: crew.events() >= feeder.events, WARM_UP_TIMEOUT_S, "the workers did not catch up")
            with _Load(backlog, feeder, rate) as load:
                found = []
                for number in range(kills):
                    report(f"kill {number + 1} of {kills}, at {rate:,.0f} events/s")
                    time.sleep(STEADY_S)
                    found.append(_kill_one(live, crew, series))
                    if not load.alive:
                        raise MeasureError(
                            "the load ended by itself: the broker may be too slow for the rate"
                        )
                    crew.mend()
                    crew.wait_until_ready()
    return RecoveryResult(
        machine=platform.machine(),
        cpus=os.cpu_count() or 1,
        load_average=os.getloadavg()[0],
        series=series,
        rate_per_s=rate,
        session_timeout_s=settings.engine.session_timeout_s,
        kills=found,
    )


def judge(
    before: set[str], after: list[Word], partitions: set[int], killed_ms: int
) -> tuple[float, float, int]:
    """Return first new output and caught up, both in seconds since the kill, and the number of new outputs.

    Args:
        before: ids told by the dead: what is said again is no news.

    Raises:
        MeasureError: nothing new was told of `partitions`.

    >>> words = [Word("a", 0, 2_000, 900), Word("b", 0, 7_000, 2_500), Word("c", 0, 8_000, 7_900),
    ...          Word("d", 1, 2_000, 1_900)]
    >>> judge({"a"}, words, {0}, killed_ms=1_000)
    (6.0, 6.0, 2)
    """
    news = [word for word in after if word.partition in partitions and word.id not in before]
    if not news:
        raise MeasureError("the successor has told nothing of the partitions of the dead worker")
    first_ms = min(word.told_ms for word in news)
    late_ms = max(
        (word.told_ms for word in news if word.told_ms - word.origin_ms > BEHIND_MS), default=first_ms
    )
    return (first_ms - killed_ms) / 1000, (late_ms - killed_ms) / 1000, len(news)


def _kill_one(live: Settings, crew: _Crew, series: int) -> Recovery:
    """Kill the worker that has most to lose, and see what becomes of its partitions."""
    victim = max(crew.workers, key=lambda worker: len(_partitions(worker)))
    partitions = _partitions(victim)
    others = [worker for worker in crew.workers if worker is not victim]
    killed_ms = int(time.time() * 1000)
    victim.kill()
    before = {word.id for word in _words(live)}
    _wait(
        lambda: partitions <= set().union(*map(_partitions, others)),
        CATCH_UP_TIMEOUT_S,
        f"nobody took over partitions {sorted(partitions)}",
    )
    missed_after_s = time.time() - killed_ms / 1000
    time.sleep(STEADY_S)
    first_s, caught_up_s, outputs = judge(before, list(_words(live)), partitions, killed_ms)
    held = round(series * len(partitions) / sum(len(_partitions(worker)) for worker in others))
    return Recovery(held, sorted(partitions), missed_after_s, first_s, caught_up_s, outputs)


def _partitions(worker: WorkerProcess) -> set[int]:
    return {int(sample.labels["partition"]) for sample in worker.samples("playhead_lag_records")}


def _words(live: Settings) -> Iterator[Word]:
    for message in read_to_end(client_config(live), ANOMALIES.full_name(live.prefix)):
        anomaly = ANOMALIES.decode(message.value())
        if anomaly.evidence is not None and anomaly.origin_ms is not None:
            yield Word(anomaly.id, anomaly.evidence.partition, message.timestamp()[1], anomaly.origin_ms)


def _wait(reached: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            raise MeasureError(f"{otherwise} within {timeout_s:g} s")
        time.sleep(POLL_S)


class _Crew:
    """The workers; a context manager that stops them."""

    def __init__(self, arena: Arena, folder: Path) -> None:
        self._settings = arena.environment
        self._folder = folder
        self.workers: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.__exit__(None, None, None)

    def mend(self) -> None:
        """Start as many as there should be."""
        self.workers = [worker for worker in self.workers if worker.running]
        while len(self.workers) < WORKERS:
            log = self._folder / f"worker-{time.monotonic_ns()}.log"
            self.workers.append(WorkerProcess(log, self._settings, [AGENT]))

    def wait_until_ready(self) -> None:
        """Return once each worker has partitions."""
        for worker in self.workers:
            worker.wait_until_ready(READY_TIMEOUT_S)
        _wait(lambda: all(map(_partitions, self.workers)), READY_TIMEOUT_S, "a worker has no partitions")

    def events(self) -> int:
        """Return how many events they have taken."""
        return sum(worker.events() for worker in self.workers)


class _Load:
    """Sends samples at a rate, in a thread, for as long as the ``with`` lasts."""

    def __init__(self, backlog: Backlog, feeder: Feeder, rate: float) -> None:
        self._backlog = backlog
        self._feeder = feeder
        self._rate = rate
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="load", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._feeder.flush()

    def _feed(self) -> None:
        began, sent = time.perf_counter(), 0
        while not self._ending.is_set():
            for wire in self._backlog.turn():
                self._feeder.send(wire)
                sent += wire.events
                ahead_s = sent / self._rate - (time.perf_counter() - began)
                if ahead_s > 0 and self._ending.wait(ahead_s):
                    return
