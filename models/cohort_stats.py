"""Figures of one cohort: ratios from sums, their baselines, and how far a window departs.

Proportions are tested with counts, never with percentages, and by a bound on the binomial tail that holds for
few of few as well: the chance of a share v or more where e is expected is at most exp(-n KL(v || e))
(Chernoff 1952; Hoeffding, JASA 58, 1963). What is not known of e, and what it is seen to move by from window
to window, makes n smaller: 1/n is the sum of both and of 1/viewers. Levels are tested by Student's t, whose
tails are heavy while few windows are known. Standard errors told are what a normal figure so rare is off by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import msgspec
from scipy.special import ndtr, stdtr

LEAST_LOG_P = -690.0
"""Logarithms of smaller chances are told as this one: beyond it floating-point numbers end."""


class Factor(NamedTuple):
    """What the hour does to what is expected."""

    times: float = 1.0
    """So many times the baseline."""
    unsure: float = 0.0
    """Standard deviation of `times`."""


AS_EVER: Final = Factor()


@dataclass(frozen=True, slots=True)
class Departure:
    """How far a cohort's measure is from its baseline, in the direction that is bad."""

    metric: str
    value: float
    baseline: float
    sigmas: float
    log_p: float
    """Logarithm of the chance that a cohort in health departs so far."""
    rise: float
    """Proportions, percentiles: the difference. Levels: the difference as a share of the baseline."""
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

    def departure(
        self, metric: str, bad: float, total: float, prior: float, factor: Factor = AS_EVER
    ) -> Departure:
        """Return how far `bad` of `total` is above expectation.

        Args:
            factor: what the hour does to it.

        Example:
            >>> usual = Proportion(bad=200.0, total=10_000.0, windows=9)
            >>> few, many = (usual.departure("stalled_ratio", n / 5, n, 0.02) for n in (10, 1_000))
            >>> f"{few.sigmas:.1f} {math.exp(few.log_p):.2f}, {many.sigmas:.1f} {math.exp(many.log_p):.0e}"
            '2.4 0.05, 23.3 2e-118'
        """
        expected = min(max(factor.times * self.rate(prior), 0.5 / (self.total + total + 1.0)), 1 - 1e-9)
        value = bad / total
        spread = factor.times**2 * self.spread + (factor.unsure * self.rate(prior)) ** 2
        unknown = 1 / (self.total + 1.0) + spread / (expected * (1 - expected))
        nats = _divergence(value, expected) / (1 / total + unknown)
        above = value > expected
        return Departure(
            metric=metric,
            value=value,
            baseline=expected,
            sigmas=math.sqrt(2 * nats) if above else -math.sqrt(2 * nats),
            log_p=max(-nats, LEAST_LOG_P) if above else 0.0,
            rise=value - expected,
            excess=max(bad - expected * total, 0.0),
        )

    def learn(
        self,
        bad: float,
        total: float,
        alpha: float,
        weight: float = 1.0,
        most_sigmas: float = math.inf,
        factor: float = 1.0,
    ) -> None:
        """Take a window in; the newest weighs `alpha`.

        Trouble that creeps in is not worse than usual by much in any window. Were it learned as it is, it
        would widen what counts as usual faster than it departs from it, and never be told.

        Args:
            most_sigmas: a window that is worse than usual by more of its standard errors is learned as one
                that is worse by so many.
            weight: how much of what it tells no other window told: windows that overlap share viewers.
            factor: what the hour does to it, which is no part of the baseline.
        """
        bad /= factor
        if self.windows:
            now = min(factor * self.rate(0.0), 1.0)
            noise = now * (1 - now) / total / factor**2
            # A rate of few is not known to one unit of them: so much is never held to be too much.
            known = math.sqrt(self.spread + noise + self.rate(0.0) / (self.total + 1.0)) + 1 / total
            worst = self.rate(0.0) + most_sigmas * known
            bad = min(bad, worst * total)
            off = bad / total - self.rate(bad / total)
            seen = off * off / _left_of_variance(most_sigmas)
            self.spread += alpha * (max(seen - noise, 0.0) - self.spread)
        self.bad = (1 - alpha) * self.bad + weight * bad
        self.total = (1 - alpha) * self.total + weight * total
        self.windows += 1

    def scale(self, by: float) -> None:
        """Hold `by` times as many for bad in health."""
        self.bad = min(self.bad * by, self.total)
        self.spread *= by * by


class Level(msgspec.Struct):
    """Baseline of a level such as a mean startup time: exponentially weighted mean and variance."""

    mean: float = 0.0
    variance: float = 0.0
    windows: int = 0

    def departure(
        self,
        metric: str,
        value: float,
        *,
        up_is_bad: bool,
        least_spread_share: float,
        alpha: float,
        factor: Factor = AS_EVER,
    ) -> Departure:
        """Return how far `value` is from the mean.

        Args:
            least_spread_share: the level is never held to be steadier than this share of itself: a baseline
                of few windows looks too still.
            alpha: what the newest window weighs in `learn`; it says how many windows are remembered.
            factor: what the hour does to it.
        """
        found = value / factor.times
        off = found - self.mean if up_is_bad else self.mean - found
        floor = (least_spread_share * self.mean) ** 2
        unsure = (factor.unsure / factor.times * self.mean) ** 2
        sigmas = off / math.sqrt(max(self.variance, floor, 1e-12) + unsure)
        rise = off / self.mean if self.mean > 0 else math.inf if off > 0 else 0.0
        degrees = max(min(self.windows, 2 / alpha - 1) - 1, 1.0)
        tail = float(stdtr(degrees, -sigmas))
        log_p = max(math.log(tail), LEAST_LOG_P) if tail > 0 else LEAST_LOG_P
        return Departure(metric, value, factor.times * self.mean, sigmas, log_p, rise, 0.0)

    def learn(self, value: float, alpha: float) -> None:
        """Take a window in; the newest weighs `alpha`, the first counts in full."""
        self.windows += 1
        weight = max(alpha, 1 / self.windows)
        off = value - self.mean
        self.mean += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)

    def scale(self, by: float) -> None:
        """Hold `by` times as much for usual."""
        self.mean *= by
        self.variance *= by * by


@cache
def _left_of_variance(most_sigmas: float) -> float:
    """Return what is left of the variance of a normal figure that is cut so many deviations above its mean.

    >>> round(_left_of_variance(1.0), 3), round(_left_of_variance(3.0), 3), _left_of_variance(math.inf)
    (0.758, 0.998, 1.0)
    """
    if math.isinf(most_sigmas):
        return 1.0
    below = float(ndtr(most_sigmas))
    density = math.exp(-(most_sigmas**2) / 2) / math.sqrt(2 * math.pi)
    return below - most_sigmas * density + most_sigmas**2 * (1 - below)


def _divergence(value: float, expected: float) -> float:
    """Return KL(value || expected) of two chances of one event, in nats.

    >>> round(_divergence(0.2, 0.02), 3), _divergence(0.5, 0.5), round(_divergence(1.0, 0.5), 3)
    (0.298, 0.0, 0.693)
    """
    bad = value * math.log(value / expected) if value > 0 else 0.0
    good = (1 - value) * math.log((1 - value) / (1 - expected)) if value < 1 else 0.0
    return max(bad + good, 0.0)
