"""Tukey's fences: distance beyond the quartiles of a rolling window."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from models.anomaly.base import bounded, graded, scale_of
from models.anomaly.state import Stateful
from models.anomaly.window import RollingWindow


@dataclass
class InterquartileRange(Stateful):
    """Score a sample by how many interquartile ranges it lies beyond the nearer quartile (Tukey, 1977).

    An anomaly is learned as it is: quartiles bear a quarter of the window being wrong, and a level that
    lasts longer is the new normal.

    Args:
        window_samples: Length of the rolling window.
        scoring_samples: Below so many samples every score is 0.
        fence: Interquartile ranges that score 0.5; Tukey's outliers lie beyond 1.5.
        far_fence: Interquartile ranges that score 0.75; Tukey's far outliers lie beyond 3.

    Example:
        >>> model = InterquartileRange(window_samples=1000, scoring_samples=50, fence=1.5, far_fence=3.0)
        >>> for second in range(101):
        ...     model.learn_one(second * 1000, float(second))
        >>> [model.score_one(101_000, value) for value in (50.0, 150.0, 225.0)]
        [0.0, 0.5, 0.75]
    """

    window_samples: int
    scoring_samples: int
    fence: float
    far_fence: float
    _window: RollingWindow = field(init=False)
    _lower: float = field(init=False, default=0.0)
    _upper: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._window = RollingWindow(self.window_samples)

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the distance beyond the quartiles; 0 between them."""
        value = bounded(value)
        if len(self._window) < self.scoring_samples:
            return 0.0
        beyond = max(value - self._upper, self._lower - value, 0.0)
        level = max(abs(self._lower), abs(self._upper))
        return graded(beyond / scale_of(self._upper - self._lower, level), self.fence, self.far_fence)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Add the sample to the window."""
        self._window.push(bounded(value))
        last = len(self._window) - 1
        at = (math.floor(0.25 * last), math.ceil(0.75 * last))
        ordered = np.partition(self._window.values, at)
        self._lower, self._upper = float(ordered[at[0]]), float(ordered[at[1]])
