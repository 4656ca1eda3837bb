"""The sections of the settings: one frozen record per table of ``default.toml``.

No field has a default here: the figures live in ``default.toml`` and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A table of the settings; unknown names are refused, so that a misspelling is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LogSettings(Section):
    """How a process writes its log."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "console", "json"]


class KafkaSettings(Section):
    """How long commands wait for the broker."""

    connect_timeout_s: PositiveFloat
    request_timeout_s: PositiveFloat
    delivery_timeout_s: PositiveFloat


class EngineSettings(Section):
    """How records are fetched, checkpointed and watched."""

    batch_max_records: PositiveInt
    fetch_wait_ms: PositiveInt
    checkpoint_interval_s: PositiveFloat
    remembered_ids: PositiveInt
    idle_after_s: PositiveFloat
    max_future_ms: PositiveInt
    replication_factor: PositiveInt
    store: Literal["memory://", "rocksdb://"]
    web_host: str
    web_port: Annotated[int, Field(ge=0, le=65535)]
    ready_lag_records: PositiveInt
    restart_limit: PositiveInt
    restart_window_s: PositiveFloat


class QoeSettings(Section):
    """Windows, cohorts and thresholds of playback QoE."""

    window_s: PositiveFloat
    lateness_s: NonNegativeFloat
    dimensions: tuple[str, ...]
    cohorts: tuple[tuple[str, ...], ...]
    scope: str
    max_scopes: PositiveInt
    max_leaf_cells: PositiveInt
    min_viewers: PositiveFloat
    baseline_half_life_windows: PositiveFloat
    warmup_windows: NonNegativeInt
    sigmas_high: PositiveFloat
    sigmas_critical: PositiveFloat
    stalled_ratio_rise: Share
    stalled_ratio_critical_rise: Share
    start_failure_warn: Share
    start_failure_critical: Share
    rebuffering_warn: Share
    rebuffering_critical: Share
    startup_warn_ms: PositiveFloat
    startup_critical_ms: PositiveFloat
    bitrate_drop_warn: Share
    bitrate_drop_critical: Share
    level_least_spread_share: Share
    history_windows: PositiveInt
    relearn_after_windows: PositiveInt
    clear_after_windows: PositiveInt


class SegmentSettings(Section):
    """When a live pipeline has failed, and when it is well again."""

    missing_fail: PositiveInt
    missing_window: PositiveInt
    missing_in_window_fail: PositiveInt
    recover_after: PositiveInt
    recover_after_most: PositiveInt
    flap_window_s: PositiveFloat
    window_segments: PositiveInt
    max_pipelines: PositiveInt

    @field_validator("window_segments")
    @classmethod
    def _must_hold_what_is_judged(cls, value: int, info: ValidationInfo) -> int:
        """A count that looks further back than is remembered would never be reached."""
        least = 1 + max(
            info.data.get(name, 0) for name in ("missing_fail", "missing_window", "recover_after")
        )
        if value < least:
            expected = "at least {least}, more than missing_fail, missing_window and recover_after"
            raise PydanticCustomError("too_short", expected, {"least": least})
        return value


class IncidentSettings(Section):
    """What is one incident, and what it remembers."""

    reopen_within_s: NonNegativeFloat
    impact_growth: Annotated[float, Field(gt=1)]
    series_per_subject: PositiveInt
    causes: PositiveInt
    timeline_entries: PositiveInt


class PolicySettings(Section):
    """Bounds of what is done automatically."""

    steering_ttl_s: PositiveFloat
    min_dwell_s: NonNegativeFloat
    default_lease_s: PositiveFloat
    backup_max_load: Share
    target_max_load: Share
    widen_factor: Annotated[float, Field(ge=1)]
    least_share: Share
    impact_growth: Annotated[float, Field(gt=1)]
    renew_before_s: PositiveFloat
    renew_for_s: NonNegativeFloat
    max_report_age_s: PositiveFloat
    never_reroute: tuple[str, ...]
    ladder_kbps: tuple[PositiveFloat, ...]


class ActorSettings(Section):
    """How actors know whom to obey, and when no longer."""

    signing_key: str
    lease_check_s: PositiveFloat
    max_switches: PositiveInt
    switch_window_s: PositiveFloat


class PreferenceSettings(Section):
    """How taste is learned and lists are made."""

    decay: Share
    weight_view: NonNegativeFloat
    weight_like: NonNegativeFloat
    weight_rating: NonNegativeFloat
    weight_share: NonNegativeFloat
    weight_add_to_list: NonNegativeFloat
    genre_share: Share
    popularity_share: Share
    full_confidence_ratings: PositiveInt
    prior_rating: Annotated[float, Field(ge=0, le=5)]
    new_viewer_actions: NonNegativeInt
    remembered_titles: PositiveInt
    remembered_genres: PositiveInt
    list_length: PositiveInt
    popularity_interval_s: PositiveFloat
    remembered_actions: PositiveInt
    cache_ttl_s: PositiveInt


class CacheSettings(Section):
    """How the cache bears a Redis that is slow or away."""

    timeout_s: PositiveFloat
    retry_s: PositiveFloat
    pending_invalidations: PositiveInt
    memory_entries: PositiveInt


class ExperimentSettings(Section):
    """How sure results are, and how often they are told."""

    confidence: Annotated[float, Field(gt=0, lt=1)]
    warmup_viewers: Annotated[int, Field(ge=2)]
    result_interval_s: PositiveFloat
    remembered_parts: PositiveInt
