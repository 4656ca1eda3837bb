"""Intervals: how rare it is that a series has been silent for so long."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scipy.special import gammaincc

from models.anomaly.moments import Moments
from models.anomaly.state import Stateful

_LEAST_P = 1e-300


@dataclass
class Interval(Stateful):
    """How rare a silence is: an absent beat is data.

    The gaps between samples are held to be Gamma distributed with the mean and variance seen, never more
    regular than `least_variation`; so a series that beats each minute is missed after a few minutes, one that
    comes in bursts after much longer.

    Args:
        rate: Forgetting rate of the gaps.
        least_variation: Least coefficient of variation a series is held to have.
        scoring_samples: Below so many gaps nothing is missed.

    Example:
        >>> beat = Interval(rate=0.02, least_variation=0.3, scoring_samples=10)
        >>> for minute in range(30):
        ...     beat.learn_one(minute * 60_000)
        >>> [round(beat.nats(29 * 60_000 + silent_ms), 1) for silent_ms in (60_000, 180_000, 600_000)]
        [0.8, 12.9, 78.8]
    """

    rate: float
    least_variation: float
    scoring_samples: int
    _gaps: Moments = field(init=False)
    _last_ms: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._gaps = Moments(self.rate)

    def nats(self, now_ms: int) -> float:
        """Return -ln of the chance of a silence from the last sample to now; 0 while too little is known."""
        if self._last_ms is None or self._gaps.count < self.scoring_samples or self._gaps.mean <= 0.0:
            return 0.0
        variation = max(self._gaps.deviation / self._gaps.mean, self.least_variation)
        shape = 1.0 / variation**2
        chance = float(gammaincc(shape, shape * max(now_ms - self._last_ms, 0) / self._gaps.mean))
        return -math.log(max(chance, _LEAST_P))

    def learn_one(self, time_ms: int) -> None:
        """Learn that there was a sample; one that is late says nothing of gaps."""
        if self._last_ms is not None:
            if time_ms < self._last_ms:
                return
            self._gaps.learn(float(time_ms - self._last_ms))
        self._last_ms = time_ms
