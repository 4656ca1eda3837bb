"""Figures of one cohort: ratios from sums, their baselines, and how far a window departs.

Proportions are tested with counts, never with percentages: the standard error of a ratio of `n` viewers is
binomial, widened by what the baseline itself is seen to move from window to window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from topics.cohorts import MEASURES

_AT = {name: column for column, name in enumerate(MEASURES)}


def ratio(sums: NDArray[np.float64], over: str, under: tuple[str, ...]) -> float | None:
    """Return one measure over the sum of others, or None where these are 0."""
    below = float(sum(sums[_AT[name]] for name in under))
    return float(sums[_AT[over]]) / below if below > 0 else None


@dataclass(frozen=True, slots=True)
class Departure:
    """How far a cohort's measure is from its baseline, in the direction that is bad."""

    metric: str
    value: float
    baseline: float
    sigmas: float
    rise: float
    """Proportions: the difference. Levels: the difference as a share of the baseline."""
    excess: float
    """Proportions: bad units (viewers, attempts) beyond expectation. Levels: 0."""


class Proportion(msgspec.Struct):
    """Baseline of a proportion: exponentially weighted sums, and the spread between windows."""

    bad: float = 0.0
    total: float = 0.0
    spread: float = 0.0
    windows: int = 0

    def rate(self, prior: float) -> float:
        """Return the expected rate; without a past it is `prior`."""
        return (self.bad + prior) / (self.total + 1.0)

    def departure(self, metric: str, bad: float, total: float, prior: float) -> Departure:
        """Return how far `bad` of `total` is above expectation."""
        expected = min(max(self.rate(prior), 0.5 / (self.total + total + 1.0)), 1 - 1e-9)
        value = bad / total
        binomial = expected * (1 - expected) * (1 / total + 1 / (self.total + 1.0))
        error = math.sqrt(binomial + self.spread)
        return Departure(
            metric=metric,
            value=value,
            baseline=expected,
            sigmas=(value - expected) / error,
            rise=value - expected,
            excess=max(bad - expected * total, 0.0),
        )

    def learn(self, bad: float, total: float, alpha: float) -> None:
        """Take a window in; the newest weighs `alpha`."""
        if self.windows:
            off = bad / total - self.rate(bad / total)
            noise = self.rate(0.0) * (1 - self.rate(0.0)) / total
            self.spread += alpha * (max(off * off - noise, 0.0) - self.spread)
        self.bad = (1 - alpha) * self.bad + bad
        self.total = (1 - alpha) * self.total + total
        self.windows += 1


class Level(msgspec.Struct):
    """Baseline of a level such as a mean startup time: exponentially weighted mean and variance."""

    mean: float = 0.0
    variance: float = 0.0
    windows: int = 0

    def departure(
        self, metric: str, value: float, *, up_is_bad: bool, least_spread_share: float
    ) -> Departure:
        """Return how far `value` is from the mean.

        Args:
            least_spread_share: the level is never held to be steadier than this share of itself: a baseline
                of few windows looks too still.
        """
        off = value - self.mean if up_is_bad else self.mean - value
        floor = (least_spread_share * self.mean) ** 2
        sigmas = off / math.sqrt(max(self.variance, floor, 1e-12))
        rise = off / self.mean if self.mean > 0 else math.inf if off > 0 else 0.0
        return Departure(metric, value, self.mean, sigmas, rise, 0.0)

    def learn(self, value: float, alpha: float) -> None:
        """Take a window in; the newest weighs `alpha`, the first counts in full."""
        self.windows += 1
        weight = max(alpha, 1 / self.windows)
        off = value - self.mean
        self.mean += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)
