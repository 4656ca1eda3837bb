"""The statistics of experiments behind the interface of a program that judges them by simulation.

Such a program feeds two arms batch by batch, looks after each batch, and counts how often a difference is
seen that is not there, and how often the interval misses one that is.
"""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray
from river.stats import Var

from config import load
from models.confidence_sequence import Moments, NormalMixture


class Comparison:
    """Compares two arms as the experiments' agents do.

    Args:
        alpha: probability that the interval ever misses the truth.
        n_max: the most values an arm will have; the interval is made tightest half way there.
        target: what is compared; only ``mean`` is.
    """

    def __init__(self, *, alpha: float, n_max: int, target: str = "mean") -> None:
        if target != "mean":
            raise ValueError(f"target {target!r}: only means are compared")
        warmup = load(os.environ).settings.experiments.warmup_viewers
        self._mixture = NormalMixture(alpha=alpha, tightest_at=n_max / 2, warmup=warmup)
        self._arms = (Var(), Var())

    def update(self, control: NDArray[np.float64], treatment: NDArray[np.float64]) -> None:
        """Take in what is new in each arm."""
        for arm, values in zip(self._arms, (control, treatment), strict=True):
            if len(values):
                arm.update_many(values)

    def result(self) -> tuple[float, float, float]:
        """Return p-value and interval of the treatment's mean minus the control's."""
        control, treatment = (Moments(int(arm.mean.n), arm.mean.get(), arm.get()) for arm in self._arms)
        interval = self._mixture.of_difference(control, treatment)
        if interval is None:
            return 1.0, -math.inf, math.inf
        return interval.p_value, interval.low, interval.high
