"""Pictures of benchmarks: panels of bars and lines as SVG text, without anything to fetch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH: Final = 900
PANEL: Final = 430
COLOURS: Final = ("#c0392b", "#e07b3c", "#2e7d5b", "#3867a8", "#7a5fa0", "#7a828e", "#b5a642", "#444c56")
GREY: Final = "#7a828e"
_BAR, _GAP, _LABEL = 18, 6, 130


def document(height: float, parts: Sequence[str]) -> str:
    """Return a whole picture."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#222">'
    )
    return (
        "\n".join([head, f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>', *parts, "</svg>"])
        + "\n"
    )


def text(x: float, y: float, what: str, *, size: int = 12, anchor: str = "start", fill: str = "#222") -> str:
    """Return a line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">'
        f"{escape(what)}</text>"
    )


def bars(
    x: float, y: float, title: str, values: Mapping[str, float], labels: Mapping[str, str]
) -> tuple[list[str], float]:
    """Return horizontal bars on a linear scale, and how high they are."""
    most = max(values.values(), default=1.0) or 1.0
    room = PANEL - _LABEL - 110
    parts = [text(x, y + 14, title, size=13)]
    top = y + 26
    for number, (name, value) in enumerate(values.items()):
        at = top + number * (_BAR + _GAP)
        width = max(room * value / most, 1.0)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(text(x + _LABEL - 8, at + 13, name, anchor="end"))
        parts.append(
            f'<rect x="{x + _LABEL}" y="{at:.1f}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>'
        )
        parts.append(text(x + _LABEL + width + 6, at + 13, labels[name], fill=GREY))
    return parts, 26 + len(values) * (_BAR + _GAP)


def lines(
    x: float,
    y: float,
    title: str,
    at: Sequence[str],
    values: Mapping[str, Sequence[float | None]],
    *,
    height: float = 170.0,
    logarithmic: bool = True,
) -> tuple[list[str], float]:
    """Return a line of each name over the places of an axis, and how high the panel is.

    A logarithmic scale has a line a decade; a value that is None leaves a gap.
    """
    known = [value for line in values.values() for value in line if value is not None and value > 0]
    if not known:
        return [], 0.0
    if logarithmic:
        low, high = (
            float(math.floor(math.log10(min(known)))),
            float(math.ceil(math.log10(max(known) * 1.0001))),
        )
        ticks = [(float(decade), _short(10.0**decade)) for decade in range(int(low), int(high) + 1)]
    else:
        low, high = 0.0, max(known)
        ticks = [(high * part / 4, _short(high * part / 4)) for part in range(5)]
    left, top, right = x + 56, y + 26, x + PANEL - 100

    def place(number: int, value: float) -> tuple[float, float]:
        scaled = math.log10(value) if logarithmic else value
        across = left + (right - left) * (number / max(len(at) - 1, 1))
        return across, top + height * (1.0 - (scaled - low) / max(high - low, 1e-9))

    parts = [text(x, y + 14, title, size=13)]
    for value, label in ticks:
        line_y = top + height * (1.0 - (value - low) / max(high - low, 1e-9))
        parts.append(
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{line_y:.1f}" y2="{line_y:.1f}" stroke="#e4e7eb"/>'
        )
        parts.append(text(left - 6, line_y + 4, label, anchor="end", fill=GREY))
    for number, name in enumerate(at):
        across = left + (right - left) * (number / max(len(at) - 1, 1))
        parts.append(text(across, top + height + 16, name, anchor="middle", fill=GREY))
    ends: list[tuple[float, str, str]] = []
    for number, (name, line) in enumerate(values.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [place(i, value) for i, value in enumerate(line) if value is not None and value > 0]
        drawn = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{colour}"/>' for across, down in points
        ]
        if points:
            ends.append((points[-1][1], name, colour))
    last = -math.inf
    for down, name, colour in sorted(ends):
        last = max(down, last + 13.0)
        parts.append(text(right + 8, last + 4, name, fill=colour))
    return parts, height + 56


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:.3g}"
