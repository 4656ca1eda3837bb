"""River's half-space trees over what a sample is, how it changed and how it departs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from river import anomaly

from models.anomaly.base import bounded, graded, scale_of
from models.anomaly.moments import Moments
from models.anomaly.state import DERIVED, Stateful

_FEATURES = ("change", "residual", "value")


@dataclass
class HalfSpaceTrees(Stateful):
    """Score a sample by how empty its corner of the recent past is.

    A forest of random half-space trees (Tan, Ting and Liu, "Fast Anomaly Detection for Streaming Data",
    IJCAI 2011; River's implementation) keeps the mass of the last full window in each of its cells. Its
    inputs are the sample's value, its change and its residual from a fast average, each scaled by what was
    seen before to `reach_sigmas` either side of the mean. The strength is how many deviations the forest's
    score lies above its own recent mean, since the raw score has no scale of its own.

    Every sample is learned, flagged or not: a window of mass forgets by itself. Building a forest costs more
    than scoring with it, so keep it small.

    Args:
        trees: Size of the forest.
        height: Height of each tree.
        window_samples: Samples to a window of mass; nothing scores before the first is full.
        reach_sigmas: Deviations that span half of each input's range.
        rate: Forgetting rate of the inputs' scale and of the score's mean and deviation.
        residual_rate: Forgetting rate of the fast average.
        scoring_samples: Scores of the forest to see before any counts.
        high: Deviations above the mean score that score 0.5.
        critical: Deviations that score 0.75.
        seed: Seed of the trees.

    Example:
        >>> import random
        >>> rng = random.Random(3)
        >>> model = HalfSpaceTrees(trees=8, height=5, window_samples=100, reach_sigmas=6.0, rate=0.01,
        ...                        residual_rate=0.1, scoring_samples=50, high=3.0, critical=5.0, seed=1)
        >>> for second in range(400):
        ...     model.learn_one(second * 1000, rng.gauss(100.0, 5.0))
        >>> model.score_one(400_000, 100.0) < 0.25, model.score_one(400_000, 160.0) > 0.5
        (True, True)
    """

    trees: int
    height: int
    window_samples: int
    reach_sigmas: float
    rate: float
    residual_rate: float
    scoring_samples: int
    high: float
    critical: float
    seed: int
    _last: float = field(init=False, default=0.0)
    _value: Moments = field(init=False)
    _change: Moments = field(init=False)
    _residual: Moments = field(init=False)
    _average: Moments = field(init=False)
    _scores: Moments = field(init=False)
    _in_window: int = field(init=False, default=0)
    _mass: npt.NDArray[np.int64] = field(init=False)
    _forest: Any = field(init=False, metadata={"role": DERIVED})

    def __post_init__(self) -> None:
        self._value, self._change, self._residual = (Moments(self.rate) for _ in range(3))
        self._average = Moments(self.residual_rate)
        self._scores = Moments(self.rate)
        self._mass = np.zeros(0, dtype=np.int64)
        self._forest = self._plant()

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the forest's own; 0 until a window and `scoring_samples` were learned."""
        value = bounded(value)
        if self._scores.count < self.scoring_samples:
            return 0.0
        above = self._forest.score_one(self._features(value)) - self._scores.mean
        return graded(max(above, 0.0) / scale_of(self._scores.deviation, 1.0), self.high, self.critical)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Add the sample to the forest, and its score to those seen."""
        value = bounded(value)
        features = self._features(value)
        if self._value.count >= self.window_samples:
            self._scores.learn(self._forest.score_one(features))
        self._forest.learn_one(features)
        if self._value.count:
            self._change.learn(value - self._last)
            self._residual.learn(value - self._average.mean)
        self._value.learn(value)
        self._average.learn(value)
        self._last = value

    def snapshot(self) -> bytes:
        """Return what was learned; of the forest only the masses, since its shape follows from the seed."""
        self._in_window = self._forest.counter
        nodes = [[(node.l_mass, node.r_mass) for node in tree.iter_dfs()] for tree in self._forest.trees]
        self._mass = np.array(nodes, dtype=np.int64)
        return super().snapshot()

    def restore(self, data: bytes) -> None:
        """Put a snapshot back: plant the same forest again, then fill in the masses."""
        super().restore(data)
        self._forest = self._plant()
        if not len(self._mass):
            return
        self._forest.learn_one(dict.fromkeys(_FEATURES, 0.5))
        for tree, masses in zip(self._forest.trees, self._mass.tolist(), strict=True):
            for node, (latest, reference) in zip(tree.iter_dfs(), masses, strict=True):
                node.l_mass, node.r_mass = latest, reference
        self._forest.counter = self._in_window
        # River has no public way to say that a reference window exists.
        self._forest._first_window = self._value.count < self.window_samples

    def _plant(self) -> Any:
        return anomaly.HalfSpaceTrees(
            n_trees=self.trees, height=self.height, window_size=self.window_samples, seed=self.seed
        )

    def _features(self, value: float) -> dict[str, float]:
        started = self._value.count > 0
        inputs = (
            (value - self._last - self._change.mean if started else 0.0, self._change),
            (value - self._average.mean - self._residual.mean if started else 0.0, self._residual),
            (value - self._value.mean if started else 0.0, self._value),
        )
        return {name: self._within_unit(*each) for name, each in zip(_FEATURES, inputs, strict=True)}

    def _within_unit(self, departure: float, seen: Moments) -> float:
        spread = 2.0 * self.reach_sigmas * scale_of(seen.deviation, self._value.mean)
        return min(max(0.5 + departure / spread, 0.0), 1.0)
