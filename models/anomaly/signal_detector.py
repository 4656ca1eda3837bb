"""Any one signal as a detector: seasonal residuals, forecast errors, discords, range, calm, entropy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.anomaly.base import bounded, graded
from models.anomaly.signals import Signal
from models.anomaly.state import STATE, Stateful
from models.anomaly.tail import TailHistograms


@dataclass
class SignalDetector(Stateful):
    """Score a sample by how rare its measure is in the signal's own past, once an episode.

    The surprise is -ln of the share of past measures at least as large, so it grows no further than the past
    is long. As in the ensemble a peak is held and decays, and only what rises above it scores. Every sample
    is learned.

    Args:
        signal: What is measured; a fresh one for each detector.
        rate: Forgetting rate of the past of measures.
        bins: Bins of its histogram.
        bins_per_octave: Resolution of its histogram.
        scoring_samples: Below so many samples every score is 0.
        hold_decay: What stays of the held peak from one sample to the next.
        high_nats: Surprise that scores 0.5.
        critical_nats: Surprise that scores 0.75.

    Example:
        >>> import random
        >>> from models.anomaly.signals import Change
        >>> rng = random.Random(2)
        >>> model = SignalDetector(Change(), rate=0.00025, bins=512, bins_per_octave=16, scoring_samples=50,
        ...                        hold_decay=0.99, high_nats=6.0, critical_nats=8.0)
        >>> for second in range(2000):
        ...     model.learn_one(second * 1000, rng.gauss(100.0, 5.0))
        >>> model.score_one(2_000_000, 101.0) < 0.5 < model.score_one(2_000_000, 180.0)
        True
    """

    signal: Signal = field(metadata={"role": STATE})
    rate: float
    bins: int
    bins_per_octave: int
    scoring_samples: int
    hold_decay: float
    high_nats: float
    critical_nats: float
    _tail: TailHistograms = field(init=False)
    _learned: int = field(init=False, default=0)
    _held_nats: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._tail = TailHistograms(1, self.rate, self.bins, self.bins_per_octave)

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the surprise where it rises above the held peak, else 0."""
        nats = self._nats(time_ms, bounded(value))
        return graded(nats, self.high_nats, self.critical_nats) if nats > self._held_nats else 0.0

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn the sample in the signal, its measure in the tail."""
        value = bounded(value)
        self._held_nats = max(self._held_nats * self.hold_decay, self._nats(time_ms, value))
        self._tail.learn(np.array([self.signal.measure_one(time_ms, value)]))
        self.signal.learn_one(time_ms, value)
        self._learned += 1

    def _nats(self, time_ms: int, value: float) -> float:
        if self._learned < self.scoring_samples:
            return 0.0
        return float(self._tail.surprise(np.array([self.signal.measure_one(time_ms, value)]))[0])
