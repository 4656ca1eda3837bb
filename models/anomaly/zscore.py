"""The z-score of a sample against a rolling window."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.anomaly.base import bounded, graded, scale_of
from models.anomaly.state import Stateful
from models.anomaly.window import RollingWindow


@dataclass
class ZScore(Stateful):
    """Score a sample by its distance from the window's mean, in the window's standard deviations.

    An anomaly teaches within limits: once the baseline stands, a sample beyond `high` enters the window moved
    to that bound, so that a spike does not blind the detector. When `relearn_after` samples in a row lie
    beyond it, their level is the new normal: the window starts afresh.

    Args:
        window_samples: Length of the rolling window.
        scoring_samples: Below so many samples every score is 0: a deviation of few says little.
        baseline_samples: Below so many the window learns everything as it is.
        high: Standard deviations that score 0.5.
        critical: Standard deviations that score 0.75.
        relearn_after: Samples in a row beyond `high` after which the window starts afresh.

    Example:
        >>> import random
        >>> rng = random.Random(7)
        >>> model = ZScore(window_samples=1000, scoring_samples=50, baseline_samples=100,
        ...                high=3.0, critical=5.0, relearn_after=1000)
        >>> for second in range(200):
        ...     model.learn_one(second * 1000, rng.gauss(100.0, 5.0))
        >>> round(model.score_one(200_000, 101.0), 2), round(model.score_one(200_000, 150.0), 2)
        (0.03, 0.88)
    """

    window_samples: int
    scoring_samples: int
    baseline_samples: int
    high: float
    critical: float
    relearn_after: int
    _window: RollingWindow = field(init=False)
    _mean: float = field(init=False, default=0.0)
    _deviation: float = field(init=False, default=0.0)
    _flagged_run: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._window = RollingWindow(self.window_samples)

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the sample's |z|; 0 until `scoring_samples` were learned."""
        strength = self._sigmas(bounded(value))
        if len(self._window) < self.scoring_samples:
            return 0.0
        return graded(strength, self.high, self.critical)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Add the sample to the window, moved to the bound where it lies beyond."""
        value = bounded(value)
        if len(self._window) >= self.baseline_samples and self._sigmas(value) >= self.high:
            self._flagged_run += 1
            if self._flagged_run >= self.relearn_after:
                self._window.clear()
                self._flagged_run = 0
            else:
                reach = self.high * scale_of(self._deviation, self._mean)
                value = self._mean + (reach if value > self._mean else -reach)
        else:
            self._flagged_run = 0
        self._window.push(value)
        values = self._window.values
        self._mean = float(values.mean())
        self._deviation = float(values.std())

    def _sigmas(self, value: float) -> float:
        return abs(value - self._mean) / scale_of(self._deviation, self._mean)
