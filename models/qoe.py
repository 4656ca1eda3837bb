"""Judges playback QoE: which windows are bad, what explains it, and when it is over.

Each *scope* (a title, or all viewers) is judged by itself. Per window: roll the leaf cells up into cohorts
worth watching, test each measure against its baseline, and where one departs find the combinations that
explain the excess. Each of those that act at once starts an episode; it is told again when it worsens, and
ends when its own cell is clean. A window in trouble teaches nothing, unless the trouble lasts so long that it
must be called normal.

An episode needs a departure that is certain, a bound that is crossed, and viewers who are hurt by it. Whether
it may wake someone is another question: its p-value must be within the budget of false pages, which every
test spends from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from config import Settings
from models import words
from models.budget.spending import PageBudget
from models.cohort_stats import Departure, Proportion
from models.localisation import Cause as FoundCause
from models.localisation import Cells, Localiser
from models.qoe_baselines import Baselines, CohortTests, series_of
from models.qoe_cells import CellShapes, Cohort, Leaves
from models.qoe_episodes import EXTERNAL, Episode, Teller, overlap, subject_of
from models.qoe_measures import (
    AT,
    COLUMNS,
    PERCENTILES,
    PROPORTIONS,
    WORDINGS,
    Row,
    bounds,
    counts_of,
    value_of,
    viewers_hurt,
)
from models.qoe_told import described
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, Phase, Severity
from topics.cohorts import CohortWindow
from topics.fields import cell_key


class Scope(msgspec.Struct):
    """What is known of one scope."""

    baselines: Baselines = msgspec.field(default_factory=Baselines)
    episodes: list[Episode] = []
    seen_ms: int = 0


class _State(msgspec.Struct, array_like=True):
    scopes: dict[str, Scope]
    budget: bytes


@dataclass(frozen=True, slots=True)
class _Finding:
    cohort: Cohort
    departure: Departure
    severity: Severity


@dataclass(frozen=True, slots=True)
class _Seen:
    """A scope in a window: what it is made of, and what departs in it, worst first."""

    scope: Scope
    leaves: Leaves
    cohorts: list[Cohort]
    findings: list[_Finding]


class QoeJudge:
    """Judges merged windows, scope by scope.

    Args:
        settings: windows, cohorts, thresholds, the search for causes, levers, and the budget of false pages.
    """

    def __init__(self, settings: Settings) -> None:
        qoe = settings.qoe
        self._qoe = qoe
        self._localisation = settings.localisation
        self._bounds = bounds(qoe)
        self._shapes = CellShapes(qoe)
        self._tester = CohortTests(qoe)
        self._teller = Teller(settings, self._shapes)
        self._scopes: dict[str, Scope] = {}
        self.budget = PageBudget(
            settings.budget.false_pages_per_week * settings.budget.shares.cohorts,
            memory_ms=round(settings.budget.pace_memory_s * 1000),
            period_ms=round(settings.budget.pace_period_s * 1000),
        )

    def judge(self, window: MergedWindow) -> tuple[list[CohortWindow], list[Anomaly]]:
        """Return the cohorts of `window` and what is to be said of them."""
        tests = 0
        seen: list[_Seen] = []
        cohort_windows: list[CohortWindow] = []
        for leaves in self._shapes.split(window, self._behind_ms):
            scope = self._scopes.setdefault(leaves.name, Scope())
            scope.seen_ms = window.start_ms
            cohorts = list(self._shapes.cohorts(leaves))
            priors = self._tester.priors(scope.baselines, cohorts[0].sums)
            cohort_windows += [described(leaves, cohort, cohorts[0], self._qoe.scope) for cohort in cohorts]
            departures = [
                (cohort, departure)
                for cohort in cohorts
                for departure in self._tester.departures(scope.baselines, cohort, priors)
            ]
            tests += len(departures) + len(scope.episodes)
            seen.append(_Seen(scope, leaves, cohorts, self._worst_first(departures)))
        level = self._level(window, tests)
        anomalies = [anomaly for each in seen for anomaly in self._judge_scope(each, level)]
        anomalies += self._end_absent(window)
        self._forget()
        return cohort_windows, anomalies

    def snapshot(self) -> bytes:
        """Return all that is known."""
        return msgspec.msgpack.encode(_State(self._scopes, self.budget.snapshot()))

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told. Raises SnapshotError where the budget has changed since."""
        state = msgspec.msgpack.decode(data, type=_State)
        self._scopes = state.scopes
        self.budget.restore(state.budget)

    def _level(self, window: MergedWindow, tests: int) -> float:
        """Spend on so many tests, and return the p-value from which an episode pages."""
        if not tests:
            return self.budget.level
        # The pace of tests is known before the first: a window ends every so often.
        self.budget.expect(tests, self._qoe.slide_ms)
        end_ms = window.start_ms + window.window_ms
        return float(np.exp(self.budget.spend(np.full(tests, end_ms))[-1]))

    def _judge_scope(self, seen: _Seen, level: float) -> list[Anomaly]:
        scope, leaves = seen.scope, seen.leaves
        anomalies = self._follow(scope, leaves, level)
        if seen.findings:
            anomalies += self._start(scope, leaves, seen.findings, level)
        # An episode that ended within this window began in trouble: only a window without any is learned.
        lasting = any(each.windows > self._qoe.relearn_after_windows for each in scope.episodes)
        if lasting or not (seen.findings or scope.episodes):
            self._tester.learn(scope.baselines, leaves, seen.cohorts)
        return anomalies

    # -- tests --------------------------------------------------------------------------------------------

    def _worst_first(self, departures: list[tuple[Cohort, Departure]]) -> list[_Finding]:
        found = []
        for cohort, departure in departures:
            severity = self._severity(departure)
            if severity is not None and self._hurt(cohort.sums, departure) >= self._qoe.min_impact_viewers:
                found.append(_Finding(cohort, departure, severity))
        return sorted(found, key=lambda finding: (-finding.severity, -finding.departure.sigmas))

    def _severity(self, departure: Departure) -> Severity | None:
        """Return how bad a departure is: it must be certain, and beyond its bound."""
        bound = self._bounds[departure.metric]
        measured = departure.value if bound.of_value else departure.rise
        if departure.sigmas < self._qoe.sigmas_high or measured < bound.warn:
            return None
        if measured >= bound.critical and departure.sigmas >= self._qoe.sigmas_critical:
            return Severity.CRITICAL
        return Severity.HIGH

    @staticmethod
    def _hurt(sums: Row, departure: Departure) -> float:
        return viewers_hurt(sums, departure.metric, departure.value, departure.baseline, departure.excess)

    # -- episodes -----------------------------------------------------------------------------------------

    def _start(self, scope: Scope, leaves: Leaves, findings: list[_Finding], level: float) -> list[Anomaly]:
        """Start an episode of each cause that acts, or of the worst cohort where none is found."""
        worst = findings[0]
        causes = self._causes(scope, leaves, worst.departure.metric)
        usual = self._tester.usual_share(scope.baselines, worst.departure, worst.cohort.cell)
        said = []
        acting: list[FoundCause | None] = [cause for cause in causes if cause.acts]
        for cause in acting or [None]:
            cell = worst.cohort.cell if cause is None else cause.cell
            if any(overlap(cell, each.cell) for each in scope.episodes):
                continue
            departure = worst.departure if cause is None else self._in(leaves, cause, worst.departure)
            subject = subject_of(leaves.name, cell)
            is_percentile = departure.metric in PERCENTILES
            episode = Episode(
                subject=subject,
                metric=departure.metric,
                cell=cell,
                series=words.name(f"{subject}/{departure.metric}"),
                severity=worst.severity,
                expected=usual if cause is None else cause.expected_rate,
                started_ms=leaves.window.start_ms,
                explained=cause is not None,
                paged=math.exp(departure.log_p) <= level,
                baseline=departure.baseline if is_percentile else None,
            )
            scope.episodes.append(episode)
            self.budget.record(episodes=1, pages=int(episode.paged), static_pages=0)
            first = [] if cause is None else [cause, *(each for each in causes if each is not cause)]
            said.append(
                self._teller.anomaly(
                    episode,
                    leaves,
                    Phase.START,
                    departure=departure,
                    page_level=level,
                    impact=self._hurt(leaves.matching(cell), departure),
                    causes=first,
                    detail=f"{_sentence(worst)}; {EXTERNAL}" if cause is None else cause.contrast,
                )
            )
        return said

    def _in(self, leaves: Leaves, cause: FoundCause, worst: Departure) -> Departure:
        """Return the departure of the worst cohort as it is in the cell of a cause."""
        bad, total = self._tester.counts(leaves.matching(cause.cell), worst.metric)
        usual = Proportion(bad=cause.expected_rate * total, total=total, windows=1)
        inside = usual.departure(worst.metric, bad, total, cause.expected_rate)
        if worst.metric in PERCENTILES:
            inside = replace(inside, value=worst.value, baseline=worst.baseline, rise=worst.rise)
        # The test that was made is that of the cohort: a cell chosen for its excess proves no more.
        return replace(inside, sigmas=worst.sigmas, log_p=worst.log_p)

    def _causes(self, scope: Scope, leaves: Leaves, metric: str) -> list[FoundCause]:
        """Return what explains the departure of `metric`; a level has no counts to explain."""
        if metric not in PROPORTIONS:
            return []
        localiser = Localiser(self._localisation)
        for past in self._tester.past(scope.baselines, metric, leaves.dimensions):
            localiser.learn_one(past)
        bad, total = counts_of(leaves.sums, metric, self._qoe.observation_ms)
        return localiser.explain(Cells.of(leaves.dimensions, leaves.cells, bad, total), WORDINGS[metric])

    def _follow(self, scope: Scope, leaves: Leaves, level: float) -> list[Anomaly]:
        """Return what is to be said of the episodes that are on: worse, or over."""
        said = []
        for episode in list(scope.episodes):
            episode.windows += 1
            if self._is_unseen(episode, leaves):
                continue
            departure = self._still(scope, episode, leaves)
            if departure is None:
                episode.clean += 1
                if episode.clean >= self._qoe.clear_after_windows:
                    scope.episodes.remove(episode)
                    said.append(self._teller.anomaly(episode, leaves, Phase.END))
                continue
            episode.clean = 0
            severity = self._severity(departure) or episode.severity
            impact = self._hurt(leaves.matching(episode.cell), departure)
            causes = self._explained_at_last(scope, episode, leaves)
            grown = impact > self._qoe.impact_growth * max(episode.told_impact, 1.0)
            pages_now = not episode.paged and math.exp(departure.log_p) <= level
            if severity > episode.severity or causes or grown or pages_now:
                episode.severity = max(severity, episode.severity)
                episode.paged = episode.paged or pages_now
                self.budget.record(episodes=0, pages=int(pages_now), static_pages=0)
                said.append(
                    self._teller.anomaly(
                        episode,
                        leaves,
                        Phase.UPDATE,
                        departure=departure,
                        page_level=level,
                        impact=impact,
                        causes=causes,
                        detail=causes[0].contrast if causes else "",
                    )
                )
        return said

    def _is_unseen(self, episode: Episode, leaves: Leaves) -> bool:
        """Whether too few are left in the cell to say how it is: that nobody complains is no recovery."""
        if leaves.matching(episode.cell)[AT["viewers"]] >= self._qoe.min_viewers:
            episode.unseen = 0
            return False
        episode.unseen += 1
        return episode.unseen <= self._qoe.unseen_windows

    def _explained_at_last(self, scope: Scope, episode: Episode, leaves: Leaves) -> list[FoundCause]:
        """Return the causes of an episode that had none so far: the first window may show too little."""
        if episode.explained or episode.windows > self._qoe.explain_within_windows:
            return []
        causes = self._causes(scope, leaves, episode.metric)
        episode.explained = bool(causes)
        return causes

    def _still(self, scope: Scope, episode: Episode, leaves: Leaves) -> Departure | None:
        """Return the episode's departure while its cell is in trouble, held to half of what started it."""
        # Viewers of another trouble would keep this one alive.
        others = [each.cell for each in scope.episodes if each is not episode]
        which = leaves.without(episode.cell, others, self._qoe.min_viewers)
        sums = leaves.sums[which].sum(axis=0)
        metric = episode.metric
        if metric in PROPORTIONS:
            bad, total = self._tester.counts(sums, metric)
            if total <= 0:
                return None
            past = Proportion(bad=episode.expected * total, total=total, windows=1)
            departure = past.departure(metric, bad, total, episode.expected)
            if metric in PERCENTILES:
                value = self._shapes.percentile_in(leaves, which, metric)
                usual = episode.baseline or 0.0
                departure = replace(
                    departure, value=value or 0.0, baseline=usual, rise=(value or 0.0) - usual
                )
        else:
            value = value_of(sums, metric)
            level = scope.baselines.levels.get(series_of(metric, cell_key(episode.cell)))
            if value is None or level is None:
                return None
            departure = self._tester.of_level(level, metric, value)
        bound = self._bounds[metric]
        measured = departure.value if bound.of_value else departure.rise
        holds = departure.sigmas >= self._qoe.sigmas_high / 2 and measured >= bound.warn / 2
        return departure if holds else None

    def _end_absent(self, window: MergedWindow) -> list[Anomaly]:
        """End the episodes of scopes that no one watches any more."""
        said = []
        for name, scope in self._scopes.items():
            if scope.seen_ms == window.start_ms or not scope.episodes:
                continue
            leaves = Leaves(name, (), [], np.zeros((0, len(COLUMNS))), {}, window)
            for episode in scope.episodes:
                said.append(self._teller.anomaly(episode, leaves, Phase.END, detail="no viewers are left"))
            scope.episodes = []
        return said

    def _behind_ms(self, name: str) -> float | None:
        scope = self._scopes.get(name)
        return None if scope is None else self._tester.behind_ms(scope.baselines)

    def _forget(self) -> None:
        """Keep the scopes seen last, so that titles that come and go do not pile up."""
        excess = len(self._scopes) - 2 * self._qoe.max_scopes
        if excess > 0:
            for name in sorted(self._scopes, key=lambda name: (self._scopes[name].seen_ms, name))[:excess]:
                del self._scopes[name]


def _sentence(finding: _Finding) -> str:
    departure = finding.departure
    return (
        f"{departure.metric} of {cell_key(finding.cohort.cell)} is {departure.value:.4g},"
        f" expected {departure.baseline:.4g}"
    )
