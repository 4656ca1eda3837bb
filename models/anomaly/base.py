"""What every online anomaly detector of one series offers, and how its scores read.

Detectors follow River's convention: `score_one` changes nothing, `learn_one` returns nothing, and a caller
scores a sample before it learns it. Time is passed in, as milliseconds since the epoch.
"""

from __future__ import annotations

import math
from typing import Final, Protocol, runtime_checkable

ALARM_SCORE: Final = 0.5
"""A detector's first bound on its own scale: a sample that scores this much is anomalous."""

CRITICAL_SCORE: Final = 0.75
"""Its second bound."""

LARGEST: Final = 1e150
"""Magnitudes beyond this count as this, so that squares and their sums stay finite."""

SMALLEST_SCALE: Final = 1e-150
"""No spread is held to be smaller, so that no division fails."""

RELATIVE_SCALE: Final = 1e-9
"""No spread is held to be smaller than this share of the level: below it lies rounding, not behaviour."""


@runtime_checkable
class Detector(Protocol):
    """An online model that scores each sample of one series.

    Every detector refuses a value that is not finite with a ValueError, in both methods.
    """

    def score_one(self, time_ms: int, value: float) -> float:
        """Return how anomalous the sample is, from 0 to 1; `ALARM_SCORE` is the detector's bound."""
        ...

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn the sample, as the detector's docstring says for one it flags."""
        ...

    def snapshot(self) -> bytes:
        """Return all that was learned."""
        ...

    def restore(self, data: bytes) -> None:
        """Put a snapshot back; a `SnapshotError` where it is of another model or other figures."""
        ...


def bounded(value: float) -> float:
    """Return the value within plus and minus `LARGEST`.

    Raises:
        ValueError: the value is not finite.

    >>> bounded(1e308)
    1e+150
    >>> bounded(float("nan"))
    Traceback (most recent call last):
    ...
    ValueError: value nan is not finite; leave missing samples out
    """
    if not math.isfinite(value):
        raise ValueError(f"value {value} is not finite; leave missing samples out")
    return min(max(value, -LARGEST), LARGEST)


def scale_of(deviation: float, level: float, floor: float = SMALLEST_SCALE) -> float:
    """Return a standard deviation that may be divided by: never below `floor`, nor below rounding at `level`.

    >>> scale_of(0.0, 1e9)
    1.0
    """
    return max(deviation, RELATIVE_SCALE * abs(level), floor)


def graded(strength: float, high: float, critical: float) -> float:
    """Return the score of a strength that is 0 at rest: 0.5 at `high`, 0.75 at `critical`, 1 in the limit.

    Linear below `critical`, hyperbolic beyond, so that scores keep their order however strong.

    >>> [graded(strength, 3.0, 5.0) for strength in (0.0, 1.5, 3.0, 5.0, 50.0)]
    [0.0, 0.25, 0.5, 0.75, 0.975]
    """
    if strength < high:
        return ALARM_SCORE * strength / high
    if strength < critical:
        return ALARM_SCORE + (CRITICAL_SCORE - ALARM_SCORE) * (strength - high) / (critical - high)
    return 1.0 - (1.0 - CRITICAL_SCORE) * critical / strength
