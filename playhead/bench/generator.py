"""Sends live samples at a steady rate: ``python -m playhead.bench.generator PLAN``."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Final

import msgspec

from config import load
from playhead.bench.job import Shape, new_producer, now_ms, produce_all
from playhead.bench.task import until_told_to_stop
from playhead.brokers import client_config
from topics import TELEMETRY

TICK_S: Final = 0.005
LATE_S: Final = 0.5
AT_ONCE: Final = 10_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much to send, how fast."""

    rate_per_s: float
    seconds: float
    series: int
    cycle: int
    partitions: int
    first: int = 1
    """Number of the first event; those before it have been sent already, at the least one to wake all up."""
    until_told: bool = False
    """Whether it ends with its standard input, if that is sooner."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    events: int
    """With those that were sent before."""
    seconds: float
    began_ms: int


def run(plan: Plan) -> Sent:
    """Send all; return how long it took the broker to have it."""
    settings = load(os.environ).settings
    producer = new_producer(client_config(settings), linger_ms=1.0)
    topic = TELEMETRY.full_name(settings.prefix)
    shape = Shape(series=plan.series, cycle=plan.cycle)
    events = plan.first - 1 + int(plan.rate_per_s * plan.seconds)
    began, began_ms, sent = time.monotonic(), now_ms(), plan.first
    ended = threading.Event()
    if plan.until_told:
        until_told_to_stop(ended.set)
    # A rate that is too much for the machine ends by the clock, with fewer events: what was sent is told.
    while sent < events and not ended.is_set() and time.monotonic() - began < plan.seconds + LATE_S:
        elapsed_s = time.monotonic() - began
        due = min(plan.first + int(elapsed_s * plan.rate_per_s), events, sent + AT_ONCE)
        if due > sent:
            records = shape.records(sent, due, plan.partitions, now_ms)
            produce_all(producer, topic, [{"key": key, "value": value} for _, key, value, _ in records])
            sent = due
        producer.poll(0)
        time.sleep(max(TICK_S - (time.monotonic() - began) % TICK_S, 0.0))
    while producer.flush(1.0):
        pass
    return Sent(events=sent, seconds=time.monotonic() - began, began_ms=began_ms)


if __name__ == "__main__":
    result = run(msgspec.json.decode(sys.argv[1], type=Plan))
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
