"""One detector from many signals: how rare is the sample in everything that is measured of it?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.anomaly.base import bounded, graded, scale_of
from models.anomaly.moments import Moments
from models.anomaly.signals import Signal
from models.anomaly.state import DERIVED, STATE, Stateful
from models.anomaly.tail import TailHistograms


class _Measured(NamedTuple):
    """One sample as all signals see it, and the sum of its squared surprises."""

    time_ms: int
    value: float
    by_signal: npt.NDArray[np.float64]
    total: float


@dataclass
class PerSeriesEnsemble(Stateful):
    """Score a sample by the joint rarity of its signals, once an episode.

    Each signal's measure becomes a surprise, -ln of its tail probability over a long past. The squares of the
    surprises add up, so that one very rare signal counts for more than several that are a little unusual. The
    sum is judged against its own long past as a normal deviate: z standard deviations above the mean are
    z^2 / 2 nats. A peak is held whole for `hold_samples` and then decays by `hold_decay` a sample; only what
    rises above it scores, so that an episode alerts at its start and where it gets worse, not all along.

    Every sample is learned, flagged or not: over a long past a rare one stays rare, and what stays becomes
    usual.

    Args:
        signals: What is measured of each sample; a fresh set for each ensemble.
        rate: Forgetting rate of the tails.
        sum_rate: Forgetting rate of the sum's past.
        bins: Bins of each tail's histogram.
        bins_per_octave: Resolution of each tail's histogram.
        scoring_samples: Below so many samples every score is 0.
        hold_samples: How long a peak is held whole.
        hold_decay: What then stays of it from one sample to the next.
        most_nats: No sample counts for more, so that the peak held of an extreme one decays in time.
        high_nats: Nats that score 0.5.
        critical_nats: Nats that score 0.75.

    Example:
        >>> import random
        >>> from models.anomaly.signals import Change, Departure
        >>> rng = random.Random(5)
        >>> model = PerSeriesEnsemble((Change(), Departure(rate=0.01)), rate=0.00025,
        ...                           sum_rate=0.0001, bins=512, bins_per_octave=16, scoring_samples=50,
        ...                           hold_samples=20, hold_decay=0.995, most_nats=50.0, high_nats=12.0,
        ...                           critical_nats=20.0)
        >>> for second in range(1000):
        ...     model.learn_one(second * 1000, rng.gauss(100.0, 5.0))
        >>> model.score_one(1_000_000, 101.0) < 0.1, model.score_one(1_000_000, 180.0) > 0.5
        (True, True)
        >>> model.learn_one(1_000_000, 180.0)
        >>> model.score_one(1_001_000, 180.0)
        0.0
    """

    signals: tuple[Signal, ...] = field(metadata={"role": STATE})
    rate: float
    sum_rate: float
    bins: int
    bins_per_octave: int
    scoring_samples: int
    hold_samples: int
    hold_decay: float
    most_nats: float
    high_nats: float
    critical_nats: float
    _tails: TailHistograms = field(init=False)
    _sums: Moments = field(init=False)
    _held_nats: float = field(init=False, default=0.0)
    _held_for: int = field(init=False, default=0)
    _latest: _Measured | None = field(init=False, default=None, metadata={"role": DERIVED})

    def __post_init__(self) -> None:
        self._tails = TailHistograms(len(self.signals), self.rate, self.bins, self.bins_per_octave)
        self._sums = Moments(self.sum_rate)

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the sample's nats where they rise above the held peak, else 0."""
        nats = self._nats(self._measure(time_ms, bounded(value)).total)
        if self._sums.count < self.scoring_samples or nats <= self._held_nats:
            return 0.0
        return graded(nats, self.high_nats, self.critical_nats)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn the sample in every signal, in the tails and in the held peak."""
        value = bounded(value)
        measured = self._measure(time_ms, value)
        if self._sums.count >= self.scoring_samples:
            self._hold(self._nats(measured.total))
        self._sums.learn(measured.total)
        self._tails.learn(measured.by_signal)
        for signal in self.signals:
            signal.learn_one(time_ms, value)
        self._latest = None

    def _hold(self, nats: float) -> None:
        if nats >= self._held_nats:
            self._held_nats, self._held_for = nats, 0
            return
        self._held_for += 1
        if self._held_for > self.hold_samples:
            self._held_nats *= self.hold_decay

    def restore(self, data: bytes) -> None:
        """Put a snapshot back; the signals must be of the same kinds, in the same order."""
        super().restore(data)
        self._latest = None

    def _measure(self, time_ms: int, value: float) -> _Measured:
        """A sample is scored, then learned: what was measured for the first serves the second."""
        if self._latest is None or (self._latest.time_ms, self._latest.value) != (time_ms, value):
            by_signal = np.array([signal.measure_one(time_ms, value) for signal in self.signals])
            surprises = self._tails.surprise(by_signal)
            self._latest = _Measured(time_ms, value, by_signal, float(surprises @ surprises))
        return self._latest

    def _nats(self, total: float) -> float:
        above = (total - self._sums.mean) / scale_of(self._sums.deviation, 1.0)
        return min(above * above / 2.0, self.most_nats) if above > 0.0 else 0.0
