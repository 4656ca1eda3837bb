"""How a run goes on: the rate of events, and whether anything still moves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

RATE_EVERY_S = COUNT_EVERY_S = 0.5
RATES = 24
"""Rates remembered, for the sparkline."""


class Gauge:
    """Tells how fast events go in, for how long nothing was told, and whether the counting goes on."""

    def __init__(self) -> None:
        self.rates: deque[float] = deque(maxlen=RATES)
        """Events a second, one for each `RATE_EVERY_S`."""
        self._began_s = self._told_s = self._seen_s = self._counted_s = self._moved_s = time.monotonic()
        self._seen = 0
        self._left: int | None = None

    @property
    def elapsed_s(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self._began_s

    @property
    def quiet_s(self) -> float:
        """Time since something was told."""
        return time.monotonic() - self._told_s

    @property
    def stuck_s(self) -> float:
        """Time since what is left became another."""
        return time.monotonic() - self._moved_s

    def told(self) -> None:
        """Take note that something was told."""
        self._told_s = time.monotonic()

    def see(self, events: int) -> None:
        """Take note of how many events went in so far."""
        passed_s = time.monotonic() - self._seen_s
        if passed_s >= RATE_EVERY_S:
            self.rates.append((events - self._seen) / passed_s)
            self._seen_s += passed_s
            self._seen = events

    def left(self, count: Callable[[], int]) -> int:
        """Return how many events are left to be processed, as counted a moment ago."""
        now_s = time.monotonic()
        if self._left is None or now_s - self._counted_s >= COUNT_EVERY_S:
            left = count()
            self._counted_s = now_s
            if left != self._left:
                self._left, self._moved_s = left, now_s
        return self._left if self._left is not None else 0
