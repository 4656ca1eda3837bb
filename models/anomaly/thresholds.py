"""Static thresholds: bounds that people set, whatever the series is used to."""

from __future__ import annotations

from dataclasses import dataclass

from models.anomaly.base import ALARM_SCORE, CRITICAL_SCORE, bounded
from models.anomaly.state import Stateful


@dataclass
class StaticThreshold(Stateful):
    """Score a sample by how far it lies beyond a warning bound, on the way to a critical one.

    Nothing is learned, so an anomaly teaches nothing.

    Args:
        warn: The bound from which a sample is anomalous, in the metric's own unit.
        critical: The bound from which it is critical. Where it is below `warn`, less is worse.

    Raises:
        ValueError: the bounds are equal or not finite.

    Example:
        >>> error_rate = StaticThreshold(warn=0.01, critical=0.05)
        >>> [round(error_rate.score_one(0, value), 3) for value in (0.009, 0.01, 0.03, 0.05, 1.0)]
        [0.0, 0.5, 0.625, 0.75, 0.99]
        >>> cache_hit_ratio = StaticThreshold(warn=0.95, critical=0.90)
        >>> [round(cache_hit_ratio.score_one(0, value), 3) for value in (0.96, 0.925, 0.5)]
        [0.0, 0.625, 0.972]
    """

    warn: float
    critical: float

    def __post_init__(self) -> None:
        if bounded(self.warn) == bounded(self.critical):
            raise ValueError(f"warn and critical are both {self.warn}: which way is worse?")

    def score_one(self, time_ms: int, value: float) -> float:
        """Return 0 within bounds, 0.5 at `warn`, 0.75 at `critical`, towards 1 beyond."""
        return score_beyond(progress(bounded(value), self.warn, self.critical))

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn nothing."""
        bounded(value)


def progress(value: float, warn: float, critical: float) -> float:
    """Return where the value is on the way from `warn` (0) to `critical` (1); negative within bounds.

    >>> progress(3500.0, 2000.0, 5000.0)
    0.5
    """
    return (value - warn) / (critical - warn)


def score_beyond(crossed: float) -> float:
    """Return the score of a `progress`: 0 below the warning bound, and where there is none (nan)."""
    if crossed >= 1.0:
        return 1.0 - (1.0 - CRITICAL_SCORE) / crossed
    if crossed >= 0.0:
        return ALARM_SCORE + (CRITICAL_SCORE - ALARM_SCORE) * crossed
    return 0.0
