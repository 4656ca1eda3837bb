"""The picture of a run of `playhead tune`: series, their labelled windows, and when each detector fired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

import numpy as np

from playhead.tune.run import Result
from playhead.tune.series import Series

WIDTH: Final = 1000
MOST_SERIES: Final = 24
_LEFT, _RIGHT, _LINE, _TICKS, _GAP, _TOP = 150, 20, 60, 11, 26, 40
_POINTS: Final = 800
_COLOURS: Final = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf")


def draw(result: Result, series: Sequence[Series]) -> str:
    """Return the run as SVG, that fetches nothing; of many series the first with labels, then the others."""
    shown = sorted(series, key=lambda each: (not each.windows, each.name))[:MOST_SERIES]
    row = _LINE + _TICKS * len(result.detectors) + _GAP
    height = _TOP + row * len(shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="14" y="22" font-size="14">When each detector would have fired, as tuned for '
        f"{result.false_per_week:g} false episodes a week; labelled windows shaded</text>",
    ]
    for number, each in enumerate(shown):
        parts += _series(each, result, _TOP + row * number)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _series(series: Series, result: Result, top: float) -> list[str]:
    first, last = int(series.time_ms[0]), int(series.time_ms[-1])
    reach = max(last - first, 1)

    def x_of(time_ms: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (time_ms - first) / reach

    bottom = top + _LINE + _TICKS * len(result.detectors)
    parts = [f'<text x="14" y="{top + 12}">{escape(series.name[-46:])}</text>']
    for begin, end in series.windows:
        left, right = x_of(max(begin, first)), x_of(min(end, last))
        parts.append(
            f'<rect x="{left:.1f}" y="{top}" width="{max(right - left, 1):.1f}" height="{bottom - top}" '
            'fill="#f7d7d3"/>'
        )
    parts.append(_line(series, x_of, top + 16, _LINE - 20))
    for number, each in enumerate(result.detectors):
        y = top + _LINE + _TICKS * number
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 8}" text-anchor="end" fill="{colour}">{each.detector}</text>'
        )
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y + 5}" y2="{y + 5}" stroke="#eee"/>')
        ticks = "".join(f"M{x_of(at):.1f} {y}v9" for at in each.fired_ms.get(series.name, ()))
        if ticks:
            parts.append(f'<path d="{ticks}" stroke="{colour}" stroke-width="1.5" fill="none"/>')
    return parts


def _line(series: Series, x_of: Callable[[float], float], top: float, height: float) -> str:
    """Return the values as one line: of many the least and the greatest of each stretch."""
    values = series.value
    low, high = float(values.min()), float(values.max())
    reach = (high - low) or 1.0
    stretches = np.array_split(np.arange(len(values)), min(_POINTS, len(values)))
    places = sorted({int(at) for s in stretches for at in (s[values[s].argmin()], s[values[s].argmax()])})
    points = " ".join(
        f"{x_of(int(series.time_ms[at])):.1f},{top + height * (1 - (float(values[at]) - low) / reach):.1f}"
        for at in places
    )
    return f'<polyline points="{points}" fill="none" stroke="#5b6472" stroke-width="0.8"/>'
