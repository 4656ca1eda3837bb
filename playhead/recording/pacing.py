"""Event time on the wall: when each record of a replay is due, and how well that was kept.

Three clocks are kept apart. Event time stands in the records and is never touched; the virtual clock runs
through event time at the replay's speed; the clock on the wall is handed in and only measures waits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from playhead.clock import Clock
from playhead.recording.order import Int64s

Floats = npt.NDArray[np.float64]

_LEAST_MS = 0.001
_STEPS_PER_E = 50
"""Resolution of the errors kept: 2 %."""


class VirtualClock:
    """Maps event time onto a clock, from the first time asked for on.

    Args:
        clock: what moves it.
        speed: seconds of event time to a second of the clock.
        max_gap_ms: longer stretches without a record are shortened to this; 0: none is.
    """

    def __init__(self, clock: Clock, speed: float, max_gap_ms: int = 0) -> None:
        self._clock = clock
        self._speed = speed
        self._max_gap_ms = max_gap_ms
        self._began_s: float | None = None
        self._origin_ms: int | None = None
        self._newest_ms = 0
        self.skipped_ms = 0
        """Event time that was left out of long gaps."""
        self.gaps = 0
        """How many gaps were shortened."""

    def due_s(self, event_ms: Int64s) -> Floats:
        """Return when the clock will reach each of `event_ms`, which must not decrease from call to call.

        Negative times stand before all others: they are due at the beginning.
        """
        if self._began_s is None:
            # The first record is due now, however long it took to have it at hand.
            self._began_s = self._clock.now_s()
        known = event_ms[event_ms >= 0]
        if not len(known):
            return np.full(len(event_ms), self._began_s)
        if self._origin_ms is None:
            self._origin_ms = self._newest_ms = int(known[0])
        waits = np.diff(known, prepend=self._newest_ms)
        excess = np.maximum(waits - self._max_gap_ms, 0) if self._max_gap_ms else np.zeros_like(waits)
        played_ms = known - self._origin_ms - self.skipped_ms - np.cumsum(excess)
        self._newest_ms = int(known[-1])
        self.skipped_ms += int(excess.sum())
        self.gaps += int(np.count_nonzero(excess))
        early = np.full(len(event_ms) - len(known), self._began_s)
        due: Floats = np.concatenate([early, self._began_s + played_ms / (1_000 * self._speed)])
        return due


class Lateness:
    """How late records were, in a histogram of constant size: millions cost no more than a thousand."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.int64)

    def add(self, late_s: Floats) -> None:
        """Count some records."""
        steps = np.log(np.maximum(late_s * 1_000, _LEAST_MS) / _LEAST_MS) * _STEPS_PER_E
        counts = np.bincount(np.ceil(steps).astype(np.int64), minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def percentile_ms(self, percent: float) -> float | None:
        """Return what `percent` of the records were at most late by, in ms; None without records.

        >>> late = Lateness()
        >>> late.add(np.array([0.001] * 99 + [0.5]))
        >>> round(late.percentile_ms(50), 1), round(late.percentile_ms(100))
        (1.0, 509)
        """
        total = int(self._counts.sum())
        if not total:
            return None
        step = int(np.searchsorted(np.cumsum(self._counts), percent / 100 * total))
        return float(_LEAST_MS * np.exp(step / _STEPS_PER_E))
