"""What the newest window that was seen whole says of all viewers: that somebody looks, and where they are."""

from __future__ import annotations

from models.levers import CDN
from models.window_merge import MergedWindow
from topics.cohorts import MEASURES
from topics.fields import derive_id
from topics.verifications import Pulse

_VIEWERS = MEASURES.index("viewers")


def pulse_of(window: MergedWindow, agent: str) -> Pulse:
    """Return the word of `agent` that it has seen `window` whole."""
    viewers = window.sums[:, _VIEWERS].tolist()
    by_cdn: dict[str, float] = {}
    if CDN in window.dimensions:
        at = window.dimensions.index(CDN)
        for cell, count in zip(window.cells, viewers, strict=True):
            if cell[at]:  # what serves the others is not known
                by_cdn[cell[at]] = by_cdn.get(cell[at], 0.0) + count
    end_ms = window.start_ms + window.window_ms
    return Pulse(
        time_ms=end_ms,
        id=derive_id(agent, "pulse", end_ms),
        agent=agent,
        window_end_ms=end_ms,
        viewers=float(sum(viewers)),
        viewers_by_cdn=by_cdn,
    )
