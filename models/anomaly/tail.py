"""Tail probabilities: how rare a measure is in its own past, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.anomaly.state import Stateful

_RESCALE_AT = 1e12
_BIN_OF_ZERO = -(1 << 40)


@dataclass
class TailHistograms(Stateful):
    """Histograms of several non-negative measures, to tell how often each was as large as it is now.

    Bins are equal on a logarithmic scale, as in DDSketch (Masson, Rim and Lee, VLDB 2019), so a measure needs
    no scale of its own; only upper tails matter, so when a new greatest value needs room, the lowest bins are
    merged. A sample's weight fades by `rate` with each later one.

    Args:
        measures: How many measures there are.
        rate: Forgetting rate; about one over the length of the past that counts.
        bins: Bins to a measure.
        bins_per_octave: Resolution; 16 tells apart values that differ by 4.4 %.

    Example:
        >>> tails = TailHistograms(measures=1, rate=0.001, bins=512, bins_per_octave=16)
        >>> for value in range(1, 100):
        ...     tails.learn(np.array([float(value)]))
        >>> [round(float(tails.surprise(np.array([value]))[0]), 2) for value in (0.0, 50.5, 98.0, 1000.0)]
        [0.0, 0.65, 2.77, 4.56]
    """

    measures: int
    rate: float
    bins: int
    bins_per_octave: int
    _counts: npt.NDArray[np.float64] = field(init=False)
    _lowest: npt.NDArray[np.int64] = field(init=False)
    _total: float = field(init=False, default=0.0)
    _weight: float = field(init=False, default=1.0)

    def __post_init__(self) -> None:
        self._counts = np.zeros((self.measures, self.bins))
        self._lowest = np.full(self.measures, _BIN_OF_ZERO)

    def surprise(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return -ln of the share of the past that was at least as large, float64[measures], in nats.

        The sample itself counts as one of its past, so that nothing is more surprising than its past is long.
        """
        from_bin = self._bin_of(values) - self._lowest
        at_least = np.einsum("ij,ij->i", self._counts, np.arange(self.bins) >= from_bin[:, None])
        surprise: npt.NDArray[np.float64] = np.log((self._total + self._weight) / (at_least + self._weight))
        return surprise

    def learn(self, values: npt.NDArray[np.float64]) -> None:
        """Count one value of each measure."""
        at = self._bin_of(values)
        for row in np.flatnonzero(at - self._lowest >= self.bins):
            self._make_room(int(row), int(at[row]))
        self._counts[np.arange(self.measures), np.maximum(at - self._lowest, 0)] += self._weight
        self._total += self._weight
        # Later samples weigh more, which is the same as letting all earlier ones fade, and cheaper.
        self._weight /= 1.0 - self.rate
        if self._weight > _RESCALE_AT:
            self._counts /= self._weight
            self._total /= self._weight
            self._weight = 1.0

    def _bin_of(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        bins = np.full(self.measures, _BIN_OF_ZERO)
        some = values > 0.0
        bins[some] = np.floor(np.log2(values[some]) * self.bins_per_octave).astype(np.int64)
        return bins

    def _make_room(self, row: int, highest: int) -> None:
        """Move the row's bins up so that `highest` lies within, with a quarter of them to spare above."""
        lowest = highest - self.bins * 3 // 4
        shift = min(lowest - int(self._lowest[row]), self.bins)
        counts = self._counts[row]
        merged = counts[:shift].sum()
        counts[: self.bins - shift] = counts[shift:].copy()
        counts[self.bins - shift :] = 0.0
        counts[0] += merged
        self._lowest[row] = lowest
