"""How many polls come a second, with a memory that fades."""

from __future__ import annotations

import math


class PollRate:
    """Counts polls.

    Args:
        memory_s: a poll so long ago counts 1/e.

    Example:
        >>> rate = PollRate(memory_s=5)
        >>> for number in range(2_000):
        ...     rate.see(number / 100)
        >>> round(rate.per_s(20.0))
        98
    """

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._polls = 0.0
        self._at_s = -math.inf

    def see(self, now_s: float) -> None:
        """Count one poll."""
        self._polls = self._faded(now_s) + 1
        self._at_s = max(now_s, self._at_s)

    def per_s(self, now_s: float) -> float:
        """Return the rate, in polls a second."""
        return self._faded(now_s) / self._memory_s

    def _faded(self, now_s: float) -> float:
        if math.isinf(self._at_s):
            return 0.0
        return self._polls * math.exp(-max(now_s - self._at_s, 0.0) / self._memory_s)
