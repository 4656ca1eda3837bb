"""Starts episodes of playback trouble: what is at fault, in one scope or in several that share it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from config import Settings
from models import words
from models.budget.spending import PageBudget
from models.cohort_stats import Departure, Proportion
from models.localisation import Cause as FoundCause
from models.localisation import Cells, Localiser
from models.qoe_baselines import CohortTests, series_of
from models.qoe_cells import CellShapes, Cohort, Leaves, Percentiles
from models.qoe_episodes import EXTERNAL, Episode, Teller, overlap, subject_of
from models.qoe_measures import LEVELS, PERCENTILES, PROPORTIONS, WORDINGS, counts_of
from models.qoe_pool import Pool
from models.qoe_scopes import Scope, Seen, Verdicts
from models.qoe_sharing import Candidate, Shared, Sharing, names
from topics.anomalies import Anomaly, Phase
from topics.fields import Cell, cell_key


class Starter:
    """Finds what is at fault where something departs, and starts its episode."""

    def __init__(
        self,
        settings: Settings,
        tester: CohortTests,
        shapes: CellShapes,
        teller: Teller,
        verdicts: Verdicts,
        budget: PageBudget,
        sharing: Sharing,
    ) -> None:
        self._localisation = settings.localisation
        self._observation_ms = settings.qoe.observation_ms
        self._tester = tester
        self._shapes = shapes
        self._teller = teller
        self._verdicts = verdicts
        self._budget = budget
        self._sharing = sharing

    def start(self, shared: Scope, seen: Sequence[Seen], pool: Pool, level: float) -> list[Anomaly]:
        """Start the episodes that scopes share, and of each scope those of what they do not explain.

        Args:
            shared: what scopes share so far.
            pool: all of `seen` side by side.
            level: the p-value from which an episode pages.
        """
        said: list[Anomaly] = []
        found: list[Candidate] = []
        waiting = deque(each for each in seen if each.findings)
        while waiting:
            rest = self._unexplained(shared, waiting.popleft())
            if rest is None:
                continue
            found += self._candidates(rest)
            cause = self._sharing.find(found, pool) if len(seen) > 1 else None
            if cause is None:
                continue
            said.append(self._start_shared(shared, cause, pool, level))
            # What else these scopes have is to be found among those whom the shared cause leaves out.
            anew = {each.scope for each in found if overlap(each.cell, cause.cell)}
            waiting.extendleft(each for each in reversed(seen) if each.leaves.name in anew)
            found = [each for each in found if each.scope not in anew]
        for candidate in found:
            if not any(overlap(candidate.cell, each.cell) for each in candidate.seen.scope.episodes):
                said.append(self._start_own(candidate, level))
        return said

    def _unexplained(self, shared: Scope, seen: Seen) -> Seen | None:
        """Return of a scope what departs among those whom no shared cause holds; None where nothing does."""
        if not shared.episodes:
            return seen
        outside = ~np.any([seen.leaves.inside(each.cell) for each in shared.episodes], axis=0)
        if outside.all():
            return seen
        leaves = seen.leaves.only(outside)
        cohorts = {finding.cohort.key: self._left_of(finding.cohort, leaves) for finding in seen.findings}
        findings = self._verdicts.worst_first(
            (cohort, departure)
            for cohort in cohorts.values()
            for departure in self._tester.departures(seen.scope.baselines, cohort, seen.priors, seen.factors)
        )
        return replace(seen, leaves=leaves, findings=findings) if findings else None

    def _left_of(self, cohort: Cohort, leaves: Leaves) -> Cohort:
        inside = leaves.inside(cohort.cell)
        percentiles = {
            duration: Percentiles(None, self._shapes.percentile_in(leaves, inside, metric))
            for metric, duration in PERCENTILES.items()
            if duration in leaves.sketches
        }
        return replace(cohort, sums=leaves.sums[inside].sum(axis=0).tolist(), percentiles=percentiles)

    def _candidates(self, seen: Seen) -> list[Candidate]:
        """Return each cause that acts, or the worst cohort where none is found.

        What explains an excess may be hardly worse than usual itself, where the excess is spread thin: nobody
        is to be moved for that, and an episode of it would be over in its first window.
        """
        worst = seen.findings[0]
        causes = self.causes(seen, worst.departure.metric)
        found = []
        for cause in [cause for cause in causes if cause.acts]:
            departure = self._in(seen.leaves, cause, worst.departure)
            if not self._verdicts.lasts(departure):
                continue
            impact = self._verdicts.hurt(seen.leaves.matching(cause.cell), departure)
            named = [cause, *(each for each in causes if each is not cause)]
            found.append(Candidate(seen, worst, cause.cell, named, departure, impact))
        if found:
            return found
        cell = worst.cohort.cell
        impact = self._verdicts.hurt(seen.leaves.matching(cell), worst.departure)
        return [Candidate(seen, worst, cell, [], worst.departure, impact)]

    def _start_own(self, found: Candidate, level: float) -> Anomaly:
        """Start an episode of one scope."""
        seen, departure = found.seen, found.departure
        cause = found.causes[0] if found.causes else None
        usual = self._tester.usual_share(seen.scope.baselines, departure, found.cell, seen.factors)
        subject = subject_of(seen.leaves.name, found.cell)
        factor = seen.factors.share(departure.metric)
        episode = Episode(
            subject=subject,
            metric=departure.metric,
            cell=found.cell,
            series=words.name(f"{subject}/{departure.metric}"),
            severity=found.worst.severity,
            expected=usual if cause is None else cause.expected_rate,
            started_ms=seen.leaves.window.start_ms,
            explained=cause is not None and bool(cause.cell),
            everyones=cause is not None and not cause.cell,
            paged=math.exp(departure.log_p) <= level,
            baseline=departure.baseline if departure.metric in PERCENTILES else None,
            factor=factor.times,
            unsure=factor.unsure / factor.times,
        )
        seen.scope.episodes.append(episode)
        self._budget.record(episodes=1, pages=int(episode.paged), static_pages=0)
        return self._teller.anomaly(
            episode,
            seen.leaves,
            Phase.START,
            departure=departure,
            page_level=level,
            impact=found.impact,
            causes=found.causes,
            detail=f"{_sentence(found)}; {EXTERNAL}" if cause is None else cause.contrast,
        )

    def _start_shared(self, known: Scope, shared: Shared, pool: Pool, level: float) -> Anomaly:
        """Start an episode of all viewers, or make it of one that a scope has already.

        What one scope had first goes on as everybody's, under its name: it has its incident, which need not
        wake anybody again.
        """
        departure, cell = shared.departure, dict(shared.cell)
        metric = departure.metric
        cause = self._sharing.cause(metric, cell, shared.score, pool) if shared.score else None
        hour = shared.lead.seen.factors.share(metric)
        first = _first_of(cell, [known, *(each.scope for each in pool.seen)])
        episode, phase = None, Phase.START
        if first is not None and first[1].metric == metric:
            first[0].episodes.remove(first[1])
            episode, phase = first[1], Phase.UPDATE
        pages = math.exp(departure.log_p) <= level
        subject = subject_of("", cell) if first is None else first[1].subject
        began = Episode(
            subject=subject,
            metric=metric,
            cell=cell,
            series=words.name(f"{subject}/{metric}") if episode is None else episode.series,
            severity=max(shared.severity, episode.severity if episode is not None else shared.severity),
            expected=pool.share(metric, cell),
            started_ms=pool.leaves.window.start_ms if episode is None else episode.started_ms,
            windows=1 if episode is None else episode.windows,
            explained=cause is not None,
            told_impact=0.0 if episode is None else episode.told_impact,
            paged=pages or (episode is not None and episode.paged),
            baseline=departure.baseline if metric in PERCENTILES else None,
            cause_score=shared.score,
            factor=pool.factor(metric, cell),
            unsure=hour.unsure / hour.times,
        )
        known.episodes.append(began)
        if metric in LEVELS:
            known.baselines.levels[series_of(metric, cell_key(cell))] = pool.level(metric, cell)
        newly_paged = began.paged and not (episode is not None and episode.paged)
        self._budget.record(episodes=int(episode is None), pages=int(newly_paged), static_pages=0)
        unexplained = f"{_sentence(shared.lead)}; {EXTERNAL}; {self._sharing.evidence(metric, cell, pool)}"
        return self._teller.anomaly(
            began,
            pool.leaves,
            phase,
            departure=departure,
            page_level=level,
            impact=self._verdicts.hurt(pool.leaves.matching(cell), departure),
            causes=[] if cause is None else [cause],
            detail=unexplained if cause is None else cause.contrast,
        )

    def _in(self, leaves: Leaves, cause: FoundCause, worst: Departure) -> Departure:
        """Return the departure of the worst cohort as it is in the cell of a cause."""
        bad, total = self._tester.counts(leaves.matching(cause.cell), worst.metric)
        usual = Proportion(bad=cause.expected_rate * total, total=total, windows=1)
        inside = usual.departure(worst.metric, bad, total, cause.expected_rate)
        if worst.metric in PERCENTILES:
            inside = replace(inside, value=worst.value, baseline=worst.baseline, rise=worst.rise)
        # The test that was made is that of the cohort: a cell chosen for its excess proves no more.
        return replace(inside, sigmas=worst.sigmas, log_p=worst.log_p)

    def causes(self, seen: Seen, metric: str) -> list[FoundCause]:
        """Return what explains the departure of `metric`; a level has no counts to explain."""
        if metric not in PROPORTIONS:
            return []
        leaves = seen.leaves
        localiser = Localiser(self._localisation)
        for past in self._tester.past(seen.scope.baselines, metric, leaves.dimensions, seen.factors):
            localiser.learn_one(past)
        bad, total = counts_of(leaves.sums, metric, self._observation_ms)
        return localiser.explain(Cells.of(leaves.dimensions, leaves.cells, bad, total), WORDINGS[metric])


def _first_of(cell: Cell, scopes: Iterable[Scope]) -> tuple[Scope, Episode] | None:
    """Return the oldest episode about the cell or what is inside it, and whose it is."""
    on = [(scope, episode) for scope in scopes for episode in scope.episodes if names(cell, episode.cell)]
    return min(on, key=lambda each: (each[1].started_ms, each[1].subject), default=None)


def _sentence(found: Candidate) -> str:
    departure = found.worst.departure
    return (
        f"{departure.metric} of {cell_key(found.cell)} is {departure.value:.4g},"
        f" expected {departure.baseline:.4g}"
    )
