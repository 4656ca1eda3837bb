"""The rules by which a bank judges its series, and one series judged by them.

`BankDetector` states the rules one sample at a time; `SeriesBank` applies the same to many series at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import Final, NamedTuple

import numpy as np

from models.anomaly.base import ALARM_SCORE, RELATIVE_SCALE, SMALLEST_SCALE, bounded, graded, scale_of
from models.anomaly.state import Stateful
from models.anomaly.thresholds import progress, score_beyond
from models.budget.evidence import EvidenceFigures
from topics.anomalies import Severity

NEVER_PAGES: Final = -math.inf
"""The ln p-value that nothing falls below: without a budget there are no pages."""


class EpisodePhase(IntEnum):
    """What a sample changes about its series' episode."""

    NONE = 0
    STARTED = 1
    WORSENED = 2
    ENDED = 3


class Paging(IntEnum):
    """Whether an episode has fallen below the level of pages."""

    NO = 0
    NOW = 1
    BEFORE = 2


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
        page_after: Flagged samples it takes to page, unless one crosses a critical static bound: a single
            wild sample is a glitch.
        evidence: How rare an episode is held to be.
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
    page_after: int
    evidence: EvidenceFigures


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
    log_p: float
    """ln of the chance that a healthy sample starts an episode with the evidence of this one so far."""
    pages: Paging
    """Whether the episode pages, by this sample or by one before."""


@dataclass
class BankDetector(Stateful):
    """Judge one series by its exponentially weighted baseline and its static limits, and keep its episode.

    An episode starts when enough samples in a row are flagged (`open_after`; fewer when they are worse),
    worsens when its severity rises or it falls below the level of pages, and ends after `clear_after` normal
    samples. What an episode that is over tells of the size of the next one is learned; one that paged only
    up to where it did, so that an outage does not hide the next.

    An anomaly teaches within limits: a sample more than `high` deviations off teaches as if it were at
    `high`, with `flagged_weight` of its ordinary weight. When `relearn_after` samples in a row are so far
    off, their level is the new normal: the baseline starts afresh from the last of them. A sample that only
    crosses a static bound is learned as any other.

    Args:
        figures: Shared by all series.
        limits: Of this one.
        opened_ms: Since when it is known.

    Example:
        >>> figures = BankFigures(rate=0.002, scoring_samples=50, baseline_samples=100, high=3.0,
        ...                       critical=5.0, flagged_weight=0.1, relearn_after=1000,
        ...                       open_after=(3, 2, 2, 1), clear_after=5, page_after=2,
        ...                       evidence=EvidenceFigures(2.0, 1.0, 10.0, 2.5, 0, 1e8, 0.01))
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
    opened_ms: int = 0
    mean: float = field(init=False, default=0.0)
    variance: float = field(init=False, default=0.0)
    count: float = field(init=False, default=0.0)
    far_run: int = field(init=False, default=0)
    flagged_run: int = field(init=False, default=0)
    normal_run: int = field(init=False, default=0)
    open_severity: int = field(init=False, default=0)
    evidence: float = field(init=False, default=0.0)
    episodes: float = field(init=False, default=0.0)
    log_sum: float = field(init=False, default=0.0)
    static_episodes: float = field(init=False, default=0.0)
    crossed: bool = field(init=False, default=False)
    paged: bool = field(init=False, default=False)

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the greater of the scores against the baseline and against the static limits."""
        return self.judge_one(time_ms, value).score

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn the sample into the baseline and the episode."""
        self.step_one(time_ms, value)

    def step_one(self, time_ms: int, value: float, page_log_p: float = NEVER_PAGES) -> Verdict:
        """Judge the sample, then learn it."""
        verdict = self.judge_one(time_ms, value, page_log_p)
        self._move_episode(verdict, value)
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

    def judge_one(self, time_ms: int, value: float, page_log_p: float = NEVER_PAGES) -> Verdict:
        """Return the verdict on the sample; nothing changes.

        Args:
            time_ms: When it was taken.
            value: What it is.
            page_log_p: ln of the p-value from which an episode pages.
        """
        value = bounded(value)
        deviation = self._deviation(value)
        strength = abs(deviation) if deviation * self.limits.worse >= 0.0 else 0.0
        crossed = progress(value, self.limits.warn, self.limits.critical)
        score = max(graded(strength, self.figures.high, self.figures.critical), score_beyond(crossed))
        severity = max(self._grade(strength), _grade_beyond(crossed))
        log_p = 0.0
        if severity:
            log_p = self._log_p(time_ms, self._excess(strength, crossed), crossed >= 1.0)
        lasts = self.flagged_run + 1 >= self.figures.page_after or self.crossed or crossed >= 1.0
        phase, pages = self._phase(severity, lasts and log_p <= page_log_p)
        return Verdict(
            score=score,
            severity=severity,
            baseline=self.mean,
            deviation_sigmas=deviation if self._known else math.nan,
            bound=_bound_crossed(crossed, self.limits),
            phase=phase,
            log_p=log_p,
            pages=pages,
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

    def _excess(self, strength: float, crossed: float) -> float:
        excess = max(strength / self.figures.high, 1.0 + crossed if crossed >= 0.0 else 0.0)
        return min(excess, self.figures.evidence.most_excess)

    def _log_p(self, time_ms: int, excess: float, critical: bool) -> float:
        return self.figures.evidence.log_p(
            time_ms - self.opened_ms,
            self.count,
            self.episodes,
            self.log_sum,
            self.evidence if self.paged else self.evidence + excess,
            self.static_episodes,
            self.crossed or critical,
        )

    def _phase(self, severity: int, rare: bool) -> tuple[EpisodePhase, Paging]:
        """Return what the sample changes about the episode, and whether that pages."""
        if severity > 0 and self.open_severity == 0:
            starts = self.flagged_run + 1 >= self.figures.open_after[severity - 1]
            phase = EpisodePhase.STARTED if starts else EpisodePhase.NONE
            return phase, Paging.NOW if starts and rare else Paging.NO
        pages = Paging.BEFORE if self.paged else Paging.NOW if severity > 0 and rare else Paging.NO
        if severity > self.open_severity or pages is Paging.NOW:
            return EpisodePhase.WORSENED, pages
        if severity == 0 < self.open_severity and self.normal_run + 1 >= self.figures.clear_after:
            return EpisodePhase.ENDED, pages
        return EpisodePhase.NONE, pages

    def _move_episode(self, verdict: Verdict, value: float) -> None:
        if verdict.severity > 0:
            self._move_evidence(verdict, progress(bounded(value), self.limits.warn, self.limits.critical))
            self.flagged_run += 1
            self.normal_run = 0
            if verdict.phase is not EpisodePhase.NONE:
                self.open_severity = max(self.open_severity, verdict.severity)
        elif self.open_severity == 0 or verdict.phase is EpisodePhase.ENDED:
            if self.flagged_run:
                self.episodes += 1.0
                self.log_sum += float(np.log(self.evidence))
                self.static_episodes += float(self.crossed)
            self.flagged_run = self.normal_run = self.open_severity = 0
            self.evidence, self.crossed, self.paged = 0.0, False, False
        else:
            self.normal_run += 1

    def _move_evidence(self, verdict: Verdict, crossed: float) -> None:
        if not self.paged:
            sigmas = verdict.deviation_sigmas
            known = not math.isnan(sigmas) and sigmas * self.limits.worse >= 0.0
            self.evidence += self._excess(abs(sigmas) if known else 0.0, crossed)
        self.crossed |= crossed >= 1.0
        self.paged |= verdict.pages > 0

    def _move_baseline(self, value: float) -> None:
        difference = value - self.mean
        weight = max(self.figures.rate, 1.0 / (self.count + 1.0))
        if abs(self._deviation(value)) >= self.figures.high:
            self.far_run += 1
            if self.far_run >= self.figures.relearn_after:
                self.mean, self.variance, self.count, self.far_run = value, 0.0, 1.0, 0
                self.episodes = self.log_sum = 0.0
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
