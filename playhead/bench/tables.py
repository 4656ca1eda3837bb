"""Figures as the cells of a table, the same on a terminal and in a document."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from playhead.bench.memory_results import Memory, MemoryResult
from playhead.bench.recovery_results import Recovery, RecoveryResult
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
RECOVERY_HEAD: Final = (
    "contestant",
    "events/s",
    "kills",
    "series lost",
    "taken over, s",
    "first output, s",
    "caught up, s",
    "to lane",
)
MEMORY_HEAD: Final = (
    "contestant",
    "events",
    "events/s",
    "before, MB",
    "after a tenth, MB",
    "peak, MB",
    "growth, MB",
    "peak to lane",
    "bytes a series",
    "to lane",
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


def recovery_cells(result: RecoveryResult) -> list[list[str]]:
    """Return a row of each contestant, in the order of `RECOVERY_HEAD`: medians, and the range of several."""
    names = list(dict.fromkeys(kill.contestant for kill in result.kills))
    caught_up = {name: median_of(result.kills, name, "caught_up_s") for name in names}
    rows = []
    for name in names:
        kills = [kill for kill in result.kills if kill.contestant == name]
        timed = [
            _range([getattr(kill, field) for kill in kills])
            for field in ("taken_over_s", "first_output_s", "caught_up_s")
        ]
        rows.append(
            [
                name,
                f"{kills[0].rate_per_s:,.0f}",
                str(len(kills)),
                f"{statistics.median(kill.series for kill in kills):,.0f}",
                *timed,
                ratio(to_lane(caught_up, name)),
            ]
        )
    return rows


def memory_cells(result: MemoryResult) -> list[list[str]]:
    """Return a row of each contestant, in the order of `MEMORY_HEAD`."""
    peaks = {each.contestant: each.few.peak_mb for each in result.contestants}
    series = {each.contestant: each.bytes_per_series for each in result.contestants}
    return [_memory_cells(each, peaks, series) for each in result.contestants]


def _memory_cells(row: Memory, peaks: Mapping[str, float], series: Mapping[str, float]) -> list[str]:
    few = row.few
    return [
        row.contestant,
        f"{few.events:,}",
        f"{few.events_per_s:,.0f}",
        *(f"{each:,.0f}" for each in (few.started_mb, few.warm_mb, few.peak_mb, few.growth_mb)),
        ratio(to_lane(peaks, row.contestant)),
        f"{row.bytes_per_series:,.0f}",
        ratio(to_lane(series, row.contestant)),
    ]


def median_of(kills: Sequence[Recovery], contestant: str, field: str) -> float:
    """Return the median of a figure over the kills of one contestant."""
    values: list[float] = [getattr(kill, field) for kill in kills if kill.contestant == contestant]
    return statistics.median(values)


def to_lane(values: Mapping[str, float], name: str) -> float | None:
    """Return how many times the lane's figure another's is.

    None where the lane did not take part, or a figure is less than nothing, as differences may be.
    """
    return values[name] / values["lane"] if values.get("lane", 0.0) > 0.0 <= values[name] else None


def _range(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f} to {max(values):.1f})"


def ratio(value: float | None) -> str:
    """Return a ratio with two digits that count."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
