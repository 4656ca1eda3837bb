"""What type of series it is: a gauge, a counter or sparse counts; told by configuration or by the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from models.anomaly.base import Detector, bounded
from models.anomaly.counters import CounterRate
from models.anomaly.counts import SparseCount
from models.anomaly.state import STATE, Stateful


class Shape(StrEnum):
    """How samples of a series come about."""

    UNKNOWN = "unknown"
    GAUGE = "gauge"
    """A level that goes up and down."""
    COUNTER = "counter"
    """A total that only rises, until it is reset."""
    COUNTS = "counts"
    """Whole numbers of events, mostly none."""


@dataclass
class ShapeLearner(Stateful):
    """Tell the shape of a series from its first samples.

    A counter never falls but to begin again, which is rare, and rises most of the time; counts are whole
    numbers of which half are zero; anything else is a gauge. The answer stands once it is given.

    Args:
        samples: How many it takes.
        resets: Share of falls that a counter may have.

    Example:
        >>> learner = ShapeLearner(samples=50, resets=0.02)
        >>> for minute in range(50):
        ...     learner.learn(100.0 * minute)
        >>> learner.shape
        <Shape.COUNTER: 'counter'>
    """

    samples: int
    resets: float
    _learned: int = field(init=False, default=0)
    _last: float = field(init=False, default=0.0)
    _falls: int = field(init=False, default=0)
    _rises: int = field(init=False, default=0)
    _whole: int = field(init=False, default=0)
    _zeros: int = field(init=False, default=0)

    @property
    def shape(self) -> Shape:
        """The shape; unknown until enough was seen."""
        if self._learned < self.samples:
            return Shape.UNKNOWN
        if self._falls <= self.resets * self.samples and self._rises > self.samples / 2:
            return Shape.COUNTER
        if self._whole == self.samples and self.samples / 2 <= self._zeros < self.samples:
            return Shape.COUNTS
        return Shape.GAUGE

    def learn(self, value: float) -> None:
        """Look at a sample, one of the first."""
        if self._learned >= self.samples:
            return
        if self._learned:
            self._falls += value < self._last
            self._rises += value > self._last
        self._whole += value >= 0.0 and value == int(value)
        self._zeros += value == 0.0
        self._last = value
        self._learned += 1


@dataclass
class ShapedDetector(Stateful):
    """Judge a series by its shape: a counter by its rate, sparse counts as such, a gauge as it is.

    Until the shape is known nothing is scored, and only counts are learned. A counter's first reading, and
    one after a gap, has no rate and scores 0.

    Args:
        gauge: Judges levels and rates.
        counts: Judges sparse counts.
        counter: Turns readings into rates.
        learner: Tells the shape.
        shape: What the configuration says; unknown leaves it to the data.

    Example:
        >>> from models.anomaly.zscore import ZScore
        >>> model = ShapedDetector(
        ...     gauge=ZScore(window_samples=500, scoring_samples=30, baseline_samples=50, high=3.0,
        ...                  critical=5.0, relearn_after=500),
        ...     counts=SparseCount(rate=0.002, prior_rate=0.1, prior_samples=10.0, high_nats=9.0,
        ...                        critical_nats=18.0),
        ...     counter=CounterRate(longest_gap_ms=300_000), learner=ShapeLearner(samples=50, resets=0.02))
        >>> for minute in range(200):
        ...     model.learn_one(minute * 60_000, 600.0 * minute + minute % 3)
        >>> model.shape.value, model.score_one(200 * 60_000, 0.0) < 0.5
        ('counter', False)
        >>> model.score_one(200 * 60_000, 120_000.0) < 0.5
        True
    """

    gauge: Detector = field(metadata={"role": STATE})
    counts: SparseCount = field(metadata={"role": STATE})
    counter: CounterRate = field(metadata={"role": STATE})
    learner: ShapeLearner = field(metadata={"role": STATE})
    shape: Shape = field(default=Shape.UNKNOWN, metadata={"role": STATE})

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score by the series' shape; 0 while it is unknown."""
        value = bounded(value)
        if self.shape is Shape.COUNTER:
            rate = self.counter.peek(time_ms, value)
            return 0.0 if rate is None else self.gauge.score_one(time_ms, rate)
        if self.shape is Shape.COUNTS and value >= 0.0:
            return self.counts.score_one(time_ms, value)
        return self.gauge.score_one(time_ms, value) if self.shape is Shape.GAUGE else 0.0

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn the sample by the series' shape, and the shape."""
        value = bounded(value)
        rate = self.counter.step(time_ms, value)
        if self.shape is Shape.COUNTER and rate is not None:
            self.gauge.learn_one(time_ms, rate)
        elif self.shape is Shape.GAUGE:
            self.gauge.learn_one(time_ms, value)
        elif self.shape in (Shape.COUNTS, Shape.UNKNOWN) and value >= 0.0:
            self.counts.learn_one(time_ms, value)
        if self.shape is Shape.UNKNOWN:
            self.learner.learn(value)
            self.shape = self.learner.shape

    def restore(self, data: bytes) -> None:
        """Put a snapshot back; of the parts, each its own."""
        super().restore(data)
        self.shape = Shape(self.shape)
