"""What `playhead bench memory` measured; as with `results`, fields are only added."""

from __future__ import annotations

from typing import Literal

import msgspec

from playhead.bench.machine import Machine
from playhead.bench.results import SCHEMA


class Look(msgspec.Struct, frozen=True):
    """The process at one moment."""

    seconds: float
    events: int
    """Taken so far."""
    rss_mb: float
    """In units of 1,000,000 bytes, as all of them here."""


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """One backlog, drained by one process of a contestant."""

    events: int
    series: int
    seconds: float
    events_per_s: float
    started_mb: float
    """Before the first event."""
    warm_mb: float
    """After a tenth of the backlog: by then the queues have filled once, and the series are known."""
    peak_mb: float
    growth_mb: float
    """From `warm_mb` to the peak after it."""
    settled_mb: float
    """Some time after the last event."""
    looks: list[Look]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What one contestant needs."""

    contestant: str
    few: Drain
    many: Drain
    """A backlog of as many events, of more series."""
    bytes_per_series: float
    """What `many` settles at beyond `few`, by the series it has more."""


class MemoryResult(msgspec.Struct, frozen=True, kw_only=True):
    """All drains of one run, with where they were taken."""

    kind: Literal["memory"] = "memory"
    schema: int = SCHEMA
    command: str
    began: str
    seconds: float
    machine: Machine
    contestants: list[Memory]
    missing: dict[str, str] = {}
    """Contestants that could not do it, and why."""
