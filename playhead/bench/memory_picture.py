"""The picture of a run of `playhead bench memory`: what each contestant needs to drain a backlog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from playhead.bench.memory_results import Memory, MemoryResult
from playhead.bench.svg import GREY, PANEL, bars, document, text
from playhead.bench.tables import ratio, to_lane

_MARGIN: Final = 20
_TOP: Final = 62
_PANELS: Final[Mapping[str, tuple[Callable[[Memory], float], str]]] = {
    "peak resident memory, MB": (lambda each: each.few.peak_mb, "MB"),
    "bytes a series": (lambda each: each.bytes_per_series, "B"),
}


def draw(result: MemoryResult) -> str:
    """Return the run as SVG."""
    parts = [
        text(_MARGIN, 26, "One process drains a backlog that is there already", size=16),
        text(_MARGIN, 44, str(result.machine), fill=GREY),
    ]
    height = 0.0
    for column, (title, (figure, unit)) in enumerate(_PANELS.items()):
        values = {each.contestant: figure(each) for each in result.contestants}
        labels = {
            name: f"{value:,.0f} {unit} (x{ratio(to_lane(values, name))})" for name, value in values.items()
        }
        drawn, height = bars(_MARGIN + column * (PANEL + 10), _TOP, f"{title} (to lane)", values, labels)
        parts += drawn
    for name, why in result.missing.items():
        height += 18
        parts.append(text(_MARGIN, _TOP + height, f"without {name}: {why.splitlines()[0]}", fill=GREY))
    return document(_TOP + height + 24, parts)
