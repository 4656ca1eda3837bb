"""One series of windows judged by a learned model: its episodes, and whether they page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from models.anomaly.bank import NEVER_PAGES, EpisodePhase, Paging
from models.anomaly.base import ALARM_SCORE, CRITICAL_SCORE, Detector
from models.anomaly.moments import Moments
from models.anomaly.state import STATE, Stateful
from models.budget.evidence import EvidenceFigures
from topics.anomalies import Severity


@dataclass(frozen=True, slots=True)
class LearnedFigures:
    """The figures that all series share.

    Args:
        open_after: Flagged windows in a row that open an episode, at high and at critical severity.
        clear_after: Normal windows in a row that end one.
        page_after: Flagged windows that it takes to page.
        baseline_rate: Forgetting rate of the level that says which way a window departs.
        evidence: How rare an episode is held to be.
    """

    open_after: tuple[int, int]
    clear_after: int
    page_after: int
    baseline_rate: float
    evidence: EvidenceFigures


class LearnedVerdict(NamedTuple):
    """What is held of one window, judged before it is learned."""

    score: float
    severity: int
    """0, or a `Severity`."""
    baseline: float
    phase: EpisodePhase
    log_p: float
    """ln of the chance that a healthy window starts an episode with the evidence of this one so far."""
    pages: Paging


@dataclass
class LearnedSeries(Stateful):
    """Judge the windows of one series by a model, and keep its episode.

    Only the worse side counts: a window on the better side of the level so far scores 0. An episode starts
    when enough windows in a row are flagged, worsens when its severity rises or it falls below the level of
    pages, and ends after `clear_after` normal windows, so that one trouble is told once. Its evidence is the
    sum of its windows' excesses, each how many times the model's bound it is; how rare that is follows from
    the series' own earlier episodes (`models.budget.evidence`), and no rarer than the windows seen allow.

    What an anomaly teaches the model is the model's own choice.

    Args:
        figures: Shared by all series.
        worse: 1 where more is worse, -1 where less is, 0 where either is.
        model: The learned model, with nothing learned yet.

    Example:
        >>> from config import load
        >>> from models.anomaly.build import forecast_error, learned_figures
        >>> settings = load({}).settings
        >>> series = LearnedSeries(learned_figures(settings.learned, settings.detection), 1,
        ...                        forecast_error(settings.detection))
        >>> for window in range(200):
        ...     verdict = series.step_one(window * 10_000, 100.0 + window % 3)
        >>> verdict.severity, series.step_one(2_000_000, 150.0).phase.name
        (0, 'STARTED')
        >>> [series.step_one(2_010_000 + window * 10_000, 101.0).phase.name for window in range(3)][-1]
        'ENDED'
    """

    figures: LearnedFigures
    worse: int
    model: Detector = field(metadata={"role": STATE})
    _level: Moments = field(init=False)
    _opened_ms: int = field(init=False, default=0)
    _windows: float = field(init=False, default=0.0)
    _flagged_run: int = field(init=False, default=0)
    _normal_run: int = field(init=False, default=0)
    open_severity: int = field(init=False, default=0)
    _evidence: float = field(init=False, default=0.0)
    _episodes: float = field(init=False, default=0.0)
    _log_sum: float = field(init=False, default=0.0)
    _paged: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._level = Moments(self.figures.baseline_rate)

    def step_one(self, time_ms: int, value: float, page_log_p: float = NEVER_PAGES) -> LearnedVerdict:
        """Judge the window, then learn it.

        Raises:
            ValueError: the value is not finite.
        """
        if not self._windows:
            self._opened_ms = time_ms
        verdict = self._judge(time_ms, value, page_log_p)
        self._move_episode(verdict)
        self.model.learn_one(time_ms, value)
        self._level.learn(value)
        self._windows += 1.0
        return verdict

    def _judge(self, time_ms: int, value: float, page_log_p: float) -> LearnedVerdict:
        score = self.model.score_one(time_ms, value)
        baseline = self._level.mean
        if (value - baseline) * self.worse < 0.0:
            score = 0.0
        severity = 0
        if score >= ALARM_SCORE:
            severity = Severity.CRITICAL if score >= CRITICAL_SCORE else Severity.HIGH
        log_p = self._log_p(time_ms, score) if severity else 0.0
        lasts = self._flagged_run + 1 >= self.figures.page_after
        phase, pages = self._phase(severity, lasts and log_p <= page_log_p)
        return LearnedVerdict(score, severity, baseline, phase, log_p, pages)

    def _log_p(self, time_ms: int, score: float) -> float:
        evidence = self._evidence if self._paged else self._evidence + self._excess(score)
        known_ms = time_ms - self._opened_ms
        figures = self.figures.evidence
        return figures.log_p(known_ms, self._windows, self._episodes, self._log_sum, evidence, 0.0, False)

    def _excess(self, score: float) -> float:
        """Return how many times the model's first bound the window is, on the scale of `base.graded`."""
        if score < CRITICAL_SCORE:
            excess = score / ALARM_SCORE
        else:
            excess = CRITICAL_SCORE / ALARM_SCORE * (1.0 - CRITICAL_SCORE) / max(1.0 - score, 1e-9)
        return min(excess, self.figures.evidence.most_excess)

    def _phase(self, severity: int, rare: bool) -> tuple[EpisodePhase, Paging]:
        if severity and not self.open_severity:
            needed = self.figures.open_after[int(severity >= Severity.CRITICAL)]
            if self._flagged_run + 1 < needed:
                return EpisodePhase.NONE, Paging.NO
            return EpisodePhase.STARTED, Paging.NOW if rare else Paging.NO
        pages = Paging.BEFORE if self._paged else Paging.NOW if severity and rare else Paging.NO
        if severity > self.open_severity or pages is Paging.NOW:
            return EpisodePhase.WORSENED, pages
        if not severity and self.open_severity and self._normal_run + 1 >= self.figures.clear_after:
            return EpisodePhase.ENDED, pages
        return EpisodePhase.NONE, pages

    def _move_episode(self, verdict: LearnedVerdict) -> None:
        if verdict.severity:
            if not self._paged:
                self._evidence += self._excess(verdict.score)
            self._paged |= verdict.pages > 0
            self._flagged_run += 1
            self._normal_run = 0
            if verdict.phase is not EpisodePhase.NONE:
                self.open_severity = max(self.open_severity, verdict.severity)
        elif not self.open_severity or verdict.phase is EpisodePhase.ENDED:
            if self._flagged_run:
                self._episodes += 1.0
                self._log_sum += float(np.log(self._evidence))
            self._flagged_run = self._normal_run = self.open_severity = 0
            self._evidence, self._paged = 0.0, False
        else:
            self._normal_run += 1
