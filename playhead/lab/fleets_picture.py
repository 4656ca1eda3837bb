"""The picture of a run of `playhead lab fleets`: each fleet's availability and recovery, and some courses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from playhead.lab.fleets import FleetResult
from playhead.lab.fleets_judged import Judgement
from playhead.lab.world import FaultStory

WIDTH: Final = 900
_LEFT, _PLOT = 150, 320
_ROW, _TOP = 26, 60
_SECOND: Final = 540
"""Where the right-hand plot begins."""
_COURSE_WIDTH, _COURSE_HEIGHT, _COLUMNS = 210, 70, 4
_NINES: Final = 5
_LONGEST_S: Final = 60.0
_COLOURS: Final = {
    FaultStory.ISP_OUTAGE: "#c0392b",
    FaultStory.HARDWARE: "#2e7d5b",
    FaultStory.CONGESTION: "#b9770e",
    FaultStory.CORRUPTION: "#6c4ab6",
    FaultStory.FLAPPING: "#2a6fb0",
}


def draw(results: Sequence[FleetResult], judgement: Judgement, availability: float, recovery_s: float) -> str:
    """Return the run as SVG.

    Args:
        results: every fleet; of those that kept their course the stalls are drawn.
        availability: the bound demanded in an ISP outage.
        recovery_s: the bound demanded of the 99th percentile.
    """
    stories = [each.story for each in judgement.stories]
    courses = [each for each in results if each.stalled_by_s]
    plots_end = _TOP + _ROW * len(stories) + 30
    properties_end = plots_end + 24 + 18 * len(judgement.properties)
    rows = math.ceil(len(courses) / _COLUMNS)
    height = properties_end + 40 + rows * (_COURSE_HEIGHT + 28)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(14, 24, f"{judgement.fleets:,} simulated fleets from seed {judgement.first_seed}", size=15),
        _text(_LEFT, 46, "share of viewers' time not stalled while the fault is on", fill="#7a828e"),
        _text(_SECOND, 46, "seconds from the first stall until all are well", fill="#7a828e"),
    ]
    parts += _axes(plots_end, availability, recovery_s)
    for row, story in enumerate(stories):
        y = _TOP + _ROW * row + 12
        parts.append(_text(_LEFT - 12, y + 4, story.value.replace("_", " "), anchor="end"))
        for each in (result for result in results if result.story is story):
            # Spread by the seed, so that fleets that came out alike are seen side by side.
            at = y + (each.seed * 0.618 % 1 - 0.5) * (_ROW - 8)
            parts.append(_dot(_LEFT + _nines(each.availability), at, _COLOURS[story]))
            waited = _LONGEST_S if each.recovery_s is None else min(each.recovery_s, _LONGEST_S)
            parts.append(_dot(_SECOND + _PLOT * waited / _LONGEST_S, at, _COLOURS[story]))
    for number, demand in enumerate(judgement.properties):
        y = plots_end + 30 + 18 * number
        parts.append(
            _text(14, y, "holds" if demand.holds else "FAILS", fill="#2e7d5b" if demand.holds else "#c0392b")
        )
        parts.append(_text(64, y, f"{demand.name}: {demand.found} (demanded: {demand.demanded})"))
    for number, result in enumerate(courses):
        x = 14 + (number % _COLUMNS) * (_COURSE_WIDTH + 8)
        y = properties_end + 30 + (number // _COLUMNS) * (_COURSE_HEIGHT + 28)
        parts.append(_course(result, x, y))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _axes(bottom: float, availability: float, recovery_s: float) -> list[str]:
    parts = []
    for nines in range(_NINES + 1):
        x = _LEFT + _PLOT * nines / _NINES
        parts.append(_line(x, _TOP - 6, bottom - 22, "#eee"))
        label = "0 %" if nines == 0 else f"{100 * (1 - 10**-nines):.{max(nines - 2, 0)}f} %"
        parts.append(_text(x, bottom - 8, label, anchor="middle", fill="#7a828e", size=10))
    for seconds in range(0, int(_LONGEST_S) + 1, 15):
        x = _SECOND + _PLOT * seconds / _LONGEST_S
        parts.append(_line(x, _TOP - 6, bottom - 22, "#eee"))
        parts.append(_text(x, bottom - 8, f"{seconds} s", anchor="middle", fill="#7a828e", size=10))
    parts.append(_line(_LEFT + _nines(availability), _TOP - 6, bottom - 22, "#222"))
    parts.append(_line(_SECOND + _PLOT * recovery_s / _LONGEST_S, _TOP - 6, bottom - 22, "#222"))
    return parts


def _nines(availability: float) -> float:
    """Return where an availability stands: each further nine is as wide as the one before."""
    lost = max(1 - availability, 10.0**-_NINES)
    return _PLOT * min(-math.log10(lost) / _NINES, 1.0)


def _course(result: FleetResult, x: float, y: float) -> str:
    """Return the share of viewers who stall, second by second."""
    most = max(*result.stalled_by_s, 1e-6)
    step = _COURSE_WIDTH / max(len(result.stalled_by_s) - 1, 1)
    points = " ".join(
        f"{x + number * step:.1f},{y + _COURSE_HEIGHT * (1 - share / most):.1f}"
        for number, share in enumerate(result.stalled_by_s)
    )
    told = f"{result.seed}: {result.story.value.replace('_', ' ')}, {most:.2%} stall at most"
    return (
        f'<rect x="{x}" y="{y}" width="{_COURSE_WIDTH}" height="{_COURSE_HEIGHT}" fill="#fafafa"/>'
        f'<polyline points="{points}" fill="none" stroke="{_COLOURS[result.story]}" stroke-width="1.2"/>'
        + _text(x, y - 4, told, size=10, fill="#555")
    )


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="{colour}" fill-opacity="0.5"/>'


def _line(x: float, top: float, bottom: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", fill: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">'
        f"{escape(text)}</text>"
    )
