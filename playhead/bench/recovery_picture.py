"""The picture of a run of `playhead bench recovery`: how long each contestant was blind."""

from __future__ import annotations

from typing import Final

from playhead.bench.recovery_results import RecoveryResult
from playhead.bench.svg import GREY, PANEL, bars, document, text
from playhead.bench.tables import median_of, ratio, to_lane

_MARGIN: Final = 20
_PANELS: Final = {
    "first_output_s": "seconds from kill to first new output",
    "caught_up_s": "seconds from kill until all is told in time again",
}


def draw(result: RecoveryResult) -> str:
    """Return the run as SVG."""
    names = list(dict.fromkeys(kill.contestant for kill in result.kills))
    rates = {kill.contestant: kill.rate_per_s for kill in result.kills}
    parts = [
        text(_MARGIN, 26, f"One of two processes is killed: {result.series:,} series between them", size=16),
        text(_MARGIN, 44, str(result.machine), fill=GREY),
    ]
    height = 0.0
    for column, (field, title) in enumerate(_PANELS.items()):
        values = {name: median_of(result.kills, name, field) for name in names}
        labels = {
            name: f"{value:.1f} s (x{ratio(to_lane(values, name))}), {rates[name]:,.0f}/s"
            for name, value in values.items()
        }
        drawn, height = bars(_MARGIN + column * (PANEL + 10), 62, f"{title} (to lane)", values, labels)
        parts += drawn
    for name, why in result.missing.items():
        height += 18
        parts.append(text(_MARGIN, 62 + height, f"without {name}: {why.splitlines()[0]}", fill=GREY))
    return document(62 + height + 24, parts)
