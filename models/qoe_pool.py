"""All scopes of a window side by side: how a cell does in some of them, or in all, against what is usual."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from config.sections import QoeSettings
from models.cohort_stats import Departure, Factor, Level, Proportion
from models.qoe_baselines import EVERYONE, Baselines, CohortTests, series_of
from models.qoe_cells import CellShapes, side_by_side
from models.qoe_measures import (
    AT,
    LEVELS,
    PERCENTILES,
    PROPORTIONS,
    Floats,
    counts_of,
    value_of,
)
from models.qoe_scopes import Seen
from models.window_merge import MergedWindow
from topics.fields import Cell, cell_key

Mask = NDArray[np.bool_]


class Pool:
    """The scopes of one window as one population.

    What is usual of a cell is known scope by scope, so it is the mean of that over the scopes, weighted by
    what is counted in each now: it does not move with the mix of those who watch.
    """

    def __init__(
        self,
        qoe: QoeSettings,
        tester: CohortTests,
        shapes: CellShapes,
        seen: Sequence[Seen],
        window: MergedWindow,
    ) -> None:
        self._qoe = qoe
        self._tester = tester
        self._shapes = shapes
        self.seen = seen
        self.leaves = side_by_side([each.leaves for each in seen], window)
        self._scope = np.repeat(np.arange(len(seen)), [len(each.leaves.cells) for each in seen])
        self.known = np.array(
            [each.scope.baselines.windows >= qoe.warmup_windows for each in seen], dtype=bool
        )
        """By scope, whether it has been seen for long enough to say what is usual."""
        self._inside: dict[str, Mask] = {}
        self._usual: dict[tuple[str, str], Floats] = {}

    def inside(self, cell: Cell) -> Mask:
        """Return which leaves are in `cell`."""
        key = cell_key(cell)
        if key not in self._inside:
            self._inside[key] = self.leaves.inside(cell)
        return self._inside[key]

    def departure(
        self, metric: str, cell: Cell, scopes: Mask | None = None, without: Cell | None = None
    ) -> Departure | None:
        """Return how far the viewers in `cell` are from what is usual of them; None where nothing tells.

        Args:
            scopes: only those of some scopes; each must be `known`.
            without: all but those in this cell.
        """
        which = self.inside(cell)
        if without is not None:
            which = which & ~self.inside(without)
        if scopes is not None:
            which = which & scopes[self._scope]
        usual = self._usual_of(metric, cell)
        weights = self._weights(metric, which)
        told = self.known & np.isfinite(usual) & (weights > 0)
        if not told.any():
            return None
        mean = float(np.average(usual[told], weights=weights[told]))
        if metric in LEVELS:
            value = value_of(self.leaves.sums[which].sum(axis=0), metric)
            level = self.level(metric, cell, told, weights)
            factor = Factor(mean / level.mean if level.mean > 0 else 1.0)
            return None if value is None else self._tester.of_level(level, metric, value, factor)
        bad, total = self._tester.counts(self.leaves.sums[which].sum(axis=0), metric)
        found = Proportion(bad=mean * total, total=total, windows=1).departure(metric, bad, total, mean)
        if metric not in PERCENTILES:
            return found
        value = self._shapes.percentile_in(self.leaves, which, metric)
        tail = self._percentile_usual(metric, cell, weights)
        return None if value is None else replace(found, value=value, baseline=tail, rise=value - tail)

    def share(self, metric: str, cell: Cell) -> float:
        """Return the share in `cell` that is bad in health; of a level its mean."""
        usual, weights = self._usual_of(metric, cell), self._weights(metric, self.inside(cell))
        told = self.known & np.isfinite(usual) & (weights > 0)
        return float(np.average(usual[told], weights=weights[told])) if told.any() else 0.0

    def level(
        self, metric: str, cell: Cell, told: Mask | None = None, weights: Floats | None = None
    ) -> Level:
        """Return what is usual of a mean, whatever the hour; scopes wander together, so spreads add up."""
        weights = self._weights(metric, self.inside(cell)) if weights is None else weights
        usual = self._usual_of(metric, cell)
        told = self.known & np.isfinite(usual) & (weights > 0) if told is None else told
        if not told.any():
            return Level()
        levels = [
            self._levels(number)[series_of(metric, cell_key(cell))]
            for number in np.flatnonzero(told).tolist()
        ]
        spread = np.average([math.sqrt(each.variance) for each in levels], weights=weights[told])
        return Level(
            mean=float(np.average([each.mean for each in levels], weights=weights[told])),
            variance=float(spread) ** 2,
            windows=min(each.windows for each in levels),
        )

    def rate(self, metric: str, cell: Cell, without: Cell | None = None) -> float | None:
        """Return the share that is bad in `cell`, or in what `without` leaves of it; None of nobody."""
        which = self.inside(cell) if without is None else self.inside(cell) & ~self.inside(without)
        bad, total = self._tester.counts(self.leaves.sums[which].sum(axis=0), metric)
        return bad / total if total > 0 else None

    def viewers(self, cell: Cell, scopes: Mask) -> float:
        """Return how many viewers are in `cell`, of some scopes."""
        which = self.inside(cell) & scopes[self._scope]
        return float(self.leaves.sums[which, AT["viewers"]].sum())

    def factor(self, metric: str, cell: Cell) -> float:
        """Return what the hour does to the cell, over all scopes."""
        usual, weights = self._usual_of(metric, cell), self._weights(metric, self.inside(cell))
        told = self.known & np.isfinite(usual) & (weights > 0) & (usual > 0)
        if not told.any():
            return 1.0
        by_hour = np.array([_factor(each, metric).times for each in self.seen])[told]
        return float(np.sum(usual[told] * weights[told]) / np.sum(usual[told] * weights[told] / by_hour))

    def by_scope(self, metric: str, cell: Cell) -> Iterator[tuple[Seen, Departure]]:
        """Yield how the cell does in each scope that has enough viewers in it to tell; of percentiles, what
        share is beyond their bound.
        """
        which = self.inside(cell)
        usual, weights = self._usual_of(metric, cell), self._weights(metric, which)
        enough = self._by_scope(self.leaves.sums[:, AT["viewers"]], which) >= self._qoe.min_viewers
        if metric in PROPORTIONS:
            bad = self._by_scope(counts_of(self.leaves.sums, metric, self._qoe.observation_ms)[0], which)
        else:
            bad = self._by_scope(self.leaves.sums[:, AT[LEVELS[metric][0]]], which)
        for number in np.flatnonzero(self.known & enough & np.isfinite(usual) & (weights > 0)).tolist():
            mean, total = float(usual[number]), float(weights[number])
            if metric in PROPORTIONS:
                past = Proportion(bad=mean * total, total=total, windows=1)
                found = past.departure(metric, float(bad[number]), total, mean)
            else:
                level = self._levels(number)[series_of(metric, cell_key(cell))]
                found = self._tester.of_level(
                    level, metric, float(bad[number]) / total, _factor(self.seen[number], metric)
                )
            yield self.seen[number], found

    # -- what is usual ------------------------------------------------------------------------------------

    def _usual_of(self, metric: str, cell: Cell) -> Floats:
        """Return what is usual of the cell in each scope; NaN where it is not known."""
        key = metric, cell_key(cell)
        if key not in self._usual:
            self._usual[key] = np.array([self._usual_in(each, metric, cell) for each in self.seen])
        return self._usual[key]

    def _usual_in(self, seen: Seen, metric: str, cell: Cell) -> float:
        known = seen.scope.baselines
        series = series_of(metric, cell_key(cell))
        if metric in LEVELS:
            level = known.levels.get(series)
            return math.nan if level is None else _factor(seen, metric).times * level.mean
        of_all = seen.priors[metric]
        watched = known.proportions.get(series)
        if watched is not None:
            return min(_factor(seen, metric).times * watched.rate(of_all), 1.0)
        bad, total = self._in_history(known, seen, metric, cell)
        return (bad + _factor(seen, metric).times * of_all) / (total + 1.0)

    def _in_history(self, known: Baselines, seen: Seen, metric: str, cell: Cell) -> tuple[float, float]:
        """Return what was counted in a cell that is no cohort watched, in the windows learned last."""
        bad = total = 0.0
        dimensions = seen.leaves.dimensions
        for past in self._tester.past(known, metric, dimensions, seen.factors):
            within = past.inside(cell)
            bad, total = bad + float(past.bad[within].sum()), total + float(past.total[within].sum())
        return bad, total

    def _percentile_usual(self, metric: str, cell: Cell, weights: Floats) -> float:
        """Return the percentile that is usual, as it is told: the mean of the scopes'."""
        means, of = [], []
        for number in np.flatnonzero(weights > 0).tolist():
            levels = self._levels(number)
            own = levels.get(series_of(metric, cell_key(cell))) or levels.get(series_of(metric, EVERYONE))
            if own is not None:
                means.append(self.seen[number].factors.level(metric).times * own.mean)
                of.append(float(weights[number]))
        return float(np.average(means, weights=of)) if means else 0.0

    def _levels(self, number: int) -> dict[str, Level]:
        return self.seen[number].scope.baselines.levels

    # -- sums ---------------------------------------------------------------------------------------------

    def _weights(self, metric: str, which: Mask) -> Floats:
        """Return how much is counted in each scope."""
        if metric in PROPORTIONS:
            return self._by_scope(counts_of(self.leaves.sums, metric, self._qoe.observation_ms)[1], which)
        under = [AT[name] for name in LEVELS[metric][1]]
        return self._by_scope(self.leaves.sums[:, under].sum(axis=1), which)

    def _by_scope(self, amount: Floats, which: Mask) -> Floats:
        return np.bincount(self._scope[which], amount[which], len(self.seen)).astype(np.float64)


def _factor(seen: Seen, metric: str) -> Factor:
    return seen.factors.level(metric) if metric in LEVELS else seen.factors.share(metric)
