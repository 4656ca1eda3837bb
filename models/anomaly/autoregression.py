"""The error of an autoregressive forecast whose coefficients are learned as it goes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.anomaly.base import scale_of
from models.anomaly.moments import Moments
from models.anomaly.signals import Signal

_CUT = 3.0
"""Deviations beyond which an error corrects the coefficients no further."""


@dataclass
class AutoregressiveResidual(Signal):
    """The distance from a linear forecast by the last `order` samples.

    Recursive least squares with exponential forgetting (Haykin, "Adaptive Filter Theory", chapter 10), on
    samples in deviations of the series' past. An error beyond three of these corrects as if it were three.
    The gain is scaled back to a mean of one where it grows beyond, as it would without bound while a series
    tells nothing new.

    Args:
        order: Samples that the forecast looks back.
        forgetting: What an equation weighs after one more sample, just below 1.
        rate: Forgetting rate of mean and deviation.

    Example:
        >>> signal = AutoregressiveResidual(order=2, forgetting=0.999, rate=0.002)
        >>> for n in range(400):
        ...     signal.learn_one(n, float((0, 1, 0, -1)[n % 4]))
        >>> round(signal.measure_one(400, 0.0), 2), round(signal.measure_one(400, 3.0), 2)
        (0.0, 3.0)
    """

    order: int
    forgetting: float
    rate: float
    _weights: npt.NDArray[np.float64] = field(init=False)
    _gain: npt.NDArray[np.float64] = field(init=False)
    _past: npt.NDArray[np.float64] = field(init=False)
    _seen: Moments = field(init=False)

    def __post_init__(self) -> None:
        self._weights = np.zeros(self.order + 1)
        self._gain = np.eye(self.order + 1)
        self._past = np.zeros(self.order)
        self._seen = Moments(self.rate)

    def measure_one(self, time_ms: int, value: float) -> float:
        """Return the absolute error; 0 for the first samples."""
        if self._seen.count <= self.order + 1:
            return 0.0
        scale = scale_of(self._seen.deviation, self._seen.mean)
        return abs((value - self._seen.mean) / scale - float(self._weights @ self._inputs(scale))) * scale

    def learn_one(self, time_ms: int, value: float) -> None:
        """Correct the coefficients by the error of the forecast of this sample."""
        if self._seen.count > self.order + 1:
            scale = scale_of(self._seen.deviation, self._seen.mean)
            inputs = self._inputs(scale)
            error = (value - self._seen.mean) / scale - float(self._weights @ inputs)
            towards = self._gain @ inputs
            step = towards / (self.forgetting + float(inputs @ towards))
            self._weights = self._weights + step * min(max(error, -_CUT), _CUT)
            gain = (self._gain - np.outer(step, towards)) / self.forgetting
            self._gain = (gain + gain.T) / 2.0 / max(1.0, float(np.trace(gain)) / len(gain))
        self._seen.learn(value)
        self._past[:-1] = self._past[1:]
        self._past[-1] = value

    def _inputs(self, scale: float) -> npt.NDArray[np.float64]:
        standard = np.clip((self._past - self._seen.mean) / scale, -10.0, 10.0)
        return np.append(standard, 1.0)
