"""Quantiles of durations from counts in buckets of equal ratio: sketches that add up.

Two sketches of the same figures are merged by adding their counts, so a quantile of a whole is that of all
its parts, which the mean of their quantiles would not be.

Source: DDSketch (Masson, Rim & Lee, PVLDB 12, 2019): with buckets of ratio (1 + a) / (1 - a), a quantile is
off by at most the share a of itself.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from config.sections import QoeSettings

Floats = NDArray[np.float64]


class LogBuckets:
    """Buckets from `lowest` to `highest`; what lies outside counts in the first or the last.

    Args:
        accuracy: largest relative error of a quantile, between 0 and 1.

    Example:
        >>> buckets = LogBuckets(lowest=10.0, highest=120_000.0, accuracy=0.05)
        >>> counts = np.bincount(buckets.of(np.arange(1, 1001)), minlength=buckets.count).astype(float)
        >>> round(buckets.quantile(counts, 0.95))
        949
        >>> buckets.quantile(0 * counts, 0.5) is None
        True
    """

    def __init__(self, *, lowest: float, highest: float, accuracy: float) -> None:
        self._lowest = lowest
        self._log_ratio = math.log((1 + accuracy) / (1 - accuracy))
        self._middle = 1 + accuracy
        self.count = math.ceil(math.log(highest / lowest) / self._log_ratio)

    def of(self, values: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the bucket of each value."""
        place = np.log(np.maximum(values, self._lowest) / self._lowest) / self._log_ratio
        return np.minimum(place.astype(np.int64), self.count - 1)

    def at_least(self, value: float) -> int:
        """Return the first bucket that `quantile` tells as `value` or more; `count` where none is."""
        place = math.log(max(value / (self._lowest * self._middle), 1e-300)) / self._log_ratio
        return min(max(math.ceil(place - 1e-9), 0), self.count)

    def quantile(self, counts: Floats, share: float) -> float | None:
        """Return the value that `share` of what was counted does not exceed; None where nothing was.

        Args:
            counts: by bucket, shape (count,).
        """
        reached = np.cumsum(counts)
        if not reached[-1] > 0:
            return None
        bucket = int(np.searchsorted(reached, share * reached[-1]))
        return self._lowest * math.exp(min(bucket, self.count - 1) * self._log_ratio) * self._middle

    def quantiles(self, counts: Floats, share: float) -> list[float | None]:
        """Return `quantile` of each row of `counts`, shape (rows, count)."""
        reached = counts.cumsum(axis=1)
        bucket = np.minimum((reached < share * reached[:, -1:]).sum(axis=1), self.count - 1)
        values = (self._lowest * np.exp(bucket * self._log_ratio) * self._middle).tolist()
        some = (reached[:, -1] > 0).tolist()
        return [value if any_ else None for value, any_ in zip(values, some, strict=True)]


def duration_buckets(qoe: QoeSettings) -> LogBuckets:
    """Return the buckets of startup times and live latencies, in ms."""
    return LogBuckets(
        lowest=qoe.sketch_lowest_ms, highest=qoe.sketch_highest_ms, accuracy=qoe.sketch_accuracy
    )
