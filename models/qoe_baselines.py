"""What is usual of each cohort of a scope, and how far a window departs from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from config.sections import QoeSettings
from models.cohort_stats import Departure, Level, Proportion
from models.localisation import Cells
from models.qoe_cells import UNKNOWN, Cohort, Leaves
from models.qoe_measures import (
    AT,
    COLUMNS,
    LEVELS,
    PERCENTILES,
    PROPORTIONS,
    Floats,
    Row,
    counts_in,
    counts_of,
    value_of,
)
from topics.fields import Cell, cell_key

EVERYONE = cell_key({})


class PastWindow(msgspec.Struct):
    """Leaf cells of a window that was learned."""

    dimensions: list[str]
    cells: list[list[str]]
    sums: bytes


class Baselines(msgspec.Struct):
    """What is known of the cohorts of one scope in health."""

    windows: int = 0
    proportions: dict[str, Proportion] = {}
    levels: dict[str, Level] = {}
    history: list[PastWindow] = []


class CohortTests:
    """Tests cohorts against their baselines, and learns those."""

    def __init__(self, qoe: QoeSettings) -> None:
        self._qoe = qoe
        self._weight = qoe.slide_ms / qoe.window_ms
        self._alpha = 1 - 0.5 ** (self._weight / qoe.baseline_half_life_windows)

    def priors(self, known: Baselines, everyone: Row) -> dict[str, float]:
        """Return by metric what is expected of a cohort without a past: what is usual of all."""
        priors = {}
        for metric in PROPORTIONS:
            bad, total = self.counts(everyone, metric)
            of_all = known.proportions.get(series_of(metric, EVERYONE), Proportion())
            priors[metric] = of_all.rate(bad / total if total > 0 else 0.0)
        return priors

    def departures(
        self, known: Baselines, cohort: Cohort, priors: Mapping[str, float]
    ) -> Iterator[Departure]:
        """Test each measure that enough viewers tell of; none during warm-up."""
        if known.windows < self._qoe.warmup_windows:
            return
        if cohort.sums[AT["viewers"]] < self._qoe.min_viewers:
            return
        for metric in PROPORTIONS:
            bad, total = self.counts(cohort.sums, metric)
            if total <= 0 or (total < self._qoe.min_viewers and metric != "rebuffering_ratio"):
                continue
            usual = known.proportions.get(series_of(metric, cohort.key), Proportion())
            departure = usual.departure(metric, bad, total, priors[metric])
            if metric not in PERCENTILES:
                yield departure
            elif (told := self._as_percentile(known, cohort, departure)) is not None:
                yield told
        for metric, (_, under, _) in LEVELS.items():
            if metric == "bitrate_mean_kbps" and "bitrate_kbps" in cohort.cell:
                continue  # a cohort of one bitrate has that bitrate
            if under == ("starts",) and cohort.sums[AT["starts"]] < self._qoe.min_viewers:
                continue
            value = value_of(cohort.sums, metric)
            level = known.levels.get(series_of(metric, cohort.key))
            if value is not None and level is not None and level.windows >= self._qoe.warmup_windows:
                yield self.of_level(level, metric, value)

    def _as_percentile(self, known: Baselines, cohort: Cohort, counted: Departure) -> Departure | None:
        """Return the departure of a percentile, as sure as what was counted beyond its bound."""
        metric = counted.metric
        value = cohort.percentiles.get(PERCENTILES[metric], UNKNOWN).p95
        own = known.levels.get(series_of(metric, cohort.key))
        usual = own or known.levels.get(series_of(metric, EVERYONE))
        if value is None or usual is None:
            return None
        return replace(counted, value=value, baseline=usual.mean, rise=value - usual.mean)

    def of_level(self, level: Level, metric: str, value: float) -> Departure:
        """Return how far a level is from its baseline."""
        return level.departure(
            metric,
            value,
            up_is_bad=LEVELS[metric][2],
            least_spread_share=self._qoe.level_least_spread_share,
            alpha=self._alpha,
        )

    def counts(self, sums: Row, metric: str) -> tuple[float, float]:
        """Return bad and all units of a proportion."""
        return counts_in(sums, metric, self._qoe.observation_ms)

    def usual_share(self, known: Baselines, departure: Departure, cell: Cell) -> float:
        """Return the share that is bad in health: of a percentile, the share beyond its bound."""
        if departure.metric not in PERCENTILES:
            return departure.baseline
        return known.proportions.get(series_of(departure.metric, cell_key(cell)), Proportion()).rate(0.0)

    def past(self, known: Baselines, metric: str, dimensions: Sequence[str]) -> Iterator[Cells]:
        """Yield the windows learned last, as counts of one metric, but for those of other dimensions."""
        for cells, sums in self.learned(known, dimensions):
            bad, total = counts_of(sums, metric, self._qoe.observation_ms)
            yield Cells.of(dimensions, cells, bad, total)

    def learned(
        self, known: Baselines, dimensions: Sequence[str]
    ) -> Iterator[tuple[list[list[str]], Floats]]:
        """Yield leaf cells and their sums of the windows learned last, but for those of other dimensions."""
        for past in known.history:
            size = len(past.cells) * len(COLUMNS) * np.dtype(np.float64).itemsize
            if tuple(past.dimensions) == tuple(dimensions) and len(past.sums) == size:
                yield past.cells, np.frombuffer(past.sums).reshape(-1, len(COLUMNS))

    def learn(self, known: Baselines, leaves: Leaves, cohorts: Sequence[Cohort]) -> None:
        """Take a window in as usual."""
        known.windows += 1
        for cohort in cohorts:
            if cohort.sums[AT["viewers"]] < self._qoe.min_viewers:
                continue
            for metric in PROPORTIONS:
                bad, total = self.counts(cohort.sums, metric)
                if total > 0:
                    usual = known.proportions.setdefault(series_of(metric, cohort.key), Proportion())
                    usual.learn(bad, total, self._alpha, self._weight, self._qoe.learn_sigmas)
            percentiles = {
                metric: cohort.percentiles.get(duration, UNKNOWN).p95
                for metric, duration in PERCENTILES.items()
            }
            means = {metric: value_of(cohort.sums, metric) for metric in LEVELS}
            for metric, value in (percentiles | means).items():
                if value is not None:
                    level = known.levels.setdefault(series_of(metric, cohort.key), Level())
                    level.learn(value, self._alpha)
        past = PastWindow(
            list(leaves.dimensions), [list(cell) for cell in leaves.cells], leaves.sums.tobytes()
        )
        known.history = [*known.history, past][-self._qoe.history_windows :]

    def behind_ms(self, known: Baselines) -> float | None:
        """From which live latency on viewers have fallen behind: so far beyond the usual percentile."""
        usual = known.levels.get(series_of("live_latency_p95_ms", EVERYONE))
        return None if usual is None else usual.mean + self._qoe.live_latency_rise_warn_ms


def series_of(metric: str, key: str) -> str:
    """Return the name of the baseline of a cohort."""
    return f"{metric}@{key}"
