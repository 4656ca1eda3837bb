"""Signals of distribution: what the last samples are like, taken together, against what they used to be."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.anomaly.signals import Signal


@dataclass
class MedianShift(Signal):
    """The distance between the median of the last samples and that of the many before them.

    Args:
        short: The last samples.
        long: Those before.

    Example:
        >>> signal = MedianShift(short=3, long=6)
        >>> for value in (1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 9.0, 9.0):
        ...     signal.learn_one(0, value)
        >>> signal.measure_one(0, 9.0)
        7.5
    """

    short: int
    long: int
    _past: npt.NDArray[np.float64] = field(init=False)
    _learned: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._past = np.zeros(self.short + self.long - 1)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the absolute distance; 0 until there are as many samples as both windows hold."""
        if self._learned < len(self._past) + 1:
            return 0.0
        latest = np.append(self._past[self.long :], value)
        return abs(_median(latest) - _median(self._past[: self.long]))

    def learn_one(self, time_ms: int, value: float) -> None:
        """Move both windows on."""
        self._past[:-1] = self._past[1:]
        self._past[-1] = value
        self._learned += 1


def _median(values: npt.NDArray[np.float64]) -> float:
    """A third of the time of numpy's for so few."""
    ordered, half = np.sort(values), len(values) // 2
    return (ordered.item(half) + ordered.item(-half - 1)) / 2.0


@dataclass
class RelativeEntropy(Signal):
    """How unlike all earlier samples the last ones are: the relative entropy of two histograms, in nats.

    After Wang, Viswanathan, Choudur, Talwar, Satheesan and Schwan, "Statistical Techniques for Online
    Anomaly Detection in Data Centers" (IM 2011), with a histogram that widens to what it has seen and slowly
    forgets in place of a set of earlier windows.

    Args:
        bins: Of the histogram, over the range seen so far.
        window: The last samples.
        rate: Forgetting rate of the histogram.
        scoring_samples: Its measure is 0 until so many were seen.

    Example:
        >>> signal = RelativeEntropy(bins=8, window=4, rate=0.001, scoring_samples=50)
        >>> for n in range(100):
        ...     signal.learn_one(0, float(n % 10))
        >>> for value in (4.0, 4.0, 4.0):
        ...     signal.learn_one(0, value)
        >>> round(signal.measure_one(0, 8.0), 2), round(signal.measure_one(0, 4.0), 2)
        (1.36, 1.99)
    """

    bins: int
    window: int
    rate: float
    scoring_samples: int
    _counts: npt.NDArray[np.float64] = field(init=False)
    _latest: npt.NDArray[np.float64] = field(init=False)
    _least: float = field(init=False, default=0.0)
    _greatest: float = field(init=False, default=0.0)
    _learned: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._counts = np.zeros(self.bins)
        self._latest = np.zeros(self.window - 1)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the relative entropy of the window with the sample in it; 0 where all were alike so far."""
        if self._learned < max(self.scoring_samples, self.window) or self._greatest == self._least:
            return 0.0
        inside = Counter(map(self._bin, [*self._latest.tolist(), value]))
        total = float(self._counts.sum()) + 0.5 * self.bins
        entropy = 0.0
        for at, times in inside.items():
            share = times / self.window
            entropy += share * math.log(share * total / (self._counts.item(at) + 0.5))
        return max(entropy, 0.0)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Count the sample, after the range has been widened to it."""
        if self._learned == 0:
            self._least = self._greatest = value
        elif not self._least <= value <= self._greatest:
            self._widen(min(value, self._least), max(value, self._greatest))
        self._counts *= 1.0 - self.rate
        self._counts[self._bin(value)] += 1.0
        self._latest[:-1] = self._latest[1:]
        self._latest[-1] = value
        self._learned += 1

    def _widen(self, least: float, greatest: float) -> None:
        """Put what each bin holds where its middle lies in the wider range."""
        step = (self._greatest - self._least) / self.bins
        middles = [self._least + (at + 0.5) * step for at in range(self.bins)]
        self._least, self._greatest = least, greatest
        moved = np.zeros(self.bins)
        for middle, count in zip(middles, self._counts.tolist(), strict=True):
            moved[self._bin(middle)] += count
        self._counts = moved

    def _bin(self, value: float) -> int:
        reach = self._greatest - self._least
        if reach <= 0.0:
            return 0
        place = (value - self._least) / reach
        return min(max(int(place * self.bins), 0), self.bins - 1)
