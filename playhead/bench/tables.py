"""Figures as the cells of a table, the same on a terminal and in a document."""

from __future__ import annotations

from typing import Final

from playhead.bench.results import Latency, Throughput
from playhead.bench.scaling_results import Rebalance, Scale

THROUGHPUT_HEAD: Final = (
    "backlog",
    "contestant",
    "events/s",
    "to Faust",
    "to ceiling",
    "CPU us/event",
    "Kafka us/event",
    "RSS MB",
    "episodes / expected",
)
LATENCY_HEAD: Final = (
    "contestant",
    "asked/s",
    "of capacity",
    "sent/s",
    "alerts",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "behind, s",
)
SCALE_HEAD: Final = (
    "processes",
    "partitions",
    "events/s",
    "to one process",
    "CPU us/event",
    "Kafka us/event",
    "RSS MB",
)
REBALANCE_HEAD: Final = (
    "what happens",
    "events/s",
    "longest silence of a partition, s",
    "while nothing changes, s",
    "slowest alert, s",
    "episodes lost",
)


def throughput_cells(row: Throughput) -> list[str]:
    """Return the cells of one row, in the order of `THROUGHPUT_HEAD`."""
    speed = f"{row.events_per_s:,.0f}"
    if row.rounds > 1:
        speed += f" ({row.lowest_per_s:,.0f} to {row.highest_per_s:,.0f})"
    told = "-"
    if row.starts is not None:
        told = f"{row.starts:,} / {row.starts_expected:,}" + ("" if row.agrees else " (differs)")
    return [
        row.at,
        row.contestant,
        speed,
        ratio(row.ratio_to_faust),
        ratio(row.ratio_to_ceiling),
        f"{row.cpu_us_per_event:.2f}",
        "-" if row.broker_cpu_us_per_event is None else f"{row.broker_cpu_us_per_event:.2f}",
        f"{row.rss_mb:,.0f}",
        told,
    ]


def latency_cells(row: Latency) -> list[str]:
    """Return the cells of one row, in the order of `LATENCY_HEAD`."""
    return [
        row.contestant,
        f"{row.asked_per_s:,.0f}",
        f"{row.share_of_capacity:.0%}",
        f"{row.sent_per_s:,.0f}",
        f"{row.alerts:,}",
        f"{row.p50_ms:,.0f}",
        f"{row.p99_ms:,.0f}",
        "-" if row.p999_ms is None else f"{row.p999_ms:,.0f}",
        f"{row.caught_up_after_s:.1f}",
    ]


def scale_cells(row: Scale) -> list[str]:
    """Return the cells of one row, in the order of `SCALE_HEAD`."""
    return [
        str(row.processes),
        str(row.partitions),
        f"{row.events_per_s:,.0f}",
        f"{row.ratio_to_one:.2f}",
        f"{row.cpu_us_per_event:.2f}",
        "-" if row.broker_cpu_us_per_event is None else f"{row.broker_cpu_us_per_event:.2f}",
        f"{row.rss_mb:,.0f}",
    ]


def rebalance_cells(row: Rebalance) -> list[str]:
    """Return the cells of one row, in the order of `REBALANCE_HEAD`."""
    return [
        row.what,
        f"{row.rate_per_s:,.0f}",
        f"{row.longest_silence_s:.2f}",
        f"{row.usual_silence_s:.2f}",
        f"{row.slowest_alert_s:.2f}",
        str(row.lost),
    ]


def ratio(value: float | None) -> str:
    """Return a ratio with two digits that count."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
