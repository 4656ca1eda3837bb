"""The detectors with the figures of the settings."""

from __future__ import annotations

import math
from typing import Final

from config.detection import DetectionSettings, EnsembleSettings
from models.anomaly.bank import BankFigures, Limits
from models.anomaly.discord import Discord
from models.anomaly.ensemble import PerSeriesEnsemble
from models.anomaly.forecast import ForecastError
from models.anomaly.half_space_trees import HalfSpaceTrees
from models.anomaly.iqr import InterquartileRange
from models.anomaly.kinds import MetricRule, WatchedMetrics
from models.anomaly.signals import (
    Calm,
    Change,
    Departure,
    ForecastResidual,
    LevelShift,
    OutOfRange,
    SeasonalResidual,
)
from models.anomaly.thresholds import StaticThreshold
from models.anomaly.vectorised import SeriesBank
from models.anomaly.zscore import ZScore
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
    )


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
            OutOfRange(),
            Calm(figures.calm_samples),
            *(Discord(length, figures.discord_history) for length in figures.discord_lengths),
        ),
        rate=figures.rate,
        bins=figures.bins,
        bins_per_octave=figures.bins_per_octave,
        scoring_samples=figures.scoring_samples,
        hold_decay=figures.hold_decay,
        most_nats=figures.most_nats,
        high_nats=figures.high_nats,
        critical_nats=figures.critical_nats,
    )
