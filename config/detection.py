"""The sections of the settings that hold the figures of anomaly detection."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.sections import NonNegativeFloat, PositiveFloat, PositiveInt, Section, Share

Rate = Annotated[float, Field(gt=0, le=1)]


class MetricSettings(Section):
    """One rule of the watched metrics; bounds and noise are in the rule's unit."""

    pattern: str
    kind: Literal[
        "latency_spike",
        "error_rate_increase",
        "traffic_anomaly",
        "resource_exhaustion",
        "streaming_quality_drop",
    ]
    worse: Literal["higher", "lower", "either"]
    unit: Literal["ratio", "percent", "s", "ms", "us", "count"]
    warn: float | None = None
    critical: float | None = None
    noise: NonNegativeFloat = 0.0
    shape: Literal["unknown", "gauge", "counter", "counts"] = "unknown"

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        if (self.warn is None) != (self.critical is None):
            raise ValueError(f"{self.pattern}: warn and critical come together")
        if self.warn is not None and self.critical is not None:
            worse = {"higher": self.critical > self.warn, "lower": self.critical < self.warn}
            if not worse.get(self.worse, False):
                raise ValueError(
                    f"{self.pattern}: from warn {self.warn} to critical {self.critical} is not {self.worse}"
                )
        return self


class DetectionSettings(Section):
    """Detectors, episodes and watched metrics."""

    window_samples: PositiveInt
    scoring_samples: PositiveInt
    baseline_samples: PositiveInt
    z_high: PositiveFloat
    z_critical: PositiveFloat
    iqr_fence: PositiveFloat
    iqr_far_fence: PositiveFloat
    forecast_level_rate: Rate
    forecast_trend_rate: Share
    forecast_damping: Share
    forecast_error_rate: Rate
    forecast_high: PositiveFloat
    forecast_critical: PositiveFloat
    forest_trees: PositiveInt
    forest_height: PositiveInt
    forest_window_samples: PositiveInt
    forest_reach_sigmas: PositiveFloat
    forest_rate: Rate
    forest_residual_rate: Rate
    forest_high: PositiveFloat
    forest_critical: PositiveFloat
    flagged_weight: Share
    relearn_after_samples: PositiveInt
    open_after_samples: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    clear_after_samples: PositiveInt
    page_after_samples: PositiveInt
    prior_episodes: PositiveFloat
    prior_excess: PositiveFloat
    most_excess: Annotated[float, Field(gt=1)]
    reach: PositiveFloat
    acquaintance_ms: Annotated[int, Field(ge=0)]
    static_samples: PositiveFloat
    static_weight: Annotated[float, Field(gt=0, le=1)]
    max_late_ms: PositiveInt
    expire_after_ms: Annotated[int, Field(ge=4)]
    max_series: PositiveInt
    metrics: tuple[MetricSettings, ...]


class DetectorSettings(Section):
    """Detectors of single series, of types of series, and of services."""

    surprise_hold_decay: Share
    surprise_high_nats: PositiveFloat
    surprise_critical_nats: PositiveFloat
    autoregression_order: PositiveInt
    autoregression_forgetting: Annotated[float, Field(gt=0, lt=1)]
    autoregression_rate: Rate
    period_history: Annotated[int, Field(ge=12)]
    period_least: Share
    period_refresh: PositiveInt
    drift_rate: Rate
    drift_slack: NonNegativeFloat
    drift_high: PositiveFloat
    drift_critical: PositiveFloat
    adwin_delta: Annotated[float, Field(gt=0, lt=1)]
    adwin_buckets: Annotated[int, Field(ge=2)]
    adwin_levels: Annotated[int, Field(ge=2, le=40)]
    adwin_clock: PositiveInt
    adwin_least: PositiveInt
    adwin_high: PositiveFloat
    adwin_critical: PositiveFloat
    change_hazard: Annotated[float, Field(gt=0, lt=1)]
    change_longest: Annotated[int, Field(ge=3)]
    change_recent: PositiveInt
    change_high_nats: PositiveFloat
    change_critical_nats: PositiveFloat
    count_rate: Rate
    count_high_nats: PositiveFloat
    count_critical_nats: PositiveFloat
    ratio_prior_share: Annotated[float, Field(gt=0, lt=1)]
    ratio_prior_trials: PositiveFloat
    count_prior_rate: PositiveFloat
    count_prior_samples: PositiveFloat
    counter_longest_gap_ms: PositiveInt
    shape_samples: PositiveInt
    shape_resets: Share
    interval_rate: Rate
    interval_least_variation: PositiveFloat
    interval_scoring_samples: PositiveInt
    service_rate: Rate
    service_shrinkage: Share
    service_high: PositiveFloat
    service_critical: PositiveFloat


class EnsembleSettings(Section):
    """Signals of the per-series ensemble, and how they are combined."""

    rate: Annotated[float, Field(gt=0, lt=1)]
    sum_rate: Annotated[float, Field(gt=0, lt=1)]
    bins: PositiveInt
    bins_per_octave: PositiveInt
    scoring_samples: PositiveInt
    hold_samples: PositiveInt
    hold_decay: Share
    most_nats: PositiveFloat
    high_nats: PositiveFloat
    critical_nats: PositiveFloat
    departure_rate: Rate
    shift_fast_rate: Rate
    shift_slow_rate: Rate
    day_buckets: PositiveInt
    day_rate: Rate
    fine_day_buckets: PositiveInt
    fine_day_rate: Rate
    week_buckets: PositiveInt
    week_rate: Rate
    robust_spread_rate: Rate
    median_short_samples: PositiveInt
    median_long_samples: PositiveInt
    entropy_bins: PositiveInt
    entropy_window: Annotated[int, Field(ge=2)]
    entropy_rate: Annotated[float, Field(gt=0, lt=1)]
    entropy_scoring_samples: PositiveInt
    calm_samples: Annotated[int, Field(ge=2)]
    discord_lengths: tuple[PositiveInt, ...]
    discord_history: PositiveInt
