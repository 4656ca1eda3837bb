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
    max_late_ms: PositiveInt
    expire_after_ms: Annotated[int, Field(ge=4)]
    metrics: tuple[MetricSettings, ...]


class EnsembleSettings(Section):
    """Signals of the per-series ensemble, and how they are combined."""

    rate: Annotated[float, Field(gt=0, lt=1)]
    bins: PositiveInt
    bins_per_octave: PositiveInt
    scoring_samples: PositiveInt
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
    calm_samples: Annotated[int, Field(ge=2)]
    discord_lengths: tuple[PositiveInt, ...]
    discord_history: PositiveInt
