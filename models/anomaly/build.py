"""The detectors with the figures of the settings."""

from __future__ import annotations

import math
from typing import Final
from zlib import crc32

from config.detection import DetectionSettings, DetectorSettings, EnsembleSettings
from config.learned import LearnedSettings, Model
from config.settings import Settings
from models.anomaly.autoregression import AutoregressiveResidual
from models.anomaly.bank import BankFigures, Limits
from models.anomaly.base import Detector
from models.anomaly.change_points import Adwin, BayesianChangePoint, PageHinkley
from models.anomaly.counters import CounterRate
from models.anomaly.counts import RatioOfCounts, SparseCount
from models.anomaly.discord import Discord
from models.anomaly.distribution import MedianShift, RelativeEntropy
from models.anomaly.ensemble import PerSeriesEnsemble
from models.anomaly.forecast import ForecastError
from models.anomaly.half_space_trees import HalfSpaceTrees
from models.anomaly.intervals import Interval
from models.anomaly.iqr import InterquartileRange
from models.anomaly.kinds import MetricRule, WatchedMetrics
from models.anomaly.learned import LearnedFigures, LearnedSeries
from models.anomaly.multivariate import ServiceVector
from models.anomaly.seasons import LearnedPeriodResidual, RobustSeasonalResidual
from models.anomaly.shapes import Shape, ShapedDetector, ShapeLearner
from models.anomaly.signal_detector import SignalDetector
from models.anomaly.signals import (
    Calm,
    Change,
    Departure,
    ForecastResidual,
    LevelShift,
    OutOfRange,
    SeasonalResidual,
    Signal,
)
from models.anomaly.thresholds import StaticThreshold
from models.anomaly.vectorised import SeriesBank
from models.anomaly.zscore import ZScore
from models.budget.evidence import EvidenceFigures
from topics.anomalies import AnomalyKind

_DAY_MS: Final = 86_400_000
_WORSE: Final = {"higher": 1, "lower": -1, "either": 0}


def static_threshold(figures: DetectionSettings, metric: str) -> StaticThreshold | None:
    """Return the static bounds of a metric in its own unit; None where it has none."""
    limits = watched_metrics(figures).limits_of(metric)
    return None if math.isnan(limits.warn) else StaticThreshold(limits.warn, limits.critical)


def zscore(figures: DetectionSettings) -> ZScore:
    """Return a z-score detector."""
    return ZScore(
        window_samples=figures.window_samples,
        scoring_samples=figures.scoring_samples,
        baseline_samples=figures.baseline_samples,
        high=figures.z_high,
        critical=figures.z_critical,
        relearn_after=figures.relearn_after_samples,
    )


def interquartile_range(figures: DetectionSettings) -> InterquartileRange:
    """Return a detector by Tukey's fences."""
    return InterquartileRange(
        window_samples=figures.window_samples,
        scoring_samples=figures.scoring_samples,
        fence=figures.iqr_fence,
        far_fence=figures.iqr_far_fence,
    )


def forecast_error(figures: DetectionSettings) -> ForecastError:
    """Return a detector by forecast error."""
    return ForecastError(
        level_rate=figures.forecast_level_rate,
        trend_rate=figures.forecast_trend_rate,
        damping=figures.forecast_damping,
        error_rate=figures.forecast_error_rate,
        scoring_samples=figures.scoring_samples,
        high=figures.forecast_high,
        critical=figures.forecast_critical,
        relearn_after=figures.relearn_after_samples,
    )


def half_space_trees(figures: DetectionSettings, seed: int) -> HalfSpaceTrees:
    """Return a detector by half-space trees."""
    return HalfSpaceTrees(
        trees=figures.forest_trees,
        height=figures.forest_height,
        window_samples=figures.forest_window_samples,
        reach_sigmas=figures.forest_reach_sigmas,
        rate=figures.forest_rate,
        residual_rate=figures.forest_residual_rate,
        scoring_samples=figures.scoring_samples,
        high=figures.forest_high,
        critical=figures.forest_critical,
        seed=seed,
    )


def page_hinkley(figures: DetectorSettings, detection: DetectionSettings) -> PageHinkley:
    """Return a detector of drift."""
    return PageHinkley(
        rate=figures.drift_rate,
        slack=figures.drift_slack,
        scoring_samples=detection.scoring_samples,
        high=figures.drift_high,
        critical=figures.drift_critical,
    )


def adwin(figures: DetectorSettings) -> Adwin:
    """Return a detector of changes of the mean."""
    return Adwin(
        delta=figures.adwin_delta,
        buckets=figures.adwin_buckets,
        levels=figures.adwin_levels,
        clock=figures.adwin_clock,
        least=figures.adwin_least,
        rate=figures.drift_rate,
        high=figures.adwin_high,
        critical=figures.adwin_critical,
    )


def bayesian_change_point(figures: DetectorSettings, detection: DetectionSettings) -> BayesianChangePoint:
    """Return a detector of changes of mean and spread."""
    return BayesianChangePoint(
        hazard=figures.change_hazard,
        longest=figures.change_longest,
        recent=figures.change_recent,
        rate=figures.drift_rate,
        scoring_samples=detection.scoring_samples,
        high=figures.change_high_nats,
        critical=figures.change_critical_nats,
    )


def signal_detector(signal: Signal, figures: DetectorSettings, past: EnsembleSettings) -> SignalDetector:
    """Return a detector by one signal, whose past is remembered as in the ensemble."""
    return SignalDetector(
        signal,
        rate=past.rate,
        bins=past.bins,
        bins_per_octave=past.bins_per_octave,
        scoring_samples=past.scoring_samples,
        hold_decay=figures.surprise_hold_decay,
        high_nats=figures.surprise_high_nats,
        critical_nats=figures.surprise_critical_nats,
    )


def autoregressive_residual(figures: DetectorSettings) -> AutoregressiveResidual:
    """Return the signal of an autoregressive forecast."""
    return AutoregressiveResidual(
        figures.autoregression_order, figures.autoregression_forgetting, figures.autoregression_rate
    )


def learned_period_residual(figures: DetectorSettings) -> LearnedPeriodResidual:
    """Return the signal of a season whose period is learned."""
    return LearnedPeriodResidual(figures.period_history, figures.period_least, figures.period_refresh)


def ratio_of_counts(figures: DetectorSettings) -> RatioOfCounts:
    """Return a model of bad ones among many."""
    return RatioOfCounts(
        rate=figures.count_rate,
        prior_share=figures.ratio_prior_share,
        prior_trials=figures.ratio_prior_trials,
        high_nats=figures.count_high_nats,
        critical_nats=figures.count_critical_nats,
    )


def sparse_count(figures: DetectorSettings) -> SparseCount:
    """Return a model of counts that are mostly zero."""
    return SparseCount(
        rate=figures.count_rate,
        prior_rate=figures.count_prior_rate,
        prior_samples=figures.count_prior_samples,
        high_nats=figures.count_high_nats,
        critical_nats=figures.count_critical_nats,
    )


def interval(figures: DetectorSettings) -> Interval:
    """Return a model of the gaps between samples, to tell a silence by."""
    return Interval(figures.interval_rate, figures.interval_least_variation, figures.interval_scoring_samples)


def service_vector(figures: DetectorSettings, detection: DetectionSettings, metrics: int) -> ServiceVector:
    """Return a model of so many metrics of one service together."""
    return ServiceVector(
        metrics=metrics,
        rate=figures.service_rate,
        shrinkage=figures.service_shrinkage,
        scoring_samples=detection.baseline_samples,
        high=figures.service_high,
        critical=figures.service_critical,
    )


def shaped_detector(
    gauge: Detector, figures: DetectorSettings, shape: Shape = Shape.UNKNOWN
) -> ShapedDetector:
    """Return a detector that judges by the series' shape, learned where the configuration says none.

    Args:
        gauge: Judges levels and rates, such as `zscore` or `ensemble`.
        figures: Of counts, counters and shapes.
        shape: What the metric's rule says (`WatchedMetrics.shape_of`).
    """
    return ShapedDetector(
        gauge=gauge,
        counts=sparse_count(figures),
        counter=CounterRate(figures.counter_longest_gap_ms),
        learner=ShapeLearner(figures.shape_samples, figures.shape_resets),
        shape=shape,
    )


def series_bank(figures: DetectionSettings) -> SeriesBank:
    """Return an empty bank; its averages reach back as far as a window of `window_samples`."""
    return SeriesBank(bank_figures(figures))


def bank_figures(figures: DetectionSettings) -> BankFigures:
    """Return the figures of a bank, or of one series by its rules."""
    return BankFigures(
        rate=2.0 / (figures.window_samples + 1),
        scoring_samples=figures.scoring_samples,
        baseline_samples=figures.baseline_samples,
        high=figures.z_high,
        critical=figures.z_critical,
        flagged_weight=figures.flagged_weight,
        relearn_after=figures.relearn_after_samples,
        open_after=figures.open_after_samples,
        clear_after=figures.clear_after_samples,
        page_after=figures.page_after_samples,
        evidence=evidence_figures(figures),
    )


def evidence_figures(figures: DetectionSettings) -> EvidenceFigures:
    """Return how rare episodes are held to be."""
    return EvidenceFigures(
        prior_episodes=figures.prior_episodes,
        prior_excess=figures.prior_excess,
        most_excess=figures.most_excess,
        reach=figures.reach,
        acquaintance_ms=figures.acquaintance_ms,
        static_samples=figures.static_samples,
        static_weight=figures.static_weight,
    )


def learned_figures(figures: LearnedSettings, detection: DetectionSettings) -> LearnedFigures:
    """Return the figures of episodes that learned models find in windows."""
    return LearnedFigures(
        open_after=figures.open_after_windows,
        clear_after=figures.clear_after_windows,
        page_after=figures.page_after_windows,
        baseline_rate=figures.baseline_rate,
        evidence=evidence_figures(detection),
    )


def learned_series(model: Model, worse: int, series: str, settings: Settings) -> LearnedSeries:
    """Return a series with nothing learned yet; its forest, where it has one, is planted by its name.

    Args:
        worse: 1 where more is worse, -1 where less is, 0 where either is.
    """
    detector: Detector
    if model == "forecast":
        detector = forecast_error(settings.detection)
    elif model == "half_space_trees":
        detector = half_space_trees(settings.detection, seed=crc32(series.encode()))
    else:
        detector = ensemble(settings.ensemble, settings.detection)
    return LearnedSeries(learned_figures(settings.learned, settings.detection), worse, detector)


def watched_metrics(figures: DetectionSettings) -> WatchedMetrics:
    """Return the table of what is known of metrics by name."""
    return WatchedMetrics(
        [
            MetricRule(
                pattern=rule.pattern,
                kind=AnomalyKind(rule.kind),
                limits=Limits(
                    worse=_WORSE[rule.worse],
                    warn=math.nan if rule.warn is None else rule.warn,
                    critical=math.nan if rule.critical is None else rule.critical,
                    noise=rule.noise,
                ),
                unit=rule.unit,
                shape=Shape(rule.shape),
            )
            for rule in figures.metrics
        ]
    )


def ensemble(figures: EnsembleSettings, detection: DetectionSettings) -> PerSeriesEnsemble:
    """Return a per-series ensemble; its forecast has the figures of the forecast-error detector."""
    week_ms = 7 * _DAY_MS
    return PerSeriesEnsemble(
        signals=(
            Change(),
            ForecastResidual(
                detection.forecast_level_rate, detection.forecast_trend_rate, detection.forecast_damping
            ),
            Departure(figures.departure_rate),
            LevelShift(figures.shift_fast_rate, figures.shift_slow_rate),
            SeasonalResidual(_DAY_MS, figures.day_buckets, figures.day_rate),
            SeasonalResidual(_DAY_MS, figures.fine_day_buckets, figures.fine_day_rate),
            SeasonalResidual(week_ms, figures.week_buckets, figures.week_rate),
            RobustSeasonalResidual(
                _DAY_MS, figures.day_buckets, figures.day_rate, figures.robust_spread_rate
            ),
            MedianShift(figures.median_short_samples, figures.median_long_samples),
            RelativeEntropy(
                figures.entropy_bins,
                figures.entropy_window,
                figures.entropy_rate,
                figures.entropy_scoring_samples,
            ),
            OutOfRange(),
            Calm(figures.calm_samples),
            *(Discord(length, figures.discord_history) for length in figures.discord_lengths),
        ),
        rate=figures.rate,
        sum_rate=figures.sum_rate,
        bins=figures.bins,
        bins_per_octave=figures.bins_per_octave,
        scoring_samples=figures.scoring_samples,
        hold_samples=figures.hold_samples,
        hold_decay=figures.hold_decay,
        most_nats=figures.most_nats,
        high_nats=figures.high_nats,
        critical_nats=figures.critical_nats,
    )
