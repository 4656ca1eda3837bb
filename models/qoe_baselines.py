"""What is usual of each cohort of a scope, and how far a window departs from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from config.sections import QoeSettings
from models.cohort_stats import Departure, Factor, Level, Proportion
from models.localisation import Cells
from models.qoe_cells import UNKNOWN, Cohort, Leaves
from models.qoe_hours import Factors, Hours, Profile
from models.qoe_measures import (
    AT,
    COLUMNS,
    LEVELS,
    PERCENTILES,
    PROPORTIONS,
    Row,
    counts_in,
    counts_of,
    value_of,
)
from models.window_merge import MergedWindow
from topics.fields import Cell, cell_key

EVERYONE = cell_key({})


class PastWindow(msgspec.Struct):
    """Leaf cells of a window that was learned."""

    dimensions: list[str]
    cells: list[list[str]]
    sums: bytes
    time_ms: int = 0
    """Its middle."""


class Baselines(msgspec.Struct):
    """What is known of the cohorts of one scope in health."""

    windows: int = 0
    proportions: dict[str, Proportion] = {}
    levels: dict[str, Level] = {}
    history: list[PastWindow] = []
    hours: Hours = msgspec.field(default_factory=Hours)
    """What the hour does to the measures of all of its viewers."""


class CohortTests:
    """Tests cohorts against their baselines, and learns those."""

    def __init__(self, qoe: QoeSettings) -> None:
        self._qoe = qoe
        self._weight = qoe.slide_ms / qoe.window_ms
        self._alpha = 1 - 0.5 ** (self._weight / qoe.baseline_half_life_windows)

    def factors(self, known: Baselines, window: MergedWindow) -> Factors:
        """Return what the hour of `window` does to what is expected."""
        return known.hours.factors(_middle_ms(window), self._qoe)

    def priors(self, known: Baselines, everyone: Row, factors: Factors) -> dict[str, float]:
        """Return by metric the baseline of a cohort without a past: what is usual of all."""
        priors = {}
        for metric in PROPORTIONS:
            bad, total = self.counts(everyone, metric)
            of_all = known.proportions.get(series_of(metric, EVERYONE), Proportion())
            priors[metric] = of_all.rate(bad / total / factors.share(metric).times if total > 0 else 0.0)
        return priors

    def departures(
        self, known: Baselines, cohort: Cohort, priors: Mapping[str, float], factors: Factors
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
            departure = usual.departure(metric, bad, total, priors[metric], factors.share(metric))
            if metric not in PERCENTILES:
                yield departure
            elif (told := self._as_percentile(known, cohort, departure, factors)) is not None:
                yield told
        for metric, (_, under, _) in LEVELS.items():
            if metric == "bitrate_mean_kbps" and "bitrate_kbps" in cohort.cell:
                continue  # a cohort of one bitrate has that bitrate
            if under == ("starts",) and cohort.sums[AT["starts"]] < self._qoe.min_viewers:
                continue
            value = value_of(cohort.sums, metric)
            level = known.levels.get(series_of(metric, cohort.key))
            if value is not None and level is not None and level.windows >= self._qoe.warmup_windows:
                yield self.of_level(level, metric, value, factors.level(metric))

    def _as_percentile(
        self, known: Baselines, cohort: Cohort, counted: Departure, factors: Factors
    ) -> Departure | None:
        """Return the departure of a percentile, as sure as what was counted beyond its bound."""
        metric = counted.metric
        value = cohort.percentiles.get(PERCENTILES[metric], UNKNOWN).p95
        own = known.levels.get(series_of(metric, cohort.key))
        usual = own or known.levels.get(series_of(metric, EVERYONE))
        if value is None or usual is None:
            return None
        mean = factors.level(metric).times * usual.mean
        return replace(counted, value=value, baseline=mean, rise=value - mean)

    def of_level(self, level: Level, metric: str, value: float, factor: Factor) -> Departure:
        """Return how far a level is from what the hour makes of its baseline."""
        return level.departure(
            metric,
            value,
            up_is_bad=LEVELS[metric][2],
            least_spread_share=self._qoe.level_least_spread_share,
            alpha=self._alpha,
            factor=factor,
        )

    def counts(self, sums: Row, metric: str) -> tuple[float, float]:
        """Return bad and all units of a proportion."""
        return counts_in(sums, metric, self._qoe.observation_ms)

    def usual_share(self, known: Baselines, departure: Departure, cell: Cell, factors: Factors) -> float:
        """Return the share that is bad in health: of a percentile, the share beyond its bound."""
        if departure.metric not in PERCENTILES:
            return departure.baseline
        usual = known.proportions.get(series_of(departure.metric, cell_key(cell)), Proportion())
        return min(factors.share(departure.metric).times * usual.rate(0.0), 1.0)

    def past(
        self, known: Baselines, metric: str, dimensions: Sequence[str], factors: Factors
    ) -> Iterator[Cells]:
        """Yield the windows learned last, as counts of one metric, but for those of other dimensions.

        Args:
            factors: what the hour does now: each window is told as it would have been now.
        """
        for past in known.history:
            size = len(past.cells) * len(COLUMNS) * np.dtype(np.float64).itemsize
            if tuple(past.dimensions) != tuple(dimensions) or len(past.sums) != size:
                continue
            sums = np.frombuffer(past.sums).reshape(-1, len(COLUMNS))
            bad, total = counts_of(sums, metric, self._qoe.observation_ms)
            by = factors.share(metric).times / known.hours.share_at(metric, past.time_ms, self._qoe).times
            yield Cells.of(dimensions, past.cells, np.minimum(by * bad, total), total)

    def learn(self, known: Baselines, leaves: Leaves, cohorts: Sequence[Cohort], factors: Factors) -> None:
        """Take a window in as usual; everyone is the first of `cohorts`."""
        known.windows += 1
        for cohort in cohorts:
            if cohort.sums[AT["viewers"]] < self._qoe.min_viewers:
                continue
            for metric in PROPORTIONS:
                bad, total = self.counts(cohort.sums, metric)
                if total > 0:
                    usual = known.proportions.setdefault(series_of(metric, cohort.key), Proportion())
                    factor = factors.share(metric).times
                    usual.learn(bad, total, self._alpha, self._weight, self._qoe.learn_sigmas, factor)
            for metric, value in _levels_of(cohort):
                level = known.levels.setdefault(series_of(metric, cohort.key), Level())
                level.learn(value / factors.level(metric).times, self._alpha)
        past = PastWindow(
            list(leaves.dimensions),
            [list(cell) for cell in leaves.cells],
            leaves.sums.tobytes(),
            _middle_ms(leaves.window),
        )
        known.history = [*known.history, past][-self._qoe.history_windows :]
        self._learn_hours(known.hours, leaves.window, cohorts[0])
        self._rebase(known, factors, self.factors(known, leaves.window))

    @staticmethod
    def _rebase(known: Baselines, before: Factors, after: Factors) -> None:
        """Let all be expected as before: an hour that has taught something moves no expectation by itself."""
        if before == after:
            return
        for series, usual in known.proportions.items():
            metric = metric_of(series)
            usual.scale(before.share(metric).times / after.share(metric).times)
        for series, level in known.levels.items():
            metric = metric_of(series)
            level.scale(before.level(metric).times / after.level(metric).times)

    def _learn_hours(self, hours: Hours, window: MergedWindow, everyone: Cohort) -> None:
        """Take in what the hour does to those who watch, of whom there must be enough."""
        if everyone.sums[AT["viewers"]] < self._qoe.min_viewers:
            return
        time_ms, memory = _middle_ms(window), self._qoe.hour_memory
        for metric in PROPORTIONS:
            bad, total = self.counts(everyone.sums, metric)
            bad, total = self._weight * bad, self._weight * total
            hours.shares.setdefault(metric, Profile()).learn(time_ms, bad, total, memory)
        for metric, value in _levels_of(everyone):
            hours.levels.setdefault(metric, Profile()).learn(time_ms, value, 1.0, memory)

    def behind_ms(self, known: Baselines, window: MergedWindow) -> float | None:
        """From which live latency on viewers have fallen behind: so far beyond the usual percentile."""
        metric = "live_latency_p95_ms"
        usual = known.levels.get(series_of(metric, EVERYONE))
        if usual is None:
            return None
        return (
            self.factors(known, window).level(metric).times * usual.mean + self._qoe.live_latency_rise_warn_ms
        )


def _levels_of(cohort: Cohort) -> Iterator[tuple[str, float]]:
    """Yield the percentiles and means that are known of a cohort."""
    for metric, duration in PERCENTILES.items():
        p95 = cohort.percentiles.get(duration, UNKNOWN).p95
        if p95 is not None:
            yield metric, p95
    for metric in LEVELS:
        mean = value_of(cohort.sums, metric)
        if mean is not None:
            yield metric, mean


def _middle_ms(window: MergedWindow) -> int:
    return window.start_ms + window.window_ms // 2


def series_of(metric: str, key: str) -> str:
    """Return the name of the baseline of a cohort."""
    return f"{metric}@{key}"


def metric_of(series: str) -> str:
    """Return whose baseline `series` is."""
    return series.partition("@")[0]
