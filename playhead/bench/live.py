"""Event to alert, live: a generator as a process, one contestant, one broker, on the same cores."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import IO, Final

import msgspec
import numpy as np

from config import Settings
from playhead.bench.errors import BenchError
from playhead.bench.generator import Plan, Sent
from playhead.bench.job import LATENCY_CYCLE, Shape, send_backlog
from playhead.bench.programs import Report
from playhead.bench.results import Latency
from playhead.bench.running import Alerts, Running, run_topics
from playhead.brokers import client_config
from topics import TELEMETRY

SERIES: Final = 1_000
ALERTS_PER_S: Final = 125
"""However high the rate: telling must not become the load."""

WARM_UP_S: Final = 2.0
"""Alerts on what was sent so soon after the first event are left out: caches fill, fetches settle."""

LEAST_FOR_P999: Final = 1_000
GENERATOR_GRACE_S: Final = 120.0


def measure_latency(
    settings: Settings,
    contestant: str,
    rate_per_s: float,
    seconds: float,
    capacity_per_s: float,
    report: Report,
) -> Latency:
    """Return how long alerts took at a rate.

    Args:
        seconds: how long is measured, after the warm-up.
        capacity_per_s: what the contestant drains a backlog with.

    Raises:
        BenchError: the contestant or the generator failed, or nothing was told.
    """
    partitions = TELEMETRY.partitions
    plan = Plan(
        rate_per_s=rate_per_s,
        seconds=seconds + WARM_UP_S,
        series=SERIES,
        cycle=max(LATENCY_CYCLE, int(rate_per_s / ALERTS_PER_S)),
        partitions=partitions,
    )
    with run_topics(settings, partitions) as mine:
        alerts = Alerts(mine)
        with Running(mine, contestant, report) as running:
            # One sample first: what is measured is not the time it takes to start and to join the group.
            shape = Shape(series=plan.series, cycle=plan.cycle)
            send_backlog(client_config(mine), mine.prefix, shape, 1, partitions)
            running.wait_for(1)
            sent = _generate(mine, plan)
            ended = time.monotonic()
            running.wait_for(sent.events)
            caught_up = time.monotonic() - ended
        found = [
            at - origin for origin, at, _ in alerts.starts() if origin >= sent.began_ms + 1000 * WARM_UP_S
        ]
    if not found:
        raise BenchError(
            f"{contestant} told no anomaly in {sent.events:,} events at {rate_per_s:,.0f} a second"
        )
    p50, p99, p999 = np.percentile(found, [50, 99, 99.9]).tolist()
    return Latency(
        contestant=contestant,
        asked_per_s=rate_per_s,
        share_of_capacity=rate_per_s / capacity_per_s,
        sent_per_s=sent.events / sent.seconds,
        seconds=seconds,
        alerts=len(found),
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999 if len(found) >= LEAST_FOR_P999 else None,
        caught_up_after_s=caught_up,
    )


def _generate(settings: Settings, plan: Plan) -> Sent:
    with tempfile.TemporaryFile() as errors:
        return sent_by(start_generator(settings, plan, errors), errors, plan.seconds + GENERATOR_GRACE_S)


def start_generator(settings: Settings, plan: Plan, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Begin to send."""
    environment = {
        **os.environ,
        "PLAYHEAD_PREFIX": settings.prefix,
        "PLAYHEAD_BROKERS": str(client_config(settings)["bootstrap.servers"]),
    }
    command = [sys.executable, "-m", "playhead.bench.generator", msgspec.json.encode(plan).decode()]
    return subprocess.Popen(  # noqa: S603
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
    )


def sent_by(
    generator: subprocess.Popen[bytes], errors: IO[bytes], timeout_s: float = GENERATOR_GRACE_S
) -> Sent:
    """Return what a generator says it sent, once it has; its standard input ends.

    Raises:
        BenchError: it failed.
    """
    try:
        said, _ = generator.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        generator.kill()
        raise BenchError(f"the generator did not come to an end: {error}") from error
    if generator.returncode != 0:
        errors.seek(0)
        raise BenchError(f"the generator failed:\n{errors.read().decode(errors='replace')[-2000:]}")
    return msgspec.json.decode(said, type=Sent)
