"""Exponentially forgetful mean and variance, in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from models.anomaly.state import Stateful


@dataclass
class Moments(Stateful):
    """Mean and variance in which a sample's weight fades by `rate` with each later one (West, 1979).

    The first samples weigh equally, so that the start is an ordinary average and not a memory of zero.

    Args:
        rate: Weight of a new sample, once 1/rate samples were seen; about 2 over the length of a window.

    Example:
        >>> moments = Moments(rate=0.01)
        >>> for value in (1.0, 2.0, 3.0):
        ...     moments.learn(value)
        >>> round(moments.mean, 6), round(moments.deviation, 6)
        (2.0, 0.816497)
    """

    rate: float
    count: int = field(init=False, default=0)
    mean: float = field(init=False, default=0.0)
    variance: float = field(init=False, default=0.0)

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        return math.sqrt(self.variance)

    def mean_with(self, value: float) -> float:
        """Return what the mean would be after `value`."""
        return self.mean + self._weight() * (value - self.mean)

    def learn(self, value: float) -> None:
        """Take in a value."""
        weight = self._weight()
        difference = value - self.mean
        self.mean += weight * difference
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference)
        self.count += 1

    def _weight(self) -> float:
        return max(self.rate, 1.0 / (self.count + 1))
