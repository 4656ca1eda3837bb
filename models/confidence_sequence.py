"""An interval of a difference of means that holds at every moment anyone looks.

A fixed-size interval holds at one sample size chosen beforehand; looked at again and again it misses the
truth far more often than it says. A confidence sequence misses it at any time at all with probability at most
alpha. This is the one of Robbins' normal mixture with the variance plugged in:

    V = s_c^2 / n_c + s_t^2 / n_t        variance of the difference d of the two means
    t = (n_c + n_t) / 2                  how far the comparison is
    k = t * rho^2
    d +- sqrt(V * (k + 1) / k * log((k + 1) / alpha^2))

It is valid in the limit of large samples for any distribution with a finite variance (hence `warmup`), and
rho^2 = (-2 log alpha + log(1 - 2 log alpha)) / tightest_at makes it tightest at t = tightest_at.

Sources: Robbins, "Statistical methods related to the law of the iterated logarithm", Ann. Math. Statist. 41,
1970. Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
Ann. Statist. 49, 2021 (tuning). Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit
theory and asymptotic confidence sequences", Ann. Statist. 52, 2024, arXiv:2103.06476 (plug-in variance).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


class Moments(NamedTuple):
    """How many values there are, their mean, and their unbiased variance."""

    size: int
    mean: float
    variance: float


class Interval(NamedTuple):
    """The difference treatment - control, as far as it is known."""

    low: float
    high: float
    p_value: float
    """Always-valid: at most alpha exactly when the interval leaves out 0."""


@dataclass(frozen=True, slots=True)
class NormalMixture:
    """Makes always-valid intervals.

    Args:
        alpha: probability that the interval ever misses the truth.
        tightest_at: values per arm at which the interval is tightest; it is valid at all others too.
        warmup: values that each arm must have before there is an interval.

    Example:
        >>> mixture = NormalMixture(alpha=0.05, tightest_at=2000, warmup=30)
        >>> low, high, p = mixture.of_difference(Moments(2000, 10.0, 4.0), Moments(2000, 10.3, 4.0))
        >>> round(low, 3), round(high, 3), round(p, 5)
        (0.108, 0.492, 0.00014)
        >>> mixture.of_difference(Moments(20, 10.0, 4.0), Moments(2000, 10.3, 4.0)) is None
        True
    """

    alpha: float
    tightest_at: float
    warmup: int

    def of_difference(self, control: Moments, treatment: Moments) -> Interval | None:
        """Return the interval of the treatment's mean minus the control's.

        None while an arm is in its warm-up, or no value has differed from another: then nothing is known of
        how far the means may stray.
        """
        if min(control.size, treatment.size) < max(self.warmup, 2):
            return None
        variance = control.variance / control.size + treatment.variance / treatment.size
        if variance <= 0:
            return None
        difference = treatment.mean - control.mean
        k = self._rho_squared() * (control.size + treatment.size) / 2
        margin = math.sqrt(variance * (k + 1) / k * (math.log(k + 1) - 2 * math.log(self.alpha)))
        evidence = k * difference * difference / (2 * variance * (k + 1)) - math.log(k + 1) / 2
        return Interval(difference - margin, difference + margin, math.exp(min(0.0, -evidence)))

    def _rho_squared(self) -> float:
        a = -2 * math.log(self.alpha)
        return (a + math.log(a + 1)) / self.tightest_at
