"""What a rate of events needs: workers, partitions, brokers, memory, with the arithmetic of each. Pure."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from config.capacity import CapacitySettings


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is needed, and why so much of it."""

    what: str
    amount: float
    unit: str
    arithmetic: str


class CapacityPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a rate needs."""

    kind: Literal["plan"] = "plan"
    events_per_s: float
    series: float
    workers: int
    partitions: int
    brokers: int
    bound_by: str
    """What the brokers run short of first."""
    state_mb_per_worker: float
    needs: list[Need]


def plan(events_per_s: float, figures: CapacitySettings, series: float | None = None) -> CapacityPlan:
    """Return what `events_per_s` need.

    Args:
        events_per_s: packed events a second.
        figures: costs, machines, and how full they may be.
        series: how many there are; by default what the rate makes at the interval of the figures.

    Example:
        >>> from config import load
        >>> small = plan(1_000_000.0, load({}).settings.capacity)
        >>> small.workers, small.partitions, small.brokers
        (3, 12, 4)
    """
    f = figures
    series = events_per_s * f.series_interval_s if series is None else series
    cores = events_per_s * f.worker_us_per_event / 1e6
    by_cpu = _up(cores / f.core_share)
    by_memory = _up(series * f.series_bytes / (f.worker_memory_gb * 1e9))
    workers = max(by_cpu, by_memory)
    partitions = workers * f.partitions_per_worker

    wire = events_per_s * f.wire_bytes_per_event
    into, out = wire * f.replication, wire * (f.replication - 1 + f.consumer_groups)
    network = f.broker_network_gbps * 1e9 / 8 * f.broker_network_share
    disk = f.broker_disk_mb_per_s * 1e6 * f.broker_disk_share
    kept = into * f.retention_hours * 3600
    broker_cores = events_per_s * f.broker_us_per_event * f.replication / 1e6
    brokers_by = {
        "network": _up(max(into, out) / network),
        "disk speed": _up(into / disk),
        "disk space": _up(kept / (f.broker_disk_tb * 1e12 * f.broker_disk_fill)),
        "CPU": _up(broker_cores / (f.broker_cores * f.core_share)),
        "partitions": _up(partitions * f.replication / f.broker_most_partitions),
        "replication": f.replication,
    }
    bound_by = max(brokers_by, key=lambda name: brokers_by[name])
    brokers = brokers_by[bound_by] + f.brokers_spare
    state_mb = series / workers * f.series_bytes / 1e6
    rate, copies = f"{events_per_s:,.0f}/s", f.replication
    needs = [
        Need(
            what="workers, by CPU",
            amount=by_cpu,
            unit="processes",
            arithmetic=f"{rate} x {f.worker_us_per_event:g} us = {cores:,.1f} cores, {f.core_share:.0%} busy",
        ),
        Need(
            what="workers, by memory",
            amount=by_memory,
            unit="processes",
            arithmetic=f"{series:,.0f} series x {f.series_bytes:g} B, {f.worker_memory_gb:g} GB a worker",
        ),
        Need(
            what="state of a worker",
            amount=state_mb,
            unit="MB",
            arithmetic=f"{series:,.0f} series / {workers:,} workers x {f.series_bytes:g} B",
        ),
        Need(
            what="partitions",
            amount=partitions,
            unit="partitions",
            arithmetic=f"{workers:,} x {f.partitions_per_worker}, each {events_per_s / partitions:,.0f}/s",
        ),
        Need(
            what="produced",
            amount=wire / 1e9,
            unit="GB/s",
            arithmetic=f"{rate} x {f.wire_bytes_per_event:g} B",
        ),
        Need(
            what="into the brokers",
            amount=into / 1e9,
            unit="GB/s",
            arithmetic=f"produced x {copies} copies",
        ),
        Need(
            what="out of the brokers",
            amount=out / 1e9,
            unit="GB/s",
            arithmetic=f"produced x ({copies - 1} followers + {f.consumer_groups} consumer groups)",
        ),
        Need(
            what="kept",
            amount=kept / 1e12,
            unit="TB",
            arithmetic=f"into the brokers x {f.retention_hours:g} h",
        ),
        *(_brokers(name, count, f) for name, count in brokers_by.items()),
        Need(
            what="brokers",
            amount=brokers,
            unit="brokers",
            arithmetic=f"{brokers_by[bound_by]:,} by {bound_by} + {f.brokers_spare} that may be away",
        ),
    ]
    return CapacityPlan(
        events_per_s=events_per_s,
        series=series,
        workers=workers,
        partitions=partitions,
        brokers=brokers,
        bound_by=bound_by,
        state_mb_per_worker=state_mb,
        needs=needs,
    )


def _brokers(name: str, count: int, f: CapacitySettings) -> Need:
    each = {
        "network": f"{f.broker_network_gbps:g} Gbit/s each way, {f.broker_network_share:.0%} full",
        "disk speed": f"{f.broker_disk_mb_per_s:g} MB/s written, {f.broker_disk_share:.0%} busy",
        "disk space": f"{f.broker_disk_tb:g} TB, {f.broker_disk_fill:.0%} full",
        "CPU": f"{f.broker_us_per_event:g} us a copy, {f.broker_cores} cores, {f.core_share:.0%} busy",
        "partitions": f"{f.broker_most_partitions:,} replicas a broker",
        "replication": f"{f.replication} copies on as many brokers",
    }
    return Need(what=f"brokers, by {name}", amount=count, unit="brokers", arithmetic=each[name])


def _up(amount: float) -> int:
    """Round up; what is above a whole number by rounding alone is that number."""
    return max(math.ceil(amount - 1e-9), 1)
