"""The picture of a run of `playhead bench engine`: bars of the base point, lines over each axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from playhead.bench.results import EngineResult, Throughput
from playhead.bench.svg import GREY, PANEL, bars, document, lines, text
from playhead.bench.tables import ratio

Panel = Callable[[float, float], tuple[list[str], float]]

_TITLES: Final = {
    "series": "events/s by number of series, all new",
    "steady": "events/s by number of series, all known",
    "partitions": "events/s by number of partitions",
    "record": "events/s by bytes of a record",
    "packing": "events/s by events in a record",
}
_WHOLE: Final = ("steady",)
"""Axes that have a point of their own in place of the base point."""

_MARGIN: Final = 20


def draw(result: EngineResult) -> str:
    """Return the run as SVG."""
    base = [row for row in result.throughput if row.axis == "base"]
    panels = [_base(base)]
    panels += [
        _axis(result, base, axis) for axis in _TITLES if any(r.axis == axis for r in result.throughput)
    ]
    if result.latency:
        panels.append(_latency(result))
    parts = [
        text(_MARGIN, 26, "Scoring telemetry: Playhead's lane beside its alternatives, in one run", size=16),
        text(_MARGIN, 44, str(result.machine), fill=GREY),
    ]
    heights = [62.0, 62.0]
    for panel in panels:
        column = 0 if heights[0] <= heights[1] else 1
        drawn, height = panel(_MARGIN + column * (PANEL + 10), heights[column])
        parts += drawn
        heights[column] += height + 24
    return document(max(heights), parts)


def _base(rows: list[Throughput]) -> Panel:
    values = {row.contestant: row.events_per_s for row in rows}
    labels = {
        row.contestant: f"{row.events_per_s:,.0f}"
        + (f" (x{ratio(row.ratio_to_faust)})" if row.ratio_to_faust is not None else "")
        for row in rows
    }
    title = f"events/s, {rows[0].at} (ratio to plain Faust)" if rows else ""
    return partial(bars, title=title, values=values, labels=labels)


def _axis(result: EngineResult, base: list[Throughput], axis: str) -> Panel:
    """Return a line of each contestant that took part in the axis, the base point being one of its places."""
    rows = [row for row in result.throughput if row.axis == axis]
    names = list(dict.fromkeys(row.contestant for row in rows))
    if axis not in _WHOLE:
        rows += [row for row in base if row.contestant in names]
    places = sorted({_place(row, axis) for row in rows})
    speed = {(row.contestant, _place(row, axis)): row.events_per_s for row in rows}
    values = {name: [speed.get((name, place)) for place in places] for name in names}
    return partial(lines, title=_TITLES[axis], at=[f"{place:,}" for place in places], values=values)


def _place(row: Throughput, axis: str) -> int:
    return {
        "series": row.series,
        "steady": row.series,
        "partitions": row.partitions,
        "record": row.record_bytes,
        "packing": row.events_per_record,
    }[axis]


def _latency(result: EngineResult) -> Panel:
    names = list(dict.fromkeys(row.contestant for row in result.latency))
    rates = sorted({row.asked_per_s for row in result.latency if row.contestant == "lane"}) or sorted(
        {row.asked_per_s for row in result.latency}
    )
    found = {(row.contestant, row.asked_per_s): row.p99_ms for row in result.latency}
    values = {name: [found.get((name, rate)) for rate in rates] for name in names}
    title = "event to alert, p99 in ms, by events/s"
    return partial(lines, title=title, at=[f"{rate:,.0f}" for rate in rates], values=values)
