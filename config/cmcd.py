"""The sections of the settings about CMCD: taking it in, and making sessions of it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field

from config.sections import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Section, Share


class CmcdBounds(Section):
    """What a value may be at most; keys are attacker-controlled."""

    max_bitrate_kbps: PositiveInt
    max_duration_ms: PositiveInt
    max_throughput_kbps: PositiveInt
    max_fetch_ms: PositiveInt
    max_start_ms: PositiveInt
    max_stalled_ms: PositiveInt
    max_latency_ms: PositiveInt
    max_count: PositiveInt
    max_clock_error_ms: PositiveInt
    max_rate: PositiveFloat
    known_members: PositiveInt


class SpoolSettings(Section):
    """Where acknowledged records wait for Kafka, and how they get there."""

    folder: str
    max_bytes: PositiveInt
    problem_share: Share
    segment_bytes: PositiveInt
    sync: Literal["never", "interval", "always"]
    sync_interval_s: PositiveFloat
    commit_wait_ms: NonNegativeFloat
    cursor_interval_s: PositiveFloat
    chunk_bytes: PositiveInt
    chunks_in_flight: PositiveInt
    events_per_record: PositiveInt
    linger_ms: PositiveFloat
    retry_s: PositiveFloat


class CmcdSettings(Section):
    """What the gateway takes of players, and what it adds."""

    max_body_bytes: PositiveInt
    max_line_bytes: PositiveInt
    max_members: PositiveInt
    max_reports: PositiveInt
    max_dead_letters: PositiveInt
    sample_share: Annotated[float, Field(gt=0, le=1)]
    default_title: str
    retry_after_s: PositiveInt
    max_requests_per_s_per_address: NonNegativeFloat
    burst_per_address: PositiveFloat
    remembered_addresses: PositiveInt
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    isp_database: str
    place_database: str
    region_from: Literal["country", "subdivision"]
    remembered_lookups: PositiveInt
    cdns: dict[str, str]
    bounds: CmcdBounds
    spool: SpoolSettings


class SessionSettings(Section):
    """How reports become sessions."""

    reorder_ms: NonNegativeInt
    timeout_ms: PositiveInt
    forget_ms: PositiveInt
    max_sessions: PositiveInt
    max_waiting: PositiveInt
    beat_interval_ms: NonNegativeInt
    remembered_reports: PositiveInt
    max_start_ms: PositiveInt
