"""Counters: readings that only rise, until what counts is started anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.anomaly.state import Stateful


@dataclass
class CounterRate(Stateful):
    """What a counter counts in a second, from one reading to the next; resets are seen, not taken for falls.

    As Prometheus' `rate` does, a reading below the last one is a reset: the counter began again at zero.

    Args:
        longest_gap_ms: Over a longer gap there is no rate: what was in between is not known.

    Example:
        >>> counter = CounterRate(longest_gap_ms=300_000)
        >>> [counter.step(time_ms, value) for time_ms, value in
        ...  ((0, 100.0), (60_000, 160.0), (120_000, 30.0), (1_000_000, 90.0))]
        [None, 1.0, 0.5, None]
        >>> counter.resets
        1
    """

    longest_gap_ms: int
    resets: int = field(init=False, default=0)
    _last: float | None = field(init=False, default=None)
    _last_ms: int = field(init=False, default=0)

    def step(self, time_ms: int, value: float) -> float | None:
        """Take a reading in, and return the rate since the last one, as `peek` does."""
        rate = self.peek(time_ms, value)
        if self._last is None or time_ms > self._last_ms:
            self.resets += self._last is not None and value < self._last
            self._last, self._last_ms = value, time_ms
        return rate

    def peek(self, time_ms: int, value: float) -> float | None:
        """Return the rate since the last reading; None for the first, a late or a long overdue one."""
        passed = time_ms - self._last_ms
        if self._last is None or not 0 < passed <= self.longest_gap_ms:
            return None
        return (value if value < self._last else value - self._last) * 1000.0 / passed
