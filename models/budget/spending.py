"""The budget of false pages, spent by time: how rare an episode must be to page, and what was spent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from models.anomaly.state import Stateful

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

WEEK_MS: Final = 604_800_000


@dataclass
class PageBudget(Stateful):
    """Say below which p-value one detector pages, so that its false pages stay within its part of the budget.

    The expectation of a sum is the sum of the expectations, whatever depends on what: where a test of a
    healthy sample falls below p with probability at most p, all tests of a week at levels that add up to
    the budget make at most as many false pages as the budget says, in expectation. (The per-family error
    rate; it also bounds the chance of any false page in the week, as Bonferroni's inequality does.) So the
    level is the part of the budget over the tests a week at the pace of late, and a detector that tests
    twice as often must be twice as sure. Each test's level is added to `spent`.

    The pace is taken anew at the end of each period of event time, so that it does not depend on how the
    stream is cut into batches. In its first period a detector has no pace yet, and does not page, unless it
    is told what to expect.

    Args:
        pages_per_week: This detector's part of the budget, in false pages a week.
        memory_ms: How fast the pace of tests of earlier is forgotten.
        period_ms: How often the pace is taken.

    Example:
        >>> budget = PageBudget(pages_per_week=0.5, memory_ms=86_400_000, period_ms=60_000)
        >>> for minute in range(120):
        ...     levels = budget.spend(np.full(1000, 1_781_980_020_000 + minute * 60_000))
        >>> f"{math.exp(levels[-1]):.2e}", budget.tests, f"{budget.spent:.4f}"
        ('4.96e-08', 120000, '0.0059')
    """

    pages_per_week: float
    memory_ms: int
    period_ms: int
    since_ms: int = field(init=False, default=0)
    newest_ms: int = field(init=False, default=0)
    tests: int = field(init=False, default=0)
    spent: float = field(init=False, default=0.0)
    episodes: int = field(init=False, default=0)
    pages: int = field(init=False, default=0)
    static_pages: int = field(init=False, default=0)
    _paced_ms: int = field(init=False, default=0)
    _paced_tests: int = field(init=False, default=0)
    _recent_tests: float = field(init=False, default=0.0)
    _recent_ms: float = field(init=False, default=0.0)

    @property
    def level(self) -> float:
        """The p-value from which an episode pages; 0 before there is a pace."""
        if not self._recent_tests:
            return 0.0
        per_week = self._recent_tests / self._recent_ms * WEEK_MS
        return min(self.pages_per_week / per_week, 1.0)

    def expect(self, tests: int, period_ms: int) -> None:
        """Take the pace of a detector that has none for known: so many tests each period."""
        if not self._recent_tests:
            self._recent_tests, self._recent_ms = float(tests), float(period_ms)

    def spend(self, time_ms: Times) -> Floats:
        """Count tests, and return the natural logarithm of the level of each.

        Args:
            time_ms: int64[n], when each is made, at least one; time that goes back stands still.
        """
        if not self.tests:
            self.since_ms = self.newest_ms = self._paced_ms = int(time_ms[0])
        period = np.maximum(np.maximum.accumulate(time_ms), self.newest_ms) // self.period_ms
        starts = np.flatnonzero(np.diff(period, prepend=self.newest_ms // self.period_ms - 1))
        levels = np.empty(len(time_ms))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(time_ms)], strict=True):
            self._pace(int(period[start]) * self.period_ms)
            levels[start:end] = math.log(self.level) if self.level else -math.inf
            self.spent += (end - start) * self.level
            self.tests += end - start
        self.newest_ms = max(self.newest_ms, int(time_ms.max()))
        return levels

    def _pace(self, now_ms: int) -> None:
        """At the start of a period, forget some of the earlier pace and take in that since the last."""
        passed = now_ms - self._paced_ms
        if passed <= 0:
            return
        kept = math.exp(-passed / self.memory_ms)
        self._recent_ms = self._recent_ms * kept + passed
        self._recent_tests = self._recent_tests * kept + self.tests - self._paced_tests
        self._paced_ms, self._paced_tests = now_ms, self.tests

    def record(self, *, episodes: int, pages: int, static_pages: int) -> None:
        """Count episodes that have started, and those that came to page."""
        self.episodes += episodes
        self.pages += pages
        self.static_pages += static_pages
