"""Signals of season: what is usual at this time, robustly, and with a period that is learned."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.anomaly.base import RELATIVE_SCALE, SMALLEST_SCALE
from models.anomaly.moments import Moments
from models.anomaly.signals import Signal

_CUT = 3.0
"""Absolute deviations beyond which a sample moves its time's average no further (Huber's function)."""

_ALIKE = 0.9
"""Of multiples of a period, whose peaks are about as high, the shortest is the period."""


@dataclass
class RobustSeasonalResidual(Signal):
    """The distance from what is usual at this time of the period, in what is usual of such distances.

    Each of `buckets` parts of the period keeps a location and a mean absolute deviation. A sample moves the
    location by no more than three deviations, as if it were Huber's estimator, so one bad day is not the next
    day's expectation; and times at which the series is always restless are measured more leniently.

    Args:
        period_ms: The period.
        buckets: Parts of the period, counted from the epoch.
        rate: Forgetting rate of each part, per sample.
        spread_rate: Forgetting rate of the deviation of all parts together, a quarter of which is the floor.

    Example:
        >>> hour_ms = 3_600_000
        >>> signal = RobustSeasonalResidual(24 * hour_ms, buckets=24, rate=0.2, spread_rate=0.002)
        >>> for day in range(9):
        ...     for hour in range(24):
        ...         signal.learn_one((24 * day + hour) * hour_ms, 100.0 * (hour == 9) + day % 2)
        >>> nine = (24 * 9 + 9) * hour_ms
        >>> signal.measure_one(nine, 100.0) < 2.0 < signal.measure_one(nine, 60.0)
        True
    """

    period_ms: int
    buckets: int
    rate: float
    spread_rate: float
    _location: npt.NDArray[np.float64] = field(init=False)
    _deviation: npt.NDArray[np.float64] = field(init=False)
    _count: npt.NDArray[np.int64] = field(init=False)
    _overall: Moments = field(init=False)

    def __post_init__(self) -> None:
        self._location, self._deviation = np.zeros(self.buckets), np.zeros(self.buckets)
        self._count = np.zeros(self.buckets, dtype=np.int64)
        self._overall = Moments(self.spread_rate)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the distance over its usual size; 0 for a time of the period seen less than twice."""
        at = self._bucket(time_ms)
        if self._count.item(at) < 2:
            return 0.0
        usual = self._deviation.item(at) + self._overall.mean / 4.0
        return abs(value - self._location.item(at)) / max(usual, RELATIVE_SCALE * abs(value), SMALLEST_SCALE)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Move location and deviation of this time of the period."""
        at = self._bucket(time_ms)
        count = self._count.item(at)
        self._count[at] = count + 1
        if count == 0:
            self._location[at] = value
            return
        rate = max(self.rate, 1.0 / (count + 1))
        difference = value - self._location.item(at)
        self._overall.learn(abs(difference))
        deviation = self._deviation.item(at) + rate * (abs(difference) - self._deviation.item(at))
        self._deviation[at] = deviation
        reach = _CUT * max(deviation, self._overall.mean)
        self._location[at] += rate * min(max(difference, -reach), reach)

    def _bucket(self, time_ms: int) -> int:
        return time_ms % self.period_ms * self.buckets // self.period_ms


@dataclass
class LearnedPeriodResidual(Signal):
    """The distance from the sample one period ago, where the period is learned from the series itself.

    The last `history` samples are kept. Now and then their autocorrelation is taken by a Fourier transform;
    the period is its highest peak after it has first fallen below zero, where that is at least `least`
    (Vlachos, Yu and Castelli, "On Periodicity Detection and Structural Periodic Similarity", SDM 2005). It
    is counted in samples, so it asks for a steady cadence. What is expected is the median of the samples one,
    two and three periods ago.

    Args:
        history: Samples kept; the longest period is a third of them.
        least: Autocorrelation that makes a period.
        refresh: Samples between two looks for it.

    Example:
        >>> signal = LearnedPeriodResidual(history=300, least=0.5, refresh=50)
        >>> for n in range(300):
        ...     signal.learn_one(n * 1000, float(n % 25 == 0))
        >>> signal.period, signal.measure_one(300_000, 1.0), signal.measure_one(300_000, 0.0)
        (25, 0.0, 1.0)
    """

    history: int
    least: float
    refresh: int
    period: int = field(init=False, default=0)
    """In samples; 0 while there is none."""
    _past: npt.NDArray[np.float64] = field(init=False)
    _learned: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._past = np.zeros(self.history)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the absolute distance; 0 while there is no period."""
        if not self.period:
            return 0.0
        first, second, third = (
            self._past.item((self._learned - n * self.period) % self.history) for n in (1, 2, 3)
        )
        return abs(value - max(min(first, second), min(max(first, second), third)))

    def learn_one(self, time_ms: int, value: float) -> None:
        """Keep the sample; now and then look for the period anew."""
        self._past[self._learned % self.history] = value
        self._learned += 1
        if self._learned >= self.history and self._learned % self.refresh == 0:
            self.period = self._find_period()

    def _find_period(self) -> int:
        values = np.roll(self._past, -(self._learned % self.history))
        largest = float(np.abs(values).max())
        if largest == 0.0:
            return 0
        values = values / largest
        values -= values.mean()
        spectrum = np.fft.rfft(values, 2 * self.history)
        longest = self.history // 3
        lags = np.fft.irfft(spectrum * spectrum.conj())[: longest + 1]
        if lags[0] <= RELATIVE_SCALE * self.history:
            return 0
        correlation = lags / lags[0] * self.history / (self.history - np.arange(longest + 1))
        below = np.flatnonzero(correlation < 0.0)
        if not len(below):
            return 0
        beyond = int(below[0]) + np.flatnonzero(_peaks(correlation[int(below[0]) :]))
        high = beyond[correlation[beyond] >= max(self.least, _ALIKE * correlation[beyond].max(initial=0.0))]
        return int(high[0]) if len(high) else 0


def _peaks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return where a value is above the one before and no less than the one after."""
    inner = (values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:])
    return np.concatenate(([False], inner, [False])) if len(values) > 2 else np.zeros(len(values), np.bool_)
