"""Time series discords: the distance of what just happened to the most alike thing that happened before."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from models.anomaly.signals import Signal

_REFRESH_EVERY = 64


@dataclass
class Discord(Signal):
    """The Euclidean distance of the last `length` samples to their nearest neighbour of the past.

    A discord (Keogh, Lin and Fu, "HOT SAX", ICDM 2005) is the subsequence least like all others; this is its
    left-only form: neighbours end at least `length` samples earlier, and at most `history` are kept.
    Distances along a diagonal differ by one term entering and one leaving (Zhu et al., "Matrix Profile II",
    ICDM 2016), which makes a sample cost O(history) whatever the length; they are computed anew every few
    samples, so that rounding from a huge value passes.

    Args:
        length: Samples to a subsequence.
        history: How many earlier subsequences are compared.

    Example:
        >>> signal = Discord(length=4, history=100)
        >>> for second in range(40):
        ...     signal.learn_one(second * 1000, float(second % 4))
        >>> round(signal.measure_one(40_000, 0.0), 6), round(signal.measure_one(40_000, 5.0), 6)
        (0.0, 2.645751)
    """

    length: int
    history: int
    _past: npt.NDArray[np.float64] = field(init=False)
    _squares: npt.NDArray[np.float64] = field(init=False)
    _learned: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        # With `past` ending at the newest sample, `squares[i]` belongs to the neighbour that begins `i + 1`
        # places after the start of `past`. Places not yet filled are zero on both sides of the recurrence.
        self._past = np.zeros(self.history + 2 * self.length - 1)
        self._squares = np.zeros(self.history)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the distance; 0 until there are `length` neighbours to compare with."""
        neighbours = min(self._learned - 2 * self.length + 2, self.history)
        if neighbours < self.length:
            return 0.0
        return math.sqrt(max(float(self._squares_with(value)[-neighbours:].min()), 0.0))

    def learn_one(self, time_ms: int, value: float) -> None:
        """Add the sample to the past."""
        self._squares = self._squares_with(value)
        self._past[:-1] = self._past[1:]
        self._past[-1] = value
        self._learned += 1

    def _squares_with(self, value: float) -> npt.NDArray[np.float64]:
        if self._learned % _REFRESH_EVERY == 0:
            return self._squares_anew(value)
        entering = value - self._past[self.length : self.length + self.history]
        leaving = self._past[-self.length] - self._past[: self.history]
        squares: npt.NDArray[np.float64] = self._squares + entering * entering - leaving * leaving
        return squares

    def _squares_anew(self, value: float) -> npt.NDArray[np.float64]:
        subsequences = sliding_window_view(np.append(self._past, value), self.length)
        apart = subsequences[1 : self.history + 1] - subsequences[-1]
        squares: npt.NDArray[np.float64] = np.einsum("ij,ij->i", apart, apart)
        return squares
