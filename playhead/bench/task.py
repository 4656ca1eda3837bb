"""What a contestant is told, and what it says: JSON both ways, so that any language can take part.

A contestant is a process. Its last argument is the task. Whenever it has taken more events it prints a line
of progress; when its standard input ends, it makes sure of its output and ends too.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

import msgspec

from config import Settings
from playhead.bench.job import rules_of
from playhead.bench.usage import cpu_seconds, peak_rss_mb
from topics import ANOMALIES, TELEMETRY

WATCH_S: Final = 0.02


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to read, where to write, and by what rules."""

    brokers: str
    telemetry: str
    """Topics, with the prefix."""
    anomalies: str
    group: str
    client_id: str
    """What the group knows this process by, or begins with it."""
    session_timeout_s: float
    """After which a process that says nothing is held to be dead."""
    state_dir: str
    """Of this process alone."""
    threads: int
    cache_bytes: int
    rules: dict[str, Any]


class Progress(msgspec.Struct, frozen=True, tag_field="at", tag="progress"):
    """What a contestant says of itself."""

    clock_s: float
    """Of the machine's monotonic clock, which all its processes share."""
    events: int
    cpu_s: float
    rss_mb: float
    """The most so far."""


def task_of(
    settings: Settings,
    client: Mapping[str, Any],
    *,
    group: str,
    client_id: str,
    state_dir: str,
    threads: int,
    cache_mb: int,
) -> Task:
    """Return the task of one process of a contestant, in the run that `settings` has the prefix of."""
    return Task(
        brokers=str(client["bootstrap.servers"]),
        telemetry=TELEMETRY.full_name(settings.prefix),
        anomalies=ANOMALIES.full_name(settings.prefix),
        group=group,
        client_id=client_id,
        session_timeout_s=settings.engine.session_timeout_s,
        state_dir=state_dir,
        threads=threads,
        cache_bytes=cache_mb * 1_048_576,
        rules=asdict(rules_of(settings)),
    )


def tell_progress(events: Callable[[], int]) -> None:
    """Begin to print what `events` returns whenever it has grown, from a thread."""
    threading.Thread(target=_tell, args=(events,), name="progress", daemon=True).start()


def until_told_to_stop(stop: Callable[[], None]) -> None:
    """Call `stop` from a thread once standard input has ended."""

    def wait() -> None:
        sys.stdin.buffer.read()
        stop()

    threading.Thread(target=wait, name="stdin", daemon=True).start()


def _tell(events: Callable[[], int]) -> None:
    told = 0
    while True:
        count = events()
        if count != told:
            told = count
            progress = Progress(time.monotonic(), count, cpu_seconds(), peak_rss_mb())
            sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
            sys.stdout.buffer.flush()
        time.sleep(WATCH_S)
