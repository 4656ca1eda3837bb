"""Counts: so many bad among so many, and a few events now and then.

A sample of these is not a level with noise around it. The models state the chance that a healthy sample is as
bad as this one, as -ln of it in nats, from the counts that they have learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scipy.special import betainc

from models.anomaly.base import graded
from models.anomaly.moments import Moments
from models.anomaly.state import Stateful

_LEAST_P = 1e-300


@dataclass
class RatioOfCounts(Stateful):
    """How rare so many bad among so many are: 1 of 3 is no outage, 100 of 300 is one.

    The usual share has a Beta posterior that forgets, so the number of bad ones is beta-binomial; its upper
    tail is taken with the variance that minutes were seen to have beyond the binomial one (overdispersion,
    as in a quasi-binomial model: McCullagh and Nelder, "Generalized Linear Models", section 4.5): counts are
    divided by the factor before they are judged. A minute that surprises by more than `high_nats` teaches its
    denominator at the usual share, so that an outage is not the next minute's usual.

    Args:
        rate: Forgetting rate of what was usual, per sample.
        prior_share: Believed before anything is seen.
        prior_trials: What that belief is worth.
        high_nats: Nats that score 0.5.
        critical_nats: Nats that score 0.75.

    Example:
        >>> model = RatioOfCounts(rate=0.01, prior_share=0.01, prior_trials=100.0, high_nats=9.0,
        ...                       critical_nats=18.0)
        >>> for minute in range(200):
        ...     model.learn(minute % 3, 200)
        >>> [round(model.score(bad, trials), 2) for bad, trials in ((1, 3), (4, 200), (30, 300), (0, 0))]
        [0.23, 0.22, 0.93, 0.0]
    """

    rate: float
    prior_share: float
    prior_trials: float
    high_nats: float
    critical_nats: float
    _bad: float = field(init=False, default=0.0)
    _trials: float = field(init=False, default=0.0)
    _excess: Moments = field(init=False)

    def __post_init__(self) -> None:
        self._excess = Moments(self.rate)

    @property
    def share(self) -> float:
        """The usual share of bad ones."""
        return (self._bad + self.prior_share * self.prior_trials) / (self._trials + self.prior_trials)

    @property
    def overdispersion(self) -> float:
        """How many times the binomial variance the minutes have had; at least 1."""
        return max(self._excess.mean, 1.0) if self._excess.count else 1.0

    def nats(self, bad: float, trials: float) -> float:
        """Return -ln of the chance of at least so many bad ones among `trials`.

        Raises:
            ValueError: there are more bad ones than trials, or fewer than none.
        """
        if not 0.0 <= bad <= trials:
            raise ValueError(f"{bad} bad ones of {trials}: expected a number from 0 to the trials")
        if bad == 0.0:
            return 0.0
        # The tail of a binomial number is a regularised incomplete beta function, which takes any real
        # number of trials; what is not sure of the share makes them fewer (beta-binomial variance).
        known = self._trials + self.prior_trials
        shrink = self.overdispersion * (1.0 + (trials - 1.0) / (known + 1.0) if trials > 1.0 else 1.0)
        bad, trials = bad / shrink, trials / shrink
        chance = float(betainc(bad, max(trials - bad, 0.0) + 1.0, self.share))
        return -math.log(max(chance, _LEAST_P))

    def score(self, bad: float, trials: float) -> float:
        """Return the score of the nats, 0 to 1."""
        return graded(self.nats(bad, trials), self.high_nats, self.critical_nats)

    def learn(self, bad: float, trials: float) -> None:
        """Learn one sample; of one that surprises, only that there were so many trials."""
        if trials <= 0.0:
            return
        share = self.share
        if self.nats(bad, trials) >= self.high_nats:
            bad = share * trials
        elif 0.0 < share < 1.0:
            self._excess.learn((bad - share * trials) ** 2 / (trials * share * (1.0 - share)))
        self._bad += bad - self.rate * self._bad
        self._trials += trials - self.rate * self._trials


@dataclass
class SparseCount(Stateful):
    """How rare a small count is, too many or none for too long, for series that are mostly 0.

    The rate has a Gamma posterior that forgets; the next count is then negative binomial, whose upper tail
    says how rare so many are. Zeros in a row are judged together: n of them have chance (b / (b + n))^a.

    Args:
        rate: Forgetting rate, per sample.
        prior_rate: Mean count believed beforehand.
        prior_samples: What that belief is worth.
        high_nats: Nats that score 0.5.
        critical_nats: Nats that score 0.75.

    Example:
        >>> model = SparseCount(rate=0.002, prior_rate=0.1, prior_samples=10.0, high_nats=9.0,
        ...                     critical_nats=18.0)
        >>> for minute in range(1000):
        ...     model.learn_one(minute, float(minute % 10 == 0))
        >>> [round(model.score_one(1000, count), 2) for count in (0.0, 1.0, 2.0, 9.0)]
        [0.05, 0.13, 0.3, 0.86]
    """

    rate: float
    prior_rate: float
    prior_samples: float
    high_nats: float
    critical_nats: float
    _events: float = field(init=False, default=0.0)
    _samples: float = field(init=False, default=0.0)
    _zeros: float = field(init=False, default=0.0)

    def nats(self, count: float) -> float:
        """Return -ln of the chance of a count as large, or of so many zeros in a row.

        Raises:
            ValueError: the count is negative or not finite.
        """
        if not 0.0 <= count < math.inf:
            raise ValueError(f"count {count}: expected a number from 0 up")
        shape = self._events + self.prior_rate * self.prior_samples
        size = self._samples + self.prior_samples
        if count == 0.0:
            return shape * math.log1p((self._zeros + 1.0) / size)
        chance = float(betainc(count, shape, 1.0 / (size + 1.0)))
        return -math.log(max(chance, _LEAST_P))

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the nats, 0 to 1."""
        return graded(self.nats(value), self.high_nats, self.critical_nats)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn a count; one that surprises is learned as the usual."""
        surprising = self.nats(value) >= self.high_nats
        self._zeros = self._zeros + 1.0 if value == 0.0 else 0.0
        usual = (self._events + self.prior_rate * self.prior_samples) / (self._samples + self.prior_samples)
        self._events += (usual if surprising else value) - self.rate * self._events
        self._samples += 1.0 - self.rate * self._samples
