"""The rules by which a bank judges its series, and one series judged by them.

`BankDetector` states the rules one sample at a time; `SeriesBank` applies the same to many series at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from models.anomaly.base import ALARM_SCORE, RELATIVE_SCALE, SMALLEST_SCALE, bounded, graded, scale_of
from models.anomaly.state import Stateful
from models.anomaly.thresholds import progress, score_beyond
from topics.anomalies import Severity


class EpisodePhase(IntEnum):
    """What a sample changes about its series' episode."""

    NONE = 0
    STARTED = 1
    WORSENED = 2
    ENDED = 3


@dataclass(frozen=True, slots=True)
class BankFigures:
    """The figures that all series of a bank share.

    Args:
        rate: Weight of a new sample in mean and variance, once 1/rate were seen.
        scoring_samples: Samples before deviations count.
        baseline_samples: Samples before they count fully; until then high is low and critical is medium.
        high: Standard deviations from the mean that are of high severity.
        critical: ... that are critical.
        flagged_weight: Share of its ordinary weight with which a sample beyond `high` teaches.
        relearn_after: Samples in a row beyond `high` after which the baseline starts afresh.
        open_after: Samples in a row it takes to open an episode, by severity from low to critical.
        clear_after: Normal samples in a row that end one.
    """

    rate: float
    scoring_samples: int
    baseline_samples: int
    high: float
    critical: float
    flagged_weight: float
    relearn_after: int
    open_after: tuple[int, int, int, int]
    clear_after: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What is known of one series beforehand.

    Args:
        worse: 1 where more is worse, -1 where less is, 0 where either is.
        warn: Static bound of medium severity; nan where there is none.
        critical: Static bound of critical severity, on the worse side of `warn`; nan where there is none.
        noise: Standard deviation below which the series is not held to be calmer.
    """

    worse: int = 0
    warn: float = math.nan
    critical: float = math.nan
    noise: float = 0.0


class Verdict(NamedTuple):
    """What is held of one sample, judged before it is learned."""

    score: float
    severity: int
    """0, or a `Severity`."""
    baseline: float
    """The mean it was judged against."""
    deviation_sigmas: float
    """Signed; nan while the series is too young."""
    bound: float
    """The static bound crossed, the critical one where both are; else nan."""
    phase: EpisodePhase


@dataclass
class BankDetector(Stateful):
    """Judge one series by its exponentially weighted baseline and its static limits, and keep its episode.

    An episode starts when enough samples in a row are flagged (`open_after`; fewer when they are worse),
    worsens when its severity rises, and ends after `clear_after` normal samples.

    An anomaly teaches within limits: a sample more than `high` deviations off teaches as if it were at
    `high`, with `flagged_weight` of its ordinary weight. When `relearn_after` samples in a row are so far
    off, their level is the new normal: the baseline starts afresh from the last of them. A sample that only
    crosses a static bound is learned as any other.

    Args:
        figures: Shared by all series.
        limits: Of this one.

    Example:
        >>> figures = BankFigures(rate=0.002, scoring_samples=50, baseline_samples=100, high=3.0,
        ...                       critical=5.0, flagged_weight=0.1, relearn_after=1000,
        ...                       open_after=(3, 2, 2, 1), clear_after=5)
        >>> model = BankDetector(figures, Limits(worse=1, warn=2000.0, critical=5000.0))
        >>> for second in range(100):
        ...     model.learn_one(second * 1000, 300.0 + second % 7)
        >>> verdict = model.step_one(100_000, 2600.0)
        >>> Severity(verdict.severity).name, verdict.bound, verdict.phase.name
        ('CRITICAL', 2000.0, 'STARTED')
        >>> [model.step_one(101_000 + second, 300.0).phase.name for second in range(5)]
        ['NONE', 'NONE', 'NONE', 'NONE', 'ENDED']
    """

    figures: BankFigures
    limits: Limits
    mean: float = field(init=False, default=0.0)
    variance: float = field(init=False, default=0.0)
    count: float = field(init=False, default=0.0)
    far_run: int = field(init=False, default=0)
    flagged_run: int = field(init=False, default=0)
    normal_run: int = field(init=False, default=0)
    open_severity: int = field(init=False, default=0)

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the greater of the scores against the baseline and against the static limits."""
        return self.judge_one(time_ms, value).score

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn the sample into the baseline and the episode."""
        self.step_one(time_ms, value)

    def step_one(self, time_ms: int, value: float) -> Verdict:
        """Judge the sample, then learn it."""
        verdict = self.judge_one(time_ms, value)
        self._move_episode(verdict)
        self._move_baseline(bounded(value))
        return verdict

    def step_quiet(self, values: Sequence[float], start: int) -> list[float]:
        """Judge and learn samples from `start` on while they are nothing special; return their scores.

        Stops before the first sample that is flagged, far from the baseline or within an episode: that one is
        for `step_one`. The same arithmetic in the same order, without the verdicts, at a fifth of the cost.
        """
        scores: list[float] = []
        if self.flagged_run or self.far_run:
            return scores
        rate, high = self.figures.rate, self.figures.high
        scoring_samples, worse = self.figures.scoring_samples, self.limits.worse
        noise = max(self.limits.noise, SMALLEST_SCALE)
        warn, towards_critical = self.limits.warn, self.limits.critical - self.limits.warn
        mean, variance, count = self.mean, self.variance, self.count
        for value in islice(values, start, None):
            difference = value - mean
            deviation = 0.0
            if count >= scoring_samples:
                deviation = difference / max(math.sqrt(variance), RELATIVE_SCALE * abs(mean), noise)
            strength = abs(deviation)
            if strength >= high or (value - warn) / towards_critical >= 0.0:
                break
            scores.append(ALARM_SCORE * strength / high if deviation * worse >= 0.0 else 0.0)
            weight = max(rate, 1.0 / (count + 1.0))
            moved = weight * difference
            mean += moved
            variance = (1.0 - weight) * (variance + moved * difference)
            count += 1.0
        self.mean, self.variance, self.count = mean, variance, count
        return scores

    def judge_one(self, time_ms: int, value: float) -> Verdict:
        """Return the verdict on the sample; nothing changes."""
        value = bounded(value)
        deviation = self._deviation(value)
        strength = abs(deviation) if deviation * self.limits.worse >= 0.0 else 0.0
        crossed = progress(value, self.limits.warn, self.limits.critical)
        score = max(graded(strength, self.figures.high, self.figures.critical), score_beyond(crossed))
        severity = max(self._grade(strength), _grade_beyond(crossed))
        return Verdict(
            score=score,
            severity=severity,
            baseline=self.mean,
            deviation_sigmas=deviation if self._known else math.nan,
            bound=_bound_crossed(crossed, self.limits),
            phase=self._phase(severity),
        )

    @property
    def _known(self) -> bool:
        return self.count >= self.figures.scoring_samples

    def _deviation(self, value: float) -> float:
        if not self._known:
            return 0.0
        return (value - self.mean) / self._scale()

    def _scale(self) -> float:
        return scale_of(math.sqrt(self.variance), self.mean, max(self.limits.noise, SMALLEST_SCALE))

    def _grade(self, strength: float) -> int:
        if strength < self.figures.high:
            return 0
        provisional = self.count < self.figures.baseline_samples
        if strength < self.figures.critical:
            return Severity.LOW if provisional else Severity.HIGH
        return Severity.MEDIUM if provisional else Severity.CRITICAL

    def _phase(self, severity: int) -> EpisodePhase:
        if severity > 0 and self.open_severity == 0:
            enough = self.flagged_run + 1 >= self.figures.open_after[severity - 1]
            return EpisodePhase.STARTED if enough else EpisodePhase.NONE
        if severity > self.open_severity:
            return EpisodePhase.WORSENED
        if severity == 0 < self.open_severity and self.normal_run + 1 >= self.figures.clear_after:
            return EpisodePhase.ENDED
        return EpisodePhase.NONE

    def _move_episode(self, verdict: Verdict) -> None:
        if verdict.severity > 0:
            self.flagged_run += 1
            self.normal_run = 0
            if verdict.phase is not EpisodePhase.NONE:
                self.open_severity = verdict.severity
        elif self.open_severity == 0 or verdict.phase is EpisodePhase.ENDED:
            self.flagged_run = self.normal_run = self.open_severity = 0
        else:
            self.normal_run += 1

    def _move_baseline(self, value: float) -> None:
        difference = value - self.mean
        weight = max(self.figures.rate, 1.0 / (self.count + 1.0))
        if abs(self._deviation(value)) >= self.figures.high:
            self.far_run += 1
            if self.far_run >= self.figures.relearn_after:
                self.mean, self.variance, self.count, self.far_run = value, 0.0, 1.0, 0
                return
            weight *= self.figures.flagged_weight
            difference = math.copysign(self.figures.high * self._scale(), difference)
        else:
            self.far_run = 0
        moved = weight * difference
        self.mean += moved
        self.variance = (1.0 - weight) * (self.variance + moved * difference)
        self.count += 1.0


def _grade_beyond(crossed: float) -> int:
    if crossed >= 1.0:
        return Severity.CRITICAL
    return Severity.MEDIUM if crossed >= 0.0 else 0


def _bound_crossed(crossed: float, limits: Limits) -> float:
    if crossed >= 1.0:
        return limits.critical
    return limits.warn if crossed >= 0.0 else math.nan
