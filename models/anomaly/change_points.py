"""Change points: Page-Hinkley, ADWIN and the Bayesian online change point, each as a detector of one series.

The first two have River's figures and find what River's find; they are written anew because River's keep
state that can be saved by pickle only, and because all three work on a sample in the series' own deviations,
so that one setting fits series of any scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from models.anomaly.base import bounded, graded, scale_of
from models.anomaly.moments import Moments
from models.anomaly.state import DERIVED, Stateful

Floats = npt.NDArray[np.float64]

_CUT: Final = 10.0
"""No sample counts for more deviations: a change is what lasts."""


@dataclass
class PageHinkley(Stateful):
    """Score how far the mean has drifted since it was last level (Page, Biometrika 41, 1954; Hinkley, 1971).

    The cumulative sum of what samples lie above the mean by more than `slack`, less its least value so far,
    and the same below; the greater is the strength. It starts afresh once it has reached `critical`, so that
    each change is told once. Every sample is learned.

    Args:
        rate: Forgetting rate of mean and deviation.
        slack: Deviations that are no drift.
        scoring_samples: Below so many samples every score is 0.
        high: Cumulative deviations that score 0.5.
        critical: ... that score 0.75 and are taken for a change.

    Example:
        >>> model = PageHinkley(rate=0.005, slack=0.25, scoring_samples=50, high=25.0, critical=50.0)
        >>> for n in range(400):
        ...     model.learn_one(n, float(n % 5))
        >>> before = model.score_one(400, 2.0)
        >>> for n in range(30):
        ...     model.learn_one(400 + n, 5.0)
        >>> before < 0.5 < model.score_one(430, 5.0)
        True
    """

    rate: float
    slack: float
    scoring_samples: int
    high: float
    critical: float
    _seen: Moments = field(init=False)
    _risen: float = field(init=False, default=0.0)
    _fallen: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._seen = Moments(self.rate)

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the drift with the sample in it."""
        return graded(max(self._drift_with(bounded(value))), self.high, self.critical)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Add the sample to the sums; start afresh after a change."""
        value = bounded(value)
        self._risen, self._fallen = self._drift_with(value)
        if max(self._risen, self._fallen) >= self.critical:
            self._risen = self._fallen = 0.0
            self._seen = Moments(self.rate)
        self._seen.learn(value)

    def _drift_with(self, value: float) -> tuple[float, float]:
        if self._seen.count < self.scoring_samples:
            return 0.0, 0.0
        away = (value - self._seen.mean) / scale_of(self._seen.deviation, self._seen.mean)
        away = min(max(away, -_CUT), _CUT)
        return max(self._risen + away - self.slack, 0.0), max(self._fallen - away - self.slack, 0.0)


@dataclass
class Adwin(Stateful):
    """Score by whether the window of late falls into two parts with different means.

    ADWIN2 (Bifet and Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007): the
    window is kept as an exponential histogram, at most `buckets` of each size, so its memory grows with the
    logarithm of its length, here cut at 2^`levels`. The strength is the greatest difference of the means on
    both sides of a cut over the bound that a difference has with confidence 1 - `delta`; at 1 the older side
    is dropped. Cuts are looked at every `clock` samples. Every sample is learned.

    Args:
        delta: Chance of a false cut at a look.
        buckets: Of each size; River's M.
        levels: Sizes of bucket, 1, 2, 4, ...
        clock: Samples between two looks.
        least: Samples each side of a cut must have.
        rate: Forgetting rate of the deviation that makes samples comparable.
        high: Differences over the bound that score 0.5.
        critical: ... that score 0.75.

    Example:
        >>> model = Adwin(delta=0.002, buckets=5, levels=20, clock=32, least=5, rate=0.002,
        ...               high=1.0, critical=1.5)
        >>> for n in range(640):
        ...     model.learn_one(n, float(n % 2))
        >>> before = model.score_one(640, 0.0)
        >>> for n in range(40):
        ...     model.learn_one(640 + n, 3.0 + n % 2)
        >>> before < 0.5 < model.score_one(680, 3.0), model.width < 200
        (True, True)
    """

    delta: float
    buckets: int
    levels: int
    clock: int
    least: int
    rate: float
    high: float
    critical: float
    _sums: Floats = field(init=False)
    _squares: Floats = field(init=False)
    _used: npt.NDArray[np.int64] = field(init=False)
    _learned: int = field(init=False, default=0)
    _strength: float = field(init=False, default=0.0)
    _seen: Moments = field(init=False)

    def __post_init__(self) -> None:
        self._sums = np.zeros((self.levels, self.buckets + 1))
        self._squares = np.zeros((self.levels, self.buckets + 1))
        self._used = np.zeros(self.levels, dtype=np.int64)
        self._seen = Moments(self.rate)

    @property
    def width(self) -> int:
        """Samples in the window."""
        return int((self._used << np.arange(self.levels)).sum())

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the difference found at the last look; the sample itself has yet to be seen."""
        bounded(value)
        return graded(self._strength, self.high, self.critical)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Add the sample; at the clock's beat, look for a cut and drop what is older."""
        value = bounded(value)
        self._seen.learn(value)
        self._insert(value)
        self._learned += 1
        if self._learned % self.clock == 0:
            self._strength = self._cut()

    def _insert(self, value: float) -> None:
        total, square = value, 0.0
        for level in range(self.levels):
            at = self._used.item(level)
            self._sums[level, at], self._squares[level, at] = total, square
            self._used[level] = at + 1
            if at < self.buckets:
                return
            # Two of the oldest of a size make one of the next; of the greatest size, the oldest is forgotten.
            size = 1 << level
            first, second = self._sums[level, :2].tolist()
            total = first + second
            square = float(self._squares[level, :2].sum()) + (first - second) ** 2 / (2 * size)
            drop = 2 if level + 1 < self.levels else 1
            self._sums[level, :-drop] = self._sums[level, drop:].copy()
            self._squares[level, :-drop] = self._squares[level, drop:].copy()
            self._used[level] -= drop

    def _cut(self) -> float:
        """Drop the older side of the best cut for as long as it is beyond the bound; return the greatest."""
        greatest = 0.0
        while True:
            strength, level, at = self._best_cut()
            greatest = max(greatest, strength)
            if strength < 1.0:
                return greatest
            self._drop(level, at)

    def _best_cut(self) -> tuple[float, int, int]:
        places = [
            (level, at) for level in reversed(range(self.levels)) for at in range(self._used.item(level))
        ]
        if len(places) < 2:
            return 0.0, 0, 0
        levels, ats = np.array(places).T
        sizes = np.left_shift(1, levels).astype(np.float64)
        sums = self._sums[levels, ats]
        width, total = float(sizes.sum()), float(sums.sum())
        mean = total / width
        within = self._squares[levels, ats] + sizes * (sums / sizes - mean) ** 2
        floor = scale_of(0.0, self._seen.mean) ** 2
        variance = max(float(within.sum()) / width, floor)
        older, older_sum = np.cumsum(sizes)[:-1], np.cumsum(sums)[:-1]
        newer = width - older
        apart = np.abs(older_sum / older - (total - older_sum) / newer)
        harmonic = 1.0 / older + 1.0 / newer
        log_delta = math.log(2.0 * max(math.log(width), 1.0) / self.delta)
        bound = np.sqrt(2.0 * harmonic * variance * log_delta) + 2.0 / 3.0 * harmonic * log_delta * math.sqrt(
            variance
        )
        strength = np.where((older >= self.least) & (newer >= self.least), apart / bound, 0.0)
        best = int(strength.argmax())
        return float(strength[best]), int(levels[best]), int(ats[best])

    def _drop(self, level: int, at: int) -> None:
        """Forget a bucket and all that are older."""
        self._used[level + 1 :] = 0
        for kept in (self._sums, self._squares):
            kept[level, : self.buckets - at] = kept[level, at + 1 :].copy()
        self._used[level] -= at + 1


@dataclass
class BayesianChangePoint(Stateful):
    """Score by how probable it is that the series began afresh within the last samples.

    Adams and MacKay, "Bayesian Online Changepoint Detection" (arXiv:0710.3742): the posterior of the run
    length, the time since the last change, under a constant hazard; samples of a run are normal with unknown
    mean and variance (normal-inverse-gamma prior), so a sample's predictive is Student's t. Samples are
    measured in deviations of the series' past and cut at ten, and run lengths beyond `longest` are merged, so
    memory is constant. The strength is the log-odds, in nats, of a run no longer than `recent`.

    Args:
        hazard: Chance of a change at a sample.
        longest: Run lengths told apart.
        recent: Run lengths that count as a change just now.
        rate: Forgetting rate of what samples are measured against.
        scoring_samples: Below so many samples every score is 0.
        high: Nats that score 0.5.
        critical: Nats that score 0.75.

    Example:
        >>> model = BayesianChangePoint(hazard=0.001, longest=200, recent=10, rate=0.002,
        ...                             scoring_samples=50, high=3.0, critical=6.0)
        >>> for n in range(300):
        ...     model.learn_one(n, float(n % 3))
        >>> before = model.score_one(300, 1.0)
        >>> for n in range(5):
        ...     model.learn_one(300 + n, 6.0 + n % 3)
        >>> before < 0.5 < model.score_one(305, 6.0)
        True
    """

    hazard: float
    longest: int
    recent: int
    rate: float
    scoring_samples: int
    high: float
    critical: float
    _log_run: Floats = field(init=False)
    _mean: Floats = field(init=False)
    _kappa: Floats = field(init=False)
    _alpha: Floats = field(init=False)
    _beta: Floats = field(init=False)
    _seen: Moments = field(init=False)
    _gamma: Floats = field(init=False, metadata={"role": DERIVED})

    def __post_init__(self) -> None:
        self._log_run = np.full(self.longest, -np.inf)
        self._log_run[0] = 0.0
        self._mean = np.zeros(self.longest)
        self._kappa, self._alpha, self._beta = (np.full(self.longest, prior) for prior in (0.1, 1.0, 1.0))
        self._gamma = np.array(
            [math.lgamma(n / 2.0 + 1.5) - math.lgamma(n / 2.0 + 1.0) for n in range(self.longest)]
        )
        self._seen = Moments(self.rate)

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the log-odds of a recent change, the sample taken into account."""
        value = bounded(value)
        if self._seen.count < self.scoring_samples:
            return 0.0
        run = np.exp(self._run_with(self._standard(value)))
        late = float(run[: self.recent].sum())
        odds = math.log(max(late, 1e-300)) - math.log(max(1.0 - late, 1e-16))
        return graded(max(odds, 0.0), self.high, self.critical)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Move the posterior on."""
        value = bounded(value)
        standard = self._standard(value)
        self._log_run = self._run_with(standard)
        kappa, away = self._kappa, standard - self._mean
        grown = (
            self._mean + away / (kappa + 1.0),
            kappa + 1.0,
            self._alpha + 0.5,
            self._beta + kappa * away * away / (2.0 * (kappa + 1.0)),
        )
        for kept, new, prior in zip(
            (self._mean, self._kappa, self._alpha, self._beta), grown, (0.0, 0.1, 1.0, 1.0), strict=True
        ):
            kept[1:-1] = new[:-2]
            kept[-1] = new[-1] if self._log_run[-1] > -np.inf else new[-2]
            kept[0] = prior
        # A run of the greatest length keeps the weight of so many samples, and thus forgets.
        self._kappa[-1], self._alpha[-1] = min(self._kappa[-1], self.longest), min(self._alpha[-1], self._cap)
        self._beta[-1] *= self._cap / (self._cap + 0.5) if self._alpha[-1] >= self._cap else 1.0
        self._seen.learn(value)

    @property
    def _cap(self) -> float:
        return 1.0 + (self.longest - 1) / 2.0

    def _standard(self, value: float) -> float:
        if self._seen.count < 2:
            return 0.0
        away = (value - self._seen.mean) / scale_of(self._seen.deviation, self._seen.mean)
        return min(max(away, -_CUT), _CUT)

    def _run_with(self, standard: float) -> Floats:
        """Return the log posterior of the run length with a sample in it."""
        freedom = 2.0 * self._alpha
        scale = self._beta * (self._kappa + 1.0) / (self._alpha * self._kappa)
        away = standard - self._mean
        predictive = (
            self._gamma
            - 0.5 * np.log(math.pi * freedom * scale)
            - (freedom + 1.0) / 2.0 * np.log1p(away * away / (freedom * scale))
        )
        joint = self._log_run + predictive
        grown = joint + math.log1p(-self.hazard)
        run = np.empty(self.longest)
        run[0] = np.logaddexp.reduce(joint) + math.log(self.hazard)
        run[1:] = grown[:-1]
        run[-1] = np.logaddexp(run[-1], grown[-1])
        run -= np.logaddexp.reduce(run)
        return run
