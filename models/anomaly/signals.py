"""Signals: single measures of how strange a sample of one series is, each in a unit of its own.

A signal says nothing of how rare its measure is; `PerSeriesEnsemble` turns it into a tail probability. All
are causal, learn every sample as it is, and keep constant memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.anomaly.base import scale_of
from models.anomaly.forecast import DampedTrend
from models.anomaly.moments import Moments
from models.anomaly.state import Stateful
from models.anomaly.window import RollingWindow


@dataclass
class Signal(Stateful):
    """A measure of one series; values are finite and bounded by the caller."""

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return how strange the sample is, from 0 up; 0 while the signal cannot tell."""
        raise NotImplementedError

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn the sample."""
        raise NotImplementedError


@dataclass
class Change(Signal):
    """The step from the last sample.

    Example:
        >>> signal = Change()
        >>> signal.learn_one(0, 5.0)
        >>> signal.measure_one(1000, 2.0)
        3.0
    """

    _last: float | None = field(init=False, default=None)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the absolute step."""
        return abs(value - self._last) if self._last is not None else 0.0

    def learn_one(self, time_ms: int, value: float) -> None:
        """Remember the sample."""
        self._last = value


@dataclass
class ForecastResidual(Signal):
    """The error of a `DampedTrend` forecast, with that model's figures.

    Example:
        >>> signal = ForecastResidual(level_rate=0.3, trend_rate=0.05, damping=0.98)
        >>> signal.learn_one(0, 5.0)
        >>> signal.measure_one(1000, 2.0)
        3.0
    """

    level_rate: float
    trend_rate: float
    damping: float
    _trend: DampedTrend = field(init=False)

    def __post_init__(self) -> None:
        self._trend = DampedTrend(self.level_rate, self.trend_rate, self.damping)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the absolute error."""
        forecast = self._trend.forecast()
        return abs(value - forecast) if forecast is not None else 0.0

    def learn_one(self, time_ms: int, value: float) -> None:
        """Correct the forecast."""
        self._trend.learn(value)


@dataclass
class Departure(Signal):
    """The distance from a slow average of forgetting rate `rate`.

    Example:
        >>> signal = Departure(rate=0.005)
        >>> for value in (4.0, 6.0):
        ...     signal.learn_one(0, value)
        >>> signal.measure_one(0, 8.0)
        3.0
    """

    rate: float
    _average: Moments = field(init=False)

    def __post_init__(self) -> None:
        self._average = Moments(self.rate)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the absolute distance."""
        return abs(value - self._average.mean) if self._average.count else 0.0

    def learn_one(self, time_ms: int, value: float) -> None:
        """Move the average."""
        self._average.learn(value)


@dataclass
class LevelShift(Signal):
    """The distance between a fast and a slow average, both with the sample in them.

    Example:
        >>> signal = LevelShift(fast_rate=0.5, slow_rate=0.25)
        >>> for _ in range(10):
        ...     signal.learn_one(0, 4.0)
        >>> signal.measure_one(0, 8.0)
        1.0
    """

    fast_rate: float
    slow_rate: float
    _fast: Moments = field(init=False)
    _slow: Moments = field(init=False)

    def __post_init__(self) -> None:
        self._fast, self._slow = Moments(self.fast_rate), Moments(self.slow_rate)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the absolute distance."""
        return abs(self._fast.mean_with(value) - self._slow.mean_with(value))

    def learn_one(self, time_ms: int, value: float) -> None:
        """Move both averages."""
        self._fast.learn(value)
        self._slow.learn(value)


@dataclass
class SeasonalResidual(Signal):
    """The distance from what is usual at this time of the period, a day or a week.

    The period is cut into `buckets`, counted from the epoch, each with an average of forgetting rate `rate`.

    Example:
        >>> hour_ms = 3_600_000
        >>> signal = SeasonalResidual(period_ms=24 * hour_ms, buckets=24, rate=0.2)
        >>> signal.learn_one(9 * hour_ms, 100.0)
        >>> signal.measure_one(33 * hour_ms, 60.0), signal.measure_one(34 * hour_ms, 60.0)
        (40.0, 0.0)
    """

    period_ms: int
    buckets: int
    rate: float
    _mean: npt.NDArray[np.float64] = field(init=False)
    _count: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._mean = np.zeros(self.buckets)
        self._count = np.zeros(self.buckets, dtype=np.int64)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the absolute distance; 0 for a time of the period not seen before."""
        at = self._bucket(time_ms)
        return abs(value - self._mean.item(at)) if self._count.item(at) else 0.0

    def learn_one(self, time_ms: int, value: float) -> None:
        """Move the average of this time of the period."""
        at = self._bucket(time_ms)
        self._count[at] += 1
        mean = self._mean.item(at)
        self._mean[at] = mean + max(self.rate, 1.0 / self._count.item(at)) * (value - mean)

    def _bucket(self, time_ms: int) -> int:
        return time_ms % self.period_ms * self.buckets // self.period_ms


@dataclass
class OutOfRange(Signal):
    """The distance beyond the least and the greatest value so far.

    Example:
        >>> signal = OutOfRange()
        >>> for value in (4.0, 6.0):
        ...     signal.learn_one(0, value)
        >>> signal.measure_one(0, 5.0), signal.measure_one(0, 1.0)
        (0.0, 3.0)
    """

    _least: float | None = field(init=False, default=None)
    _greatest: float | None = field(init=False, default=None)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the distance; 0 within the range."""
        if self._least is None or self._greatest is None:
            return 0.0
        return max(self._least - value, value - self._greatest, 0.0)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Widen the range."""
        self._least = value if self._least is None else min(self._least, value)
        self._greatest = value if self._greatest is None else max(self._greatest, value)


@dataclass
class Calm(Signal):
    """How little the last `samples` vary: a metric that falls silent is as telling as one that jumps.

    Example:
        >>> signal = Calm(samples=4)
        >>> for value in (1.0, 3.0, 1.0):
        ...     signal.learn_one(0, value)
        >>> signal.measure_one(0, 3.0)
        1.0
    """

    samples: int
    _window: RollingWindow = field(init=False)

    def __post_init__(self) -> None:
        self._window = RollingWindow(self.samples - 1)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return one over the deviation of the window with the sample; 0 until it is full."""
        if len(self._window) < self.samples - 1:
            return 0.0
        return 1.0 / scale_of(float(np.append(self._window.values, value).std()), value)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Move the window on."""
        self._window.push(value)
