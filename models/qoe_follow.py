"""Follows episodes of playback trouble while they last: worse, explained at last, or over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from config.sections import QoeSettings
from models.budget.spending import PageBudget
from models.cohort_stats import Departure, Factor, Proportion
from models.localisation import Cause as FoundCause
from models.qoe_baselines import CohortTests, series_of
from models.qoe_cells import CellShapes, Leaves
from models.qoe_episodes import Episode, Teller, overlap
from models.qoe_measures import AT, PERCENTILES, PROPORTIONS, value_of
from models.qoe_scopes import Scope, Verdicts
from topics.anomalies import Anomaly, Phase
from topics.fields import Cell, cell_key


class Explains(Protocol):
    """Says what is behind an episode that goes on, and what is to be expected meanwhile."""

    def at_last(self, episode: Episode) -> list[FoundCause]:
        """Return the causes of an episode that had none so far; none where there is nothing new."""
        ...

    def again(self, episode: Episode) -> list[FoundCause]:
        """Return the causes as they are now, where it pays to tell them once more."""
        ...

    def factor(self, metric: str, cell: Cell) -> Factor:
        """Return what the hour does to the baseline."""
        ...


class Follower:
    """Follows the episodes of a scope, or of all scopes together."""

    def __init__(
        self,
        qoe: QoeSettings,
        tester: CohortTests,
        shapes: CellShapes,
        teller: Teller,
        verdicts: Verdicts,
        budget: PageBudget,
    ) -> None:
        self._qoe = qoe
        self._tester = tester
        self._shapes = shapes
        self._teller = teller
        self._verdicts = verdicts
        self._budget = budget

    def follow(
        self,
        scope: Scope,
        leaves: Leaves,
        explains: Explains,
        level: float,
        beside: Sequence[Cell] = (),
    ) -> list[Anomaly]:
        """Return what is to be said of the episodes that are on.

        Args:
            leaves: of the scope, or of all scopes.
            level: the p-value from which an episode pages.
            beside: cells of trouble that is followed elsewhere: their viewers prove nothing here.
        """
        said = []
        for episode in list(scope.episodes):
            episode.windows += 1
            if self._is_unseen(episode, leaves):
                continue
            departure = self._still(
                scope, episode, leaves, beside, explains.factor(episode.metric, episode.cell)
            )
            if departure is None:
                episode.clean += 1
                if episode.clean >= self._qoe.clear_after_windows:
                    scope.episodes.remove(episode)
                    said.append(self._teller.anomaly(episode, leaves, Phase.END))
                continue
            episode.clean = 0
            causes = self._explained_at_last(episode, explains)
            if causes and _is_about(episode, causes[0], scope, explains):
                factor = explains.factor(episode.metric, episode.cell)
                departure = self._still(scope, episode, leaves, beside, factor) or departure
            severity = self._verdicts.severity(departure) or episode.severity
            impact = self._verdicts.hurt(leaves.matching(episode.cell), departure)
            grown = impact > self._qoe.impact_growth * max(episode.told_impact, 1.0)
            pages_now = not episode.paged and math.exp(departure.log_p) <= level
            if severity > episode.severity or causes or grown or pages_now:
                episode.severity = max(severity, episode.severity)
                episode.paged = episode.paged or pages_now
                self._budget.record(episodes=0, pages=int(pages_now), static_pages=0)
                causes = causes or explains.again(episode)
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

    def _explained_at_last(self, episode: Episode, explains: Explains) -> list[FoundCause]:
        """Return the causes of an episode that had none so far: the first window may show too little.

        That it is everyone's is told, and looked at again: a fault reaches others for a while, as those who
        leave it take their stalls along.
        """
        if episode.explained or episode.windows > self._qoe.explain_within_windows:
            return []
        causes = explains.at_last(episode)
        episode.explained = bool(causes and causes[0].cell)
        if not episode.explained and episode.everyones:
            return []
        episode.everyones = bool(causes)
        return causes

    def _still(
        self, scope: Scope, episode: Episode, leaves: Leaves, beside: Sequence[Cell], factor: Factor
    ) -> Departure | None:
        """Return the episode's departure while its cell is in trouble, held to half of what started it."""
        # Viewers of another trouble would keep this one alive.
        others = [*beside, *(each.cell for each in scope.episodes if each is not episode)]
        which = leaves.without(episode.cell, others, self._qoe.min_viewers)
        sums = leaves.sums[which].sum(axis=0)
        metric = episode.metric
        if metric in PROPORTIONS:
            bad, total = self._tester.counts(sums, metric)
            if total <= 0:
                return None
            expected = min(episode.expected * factor.times / episode.factor, 1.0)
            spread = (expected * episode.unsure) ** 2
            past = Proportion(bad=expected * total, total=total, spread=spread, windows=1)
            departure = past.departure(metric, bad, total, expected)
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
            departure = self._tester.of_level(level, metric, value, factor)
        return departure if self._verdicts.lasts(departure) else None


def _is_about(episode: Episode, cause: FoundCause, scope: Scope, explains: Explains) -> bool:
    """Let the episode be about its cause from now on, and say whether it was about another cell before.

    Else it would be over once those are well who were moved away from the cause.
    """
    others = (each.cell for each in scope.episodes if each is not episode)
    if not cause.cell or cause.cell == episode.cell or any(overlap(cause.cell, each) for each in others):
        return False
    factor = explains.factor(episode.metric, cause.cell)
    episode.cell, episode.expected = dict(cause.cell), cause.expected_rate
    episode.factor, episode.unsure = factor.times, factor.unsure / factor.times
    return True
