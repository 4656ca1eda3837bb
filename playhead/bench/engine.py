"""`playhead bench engine`: throughput and latency of the telemetry lane beside a plain Faust agent.

Both do the same job with the same figures on the same broker in the same run, taking turns, so that the ratio
holds however fast the machine is at the moment.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from config import Settings
from playhead.bench.job import samples, send
from playhead.brokers import client_config
from playhead.log_reader import read_to_end
from playhead.topics_admin import TopicsAdmin, wanted
from topics import ANOMALIES, DEAD_LETTERS, LANE_STATE, TELEMETRY
from topics.anomalies import Phase
from topics.errors import PlayheadError

BACKLOG_SERIES = 1_000
LATENCY_SERIES = 100
ANOMALY_EVERY = 1_009
"""A prime, so that the anomalies wander over all series."""

LATENCY_ANOMALY_EVERY = 101
GROUPS = ("playhead.telemetry", "plain-faust", "ceiling")
CONTESTANT_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 30.0
ADMIN_TIMEOUT_S = 30.0
SETTLE_S = 1.0

Report = Callable[[str], None]


class BenchError(PlayheadError):
    """A contestant did not finish."""


class Throughput(msgspec.Struct, frozen=True):
    """How fast one contestant drained a backlog, as medians over the rounds."""

    contestant: str
    events: int
    rounds: int
    events_per_s: float
    ratio: float
    """To the plain Faust agent of the same run."""
    cpu_us_per_event: float
    rss_mb: float


class Latency(msgspec.Struct, frozen=True):
    """Event to alert of one contestant, live at a fixed rate."""

    contestant: str
    rate_per_s: float
    alerts: int
    p50_ms: float
    p99_ms: float


class EngineResult(msgspec.Struct, frozen=True):
    """All figures of one run, with where they were taken."""

    machine: str
    cpus: int
    python: str
    throughput: list[Throughput]
    latency: list[Latency]


class _Run(NamedTuple):
    events_per_s: float
    cpu_us_per_event: float
    rss_mb: float


def run(
    settings: Settings,
    *,
    events: int,
    plain_events: int,
    rounds: int,
    rate: float,
    seconds: float,
    report: Report,
) -> EngineResult:
    """Measure and return all figures.

    Args:
        events: backlog for the lane and the ceiling.
        plain_events: how much of it the plain Faust agent reads, which is many times slower.
        rounds: how often each contestant runs; medians are told.
        rate: events a second while latency is measured, for `seconds`.

    Raises:
        BenchError: a contestant did not finish.
    """
    expected = {"ceiling": events, "lane": events, "faust": plain_events}
    runs: dict[str, list[_Run]] = {name: [] for name in expected}
    prefix = f"bench-{int(time.time())}."
    with _Topics(settings, prefix) as backlog:
        report(f"sending a backlog of {events:,} samples")
        send(client_config(settings), prefix, samples(events, BACKLOG_SERIES, ANOMALY_EVERY, seed=1))
        for number in range(rounds):
            for name, count in expected.items():
                report(f"round {number + 1} of {rounds}: {name}")
                runs[name].append(_drain(backlog, name, count))
    plain = statistics.median(each.events_per_s for each in runs["faust"])
    throughput = [
        Throughput(
            contestant=name,
            events=expected[name],
            rounds=rounds,
            events_per_s=(speed := statistics.median(each.events_per_s for each in found)),
            ratio=speed / plain,
            cpu_us_per_event=statistics.median(each.cpu_us_per_event for each in found),
            rss_mb=statistics.median(each.rss_mb for each in found),
        )
        for name, found in runs.items()
    ]
    latency = [_live(settings, name, rate, seconds, report) for name in ("lane", "faust")]
    cpus = os.cpu_count() or 1
    return EngineResult(platform.machine(), cpus, platform.python_version(), throughput, latency)


class _Topics:
    """The topics of a run: there inside the ``with``, gone after it."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        self._settings = settings.model_copy(update={"prefix": prefix})
        self._topics = wanted((TELEMETRY, ANOMALIES, LANE_STATE, DEAD_LETTERS), prefix)

    def __enter__(self) -> Settings:
        admin = TopicsAdmin(client_config(self._settings), self._settings.engine.replication_factor)
        admin.create(self._topics)
        return self._settings

    def __exit__(self, *_: object) -> None:
        names = [topic.name for topic in self._topics]
        admin = AdminClient(client_config(self._settings))
        for future in admin.delete_topics(names).values():
            future.result(ADMIN_TIMEOUT_S)


def _drain(settings: Settings, name: str, count: int) -> _Run:
    """Let one contestant read `count` events from the beginning."""
    admin = AdminClient(client_config(settings))
    groups = [f"{settings.prefix}{group}" for group in GROUPS]
    for future in admin.delete_consumer_groups(groups).values():
        with suppress(KafkaException):  # the group was never there
            future.result(ADMIN_TIMEOUT_S)
    with _Contestant(settings, name, count) as contestant:
        last = contestant.wait_for("last")
    return _Run(last["events"] / last["seconds"], 1e6 * last["cpu_s"] / last["events"], last["rss_mb"])


def _live(settings: Settings, name: str, rate: float, seconds: float, report: Report) -> Latency:
    """Let one contestant read events as they are sent, and measure what it told."""
    count = int(rate * seconds)
    prefix = f"bench-{int(time.time())}-{name}."
    with _Topics(settings, prefix) as live, _Contestant(live, name, count) as contestant:
        report(f"{name}: {rate:,.0f} events/s for {seconds:.0f} s")
        client = client_config(live)
        stream = samples(count, LATENCY_SERIES, LATENCY_ANOMALY_EVERY, seed=2)
        # One sample first, so that what is measured is not the time it takes to join the group.
        send(client, prefix, islice(stream, 1))
        contestant.wait_for("first")
        send(client, prefix, stream, rate=rate)
        contestant.wait_for("last")
        time.sleep(SETTLE_S)
        latencies_ms = []
        for message in read_to_end(client, ANOMALIES.full_name(prefix)):
            anomaly = ANOMALIES.decode(message.value())
            if anomaly.phase is Phase.START and anomaly.origin_ms is not None:
                latencies_ms.append(message.timestamp()[1] - anomaly.origin_ms)
    if not latencies_ms:
        raise BenchError(f"{name} told no anomaly in {count} events")
    return Latency(
        name,
        rate,
        len(latencies_ms),
        float(np.percentile(latencies_ms, 50)),
        float(np.percentile(latencies_ms, 99)),
    )


class _Contestant:
    """A contestant's process and what it prints."""

    def __init__(self, settings: Settings, name: str, count: int) -> None:
        self._name = name
        environment = {
            **os.environ,
            "PLAYHEAD_PREFIX": settings.prefix,
            "PLAYHEAD_BROKERS": str(client_config(settings)["bootstrap.servers"]),
        }
        command = [sys.executable, "-m", "playhead.bench.contestants", name, str(count)]
        self._process = subprocess.Popen(  # noqa: S603
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._deadline = threading.Timer(CONTESTANT_TIMEOUT_S, self._process.kill)

    def __enter__(self) -> Self:
        self._deadline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline.cancel()
        try:
            self._process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def wait_for(self, moment: str) -> dict[str, Any]:
        """Return what it prints at `moment`."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: dict[str, Any] = msgspec.json.decode(line)
            if said["at"] == moment:
                return said
        _, errors = self._process.communicate()
        raise BenchError(f"{self._name} did not finish:\n{errors.decode(errors='replace')[-2000:]}")
