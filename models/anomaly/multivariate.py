"""Several metrics of one service together: what is ordinary in each may be extraordinary side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.anomaly.base import LARGEST, RELATIVE_SCALE, SMALLEST_SCALE, graded
from models.anomaly.moments import Moments
from models.anomaly.state import Stateful

Floats = npt.NDArray[np.float64]


@dataclass
class ServiceVector(Stateful):
    """Score how far the metrics of a service lie together from what they usually are, correlations included.

    The Mahalanobis distance from an exponentially weighted mean and covariance. Both are robust in the
    manner of an M-estimator (Maronna, Annals of Statistics 4, 1976): a vector beyond `high` of the usual
    distances teaches with the weight that puts it at that bound. The covariance is shrunk towards its
    diagonal (Ledoit and Wolf, 2004, with a fixed share), so that metrics which move together can be told
    apart from few samples. The strength is the distance over its own moving mean, in deviations, since for
    metrics that are not normal its distribution is not chi.

    A metric that is missing (nan) is left out of the sample's distance and teaches nothing of itself.

    Args:
        metrics: How many metrics.
        rate: Forgetting rate of mean, covariance and distances.
        shrinkage: Share of the diagonal, 0 to 1.
        scoring_samples: Below so many samples every score is 0.
        high: Deviations above the usual distance that score 0.5.
        critical: Deviations that score 0.75.

    Example:
        >>> rng = np.random.default_rng(4)
        >>> model = ServiceVector(metrics=2, rate=0.005, shrinkage=0.05, scoring_samples=100, high=6.0,
        ...                       critical=10.0)
        >>> for _ in range(1000):
        ...     load = rng.normal()
        ...     model.learn_one(100.0 + 20.0 * load, 50.0 + 10.0 * load + rng.normal(0.0, 0.5))
        >>> model.score_one(140.0, 70.0) < 0.5 < model.score_one(140.0, 40.0)
        True
        >>> model.score_one(140.0, float("nan")) < 0.5
        True
    """

    metrics: int
    rate: float
    shrinkage: float
    scoring_samples: int
    high: float
    critical: float
    _count: int = field(init=False, default=0)
    _mean: Floats = field(init=False)
    _covariance: Floats = field(init=False)
    _distances: Moments = field(init=False)

    def __post_init__(self) -> None:
        self._mean = np.zeros(self.metrics)
        self._covariance = np.zeros((self.metrics, self.metrics))
        self._distances = Moments(self.rate)

    def score_one(self, *values: float) -> float:
        """Return the score of a value of each metric, in their order; nan where one is missing.

        Raises:
            ValueError: there are more or fewer values than metrics, or one is infinite.
        """
        distance = self._distance(self._vector(values))
        if self._count < self.scoring_samples:
            return 0.0
        return graded(max(self._strength(distance), 0.0), self.high, self.critical)

    def learn_one(self, *values: float) -> None:
        """Learn a value of each metric, with less weight the further off they are together."""
        vector = self._vector(values)
        distance = self._distance(vector)
        weight = max(self.rate, 1.0 / (self._count + 1))
        if self._count >= self.scoring_samples:
            reach = self._distances.mean + self.high * max(self._distances.deviation, RELATIVE_SCALE)
            weight *= min(1.0, (reach / distance) ** 2 if distance > 0.0 else 1.0)
            distance = min(distance, reach)
        away = np.where(np.isnan(vector), 0.0, vector - self._mean)
        self._mean = self._mean + weight * away
        self._covariance = (1.0 - weight) * (self._covariance + weight * np.outer(away, away))
        if self._count >= self.metrics:
            self._distances.learn(distance)
        self._count += 1

    def _strength(self, distance: float) -> float:
        return (distance - self._distances.mean) / max(self._distances.deviation, RELATIVE_SCALE)

    def _vector(self, values: tuple[float, ...]) -> Floats:
        vector = np.array(values, dtype=np.float64)
        if len(vector) != self.metrics or np.isinf(vector).any():
            raise ValueError(f"{values}: expected {self.metrics} values, finite or nan where missing")
        return np.clip(vector, -LARGEST, LARGEST)

    def _distance(self, vector: Floats) -> float:
        """Return the distance of the metrics that are there, as if all were."""
        there = np.flatnonzero(~np.isnan(vector))
        if self._count < 2 or not len(there):
            return 0.0
        scale = np.sqrt(np.diag(self._covariance)[there])
        scale = np.maximum(scale, np.maximum(RELATIVE_SCALE * np.abs(self._mean[there]), SMALLEST_SCALE))
        correlation = self._covariance[np.ix_(there, there)] / np.outer(scale, scale)
        correlation *= 1.0 - self.shrinkage
        np.fill_diagonal(correlation, 1.0)
        away = np.clip((vector[there] - self._mean[there]) / scale, -(LARGEST**0.5), LARGEST**0.5)
        square = float(away @ np.linalg.solve(correlation, away))
        return float(np.sqrt(max(square, 0.0) * self.metrics / len(there)))
