"""What `playhead bench scaling` measured; as with `results`, fields are only added."""

from __future__ import annotations

from typing import Literal

import msgspec

from playhead.bench.machine import Machine
from playhead.bench.results import SCHEMA


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How fast so many processes drained a backlog over so many partitions."""

    processes: int
    partitions: int
    events: int
    events_per_s: float
    """While all processes had work."""
    ratio_to_one: float
    """To one process over as many partitions."""
    cpu_us_per_event: float
    broker_cpu_us_per_event: float | None
    rss_mb: float
    """Of all processes together."""


class Rebalance(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker that comes or goes does to the outputs of a live stream."""

    what: str
    """Such as `a second worker joins`; `nothing` is there to compare with."""
    rate_per_s: float
    longest_silence_s: float
    """Between two alerts of one partition, around the change."""
    usual_silence_s: float
    """... and while nothing changes, at the longest."""
    slowest_alert_s: float
    """Event to alert, around the change."""
    lost: int
    """Episodes expected and not told, over the whole run."""


class ScalingResult(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run."""

    kind: Literal["scaling"] = "scaling"
    schema: int = SCHEMA
    command: str
    began: str
    seconds: float
    machine: Machine
    throughput: list[Scale]
    rebalances: list[Rebalance]
