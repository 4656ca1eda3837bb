"""What `playhead bench engine` measured. Its JSON is kept, compared and drawn: fields are only added."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from playhead.bench.machine import Machine

SCHEMA: Final = 1
"""Counts up when a field changes its meaning or goes."""


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one contestant drained one backlog: medians over the rounds."""

    contestant: str
    axis: str
    """What is varied: `base`, `series` (which the backlog opens), `steady` (series that are known before it),
    `partitions`, `record`, `packing`."""
    at: str
    """Where on the axis this is."""
    series: int
    partitions: int
    record_bytes: int
    """Key and value of a record."""
    events_per_record: int
    events: int
    rounds: int
    events_per_s: float
    lowest_per_s: float
    highest_per_s: float
    ratio_to_faust: float | None
    """At the same point of the same run; None where plain Faust did not run."""
    ratio_to_ceiling: float | None
    cpu_us_per_event: float
    broker_cpu_us_per_event: float | None
    """What Kafka itself used meanwhile; None where it is none of ours."""
    rss_mb: float
    """Of all processes of the contestant, at the most."""
    starts: int | None
    """Episodes told; None for those that only read."""
    starts_expected: int
    """Episodes that the bank starts over the same events."""
    agrees: bool | None
    """Whether the two differ by no more than `STARTS_TOLERANCE`."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Event to alert of one contestant, live: from `produce` to the broker's having the alert."""

    contestant: str
    asked_per_s: float
    share_of_capacity: float
    """Of what the contestant drained a backlog with in the same run."""
    sent_per_s: float
    """What the generator, on the same cores, came to."""
    seconds: float
    alerts: int
    p50_ms: float
    p99_ms: float
    p999_ms: float | None
    """None with fewer alerts than make it meaningful."""
    caught_up_after_s: float
    """From the last event sent until all were taken: what a contestant that falls behind is behind."""


class EngineResult(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run, with where and how they were taken."""

    kind: Literal["engine"] = "engine"
    schema: int = SCHEMA
    command: str
    began: str
    seconds: float
    machine: Machine
    starts_tolerance: float
    throughput: list[Throughput]
    latency: list[Latency]
    missing: dict[str, str] = {}
    """Contestants that could not be had here, and points that came to nothing, each with the reason."""
