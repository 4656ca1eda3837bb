"""The picture of a run of `playhead bench alarms`: what each rule would tell, what is paged of a fault."""

from __future__ import annotations

import math
from html import escape
from typing import Final

from playhead.bench.alarms import FAULT_SIGMAS, Alarms

WIDTH: Final = 860
_LEFT, _PLOT, _ROW, _TOP = 210, 380, 30, 64
_DECADES: Final = 8
_COLOURS: Final = {"beyond": "#c9ced6", "episodes": "#e0a13c", "pages": "#c0392b"}
_SHARES: Final = 640


def draw(result: Alarms) -> str:
    """Return the run as SVG."""
    height = _TOP + _ROW * len(result.by_kind) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(
            14,
            22,
            f"{result.series:,} healthy series, {result.weeks:.1f} weeks: {result.pages_per_week:.2f} false "
            f"pages a week ({result.low:.2f} to {result.high:.2f}), budget {result.budget_pages_per_week:g}",
            size=14,
        ),
        _text(_LEFT, 48, "a week: beyond 3 sd", fill="#7a828e"),
        _text(_LEFT + 130, 48, "episodes", fill=_COLOURS["episodes"]),
        _text(_LEFT + 200, 48, "pages", fill=_COLOURS["pages"]),
        _text(_SHARES, 48, "faults of an hour paged: " + ", ".join(f"{s:g}" for s in FAULT_SIGMAS) + " sd"),
    ]
    bottom = _TOP + _ROW * len(result.by_kind)
    for decade in range(_DECADES):
        x = _LEFT + _PLOT * decade / (_DECADES - 1)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}" stroke="#eee"/>')
        parts.append(_text(x, bottom + 16, f"{10**decade:,}", anchor="middle", fill="#7a828e"))
    for row, kind in enumerate(result.by_kind):
        y = _TOP + _ROW * row
        parts.append(_text(_LEFT - 10, y + 15, kind.kind, anchor="end"))
        counts = {"beyond": kind.beyond_three_sigmas, "episodes": kind.episodes, "pages": kind.pages}
        for number, (name, count) in enumerate(counts.items()):
            width = _length(count / result.weeks)
            parts.append(
                f'<rect x="{_LEFT}" y="{y + 7 * number:.1f}" width="{width:.1f}" height="6" '
                f'fill="{_COLOURS[name]}"/>'
            )
        shares = [fault.paged for fault in result.faults if fault.kind == kind.kind]
        for column, share in enumerate(shares):
            parts.append(_share(_SHARES + 66 * column, y, share))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _length(per_week: float) -> float:
    """Return the length of a bar, a decade from 1 to each line; what is rarer shows as a stub."""
    if per_week <= 0.0:
        return 0.0
    return max(_PLOT * math.log10(max(per_week, 1.0)) / (_DECADES - 1), 3.0)


def _share(x: float, y: float, share: float) -> str:
    """Return a cell that is darker the more was paged."""
    return (
        f'<rect x="{x}" y="{y}" width="58" height="22" fill="#2e7d5b" '
        f'fill-opacity="{0.06 + 0.84 * share:.2f}"/>'
        + _text(x + 29, y + 15, f"{share:.0%}", anchor="middle", fill="#fff" if share > 0.5 else "#222")
    )


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", fill: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">'
        f"{escape(text)}</text>"
    )
