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
    batch_max_bytes: PositiveInt
    batch_wait_ms: NonNegativeFloat
    fetch_wait_ms: PositiveInt
    agent_fetch_wait_ms: PositiveInt
    session_timeout_s: Annotated[float, Field(ge=1)]
    fetch_min_bytes: PositiveInt
    fetch_max_bytes: PositiveInt
    read_ahead_records: PositiveInt
    read_ahead_kbytes: PositiveInt
    young_objects: PositiveInt
    checkpoint_interval_s: PositiveFloat
    checkpoint_most_share: Annotated[float, Field(gt=0, le=1)]
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
    slide_s: NonNegativeFloat
    lateness_s: NonNegativeFloat
    dimensions: tuple[str, ...]
    cohorts: tuple[tuple[str, ...], ...]
    scope: str
    max_scopes: PositiveInt
    max_leaf_cells: PositiveInt
    min_viewers: PositiveFloat
    min_told_viewers: NonNegativeFloat
    min_impact_viewers: NonNegativeFloat
    observation_ms: PositiveFloat
    noticed_wait_ms: NonNegativeInt
    business_errors: tuple[str, ...]
    sketch_lowest_ms: PositiveFloat
    sketch_highest_ms: PositiveFloat
    sketch_accuracy: Annotated[float, Field(gt=0, lt=1)]
    baseline_half_life_windows: PositiveFloat
    warmup_windows: NonNegativeInt
    sigmas_high: PositiveFloat
    sigmas_critical: PositiveFloat
    learn_sigmas: PositiveFloat
    stalled_ratio_rise: Share
    stalled_ratio_critical_rise: Share
    start_failure_warn: Share
    start_failure_critical: Share
    exit_rise_warn: Share
    exit_rise_critical: Share
    playback_failure_warn: Share
    playback_failure_critical: Share
    rebuffering_warn: Share
    rebuffering_critical: Share
    startup_warn_ms: PositiveFloat
    startup_critical_ms: PositiveFloat
    live_latency_rise_warn_ms: PositiveFloat
    live_latency_rise_critical_ms: PositiveFloat
    bitrate_drop_warn: Share
    bitrate_drop_critical: Share
    level_least_spread_share: Share
    history_windows: PositiveInt
    relearn_after_windows: PositiveInt
    clear_after_windows: PositiveInt
    unseen_windows: NonNegativeInt
    only_cdn_share: Share
    explain_within_windows: NonNegativeInt
    shared_least_rise: Share
    hour_least_days: PositiveFloat
    hour_least_weeks: PositiveFloat
    hour_prior_days: NonNegativeFloat
    hour_prior_units: NonNegativeFloat
    hour_memory: PositiveInt
    hour_most: Annotated[float, Field(ge=1)]
    impact_growth: Annotated[float, Field(gt=1)]

    @field_validator("slide_s")
    @classmethod
    def _must_divide_the_window(cls, value: float, info: ValidationInfo) -> float:
        """A window is made of whole panes, each of whole milliseconds."""
        window_ms, slide_ms = 1000 * info.data.get("window_s", 0.0), 1000 * value
        whole = abs(slide_ms - round(slide_ms)) < 1e-6 and slide_ms >= 1
        if value and not (whole and round(window_ms) % round(slide_ms) == 0):
            raise PydanticCustomError(
                "not_a_divisor",
                "0, or whole milliseconds that window_s, {window_s}, is a multiple of",
                {"window_s": info.data.get("window_s")},
            )
        return value

    @property
    def window_ms(self) -> int:
        """Length of a window."""
        return round(1000 * self.window_s)

    @property
    def slide_ms(self) -> int:
        """Time between the ends of two windows."""
        return round(1000 * self.slide_s) or self.window_ms


class AudienceSettings(Section):
    """When viewers vanish or surge."""

    cohorts: tuple[tuple[str, ...], ...]
    half_life_windows: PositiveFloat
    warmup_windows: PositiveInt
    min_viewers: PositiveFloat
    drop: Share
    drop_critical: Share
    surge: PositiveFloat
    sigmas: PositiveFloat
    silent_after_s: PositiveFloat
    least_wander: PositiveFloat
    profile_slots: PositiveInt
    profile_weeks: PositiveInt
    max_audiences: PositiveInt
    relearn_after_windows: PositiveInt


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
    """What is one incident, how bad it is, when it pages, and what it remembers."""

    reopen_within_s: NonNegativeFloat
    impact_growth: Annotated[float, Field(gt=1)]
    high_viewers: PositiveFloat
    critical_viewers: PositiveFloat
    raise_after_s: PositiveFloat
    page_after_s: NonNegativeFloat
    flaps: PositiveInt
    flap_window_s: PositiveFloat
    steady_s: PositiveFloat
    look_every_s: PositiveFloat
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
    viewer_load_margin: Annotated[float, Field(ge=1)]
    max_report_age_s: PositiveFloat
    never_reroute: tuple[str, ...]
    ladder_kbps: tuple[PositiveFloat, ...]
    retry_after_s: NonNegativeFloat
    control_share: Share
    max_step_share: Share
    hard_first_share: Share
    congested_load: Share
    verify_alpha: Share
    verify_tightest_at: PositiveFloat
    verify_settle_s: NonNegativeFloat
    verify_warmup_viewers: PositiveInt
    verify_within_s: PositiveFloat
    well_ratio: Share
    verified_dwell_s: NonNegativeFloat
    return_shares: tuple[Share, ...]
    return_dwell_s: NonNegativeFloat
    flap_window_s: NonNegativeFloat
    most_flaps: NonNegativeInt
    obey_within_s: PositiveFloat
    clean_error_rate: Share
    blind_after_s: PositiveFloat


class RoutingSettings(Section):
    """How a request finds its node."""

    weight_proximity: Share
    weight_health: Share
    weight_content: Share
    weight_headroom: Share
    proximity_reach_km: PositiveFloat
    least_health: Share
    backup_max_load: Share
    target_max_load: Share
    backups: NonNegativeInt
    access_ms: NonNegativeFloat
    service_ms: NonNegativeFloat
    start_round_trips: NonNegativeFloat
    first_buffer_s: NonNegativeFloat
    start_bitrate_kbps: PositiveFloat
    same_isp_km: NonNegativeFloat
    same_region_km: NonNegativeFloat
    elsewhere_km: NonNegativeFloat
    unmeasured_kbps: PositiveFloat
    nodes_every_s: NonNegativeFloat


class PlacementSettings(Section):
    """Where titles are kept."""

    weight_demand: Share
    weight_headroom: Share
    weight_latency: Share
    sites: PositiveInt
    sites_per_doubling: NonNegativeFloat


class ActorSettings(Section):
    """How actors know whom to obey, and when no longer."""

    signing_key: str
    signing_key_id: str
    other_keys: dict[str, str]
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
