"""`playback`: quality-of-experience beats of the players, from CMCD or JSON.

Names follow CTA-5004-B (CMCD v2) and CTA-2066 where they have one. A beat reports the interval since the
player's previous beat, so that durations add up: a stall longer than a beat is split over the beats it spans.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from topics.fields import Count, DurationMs, Name, NonNegative, OptionalName, Positive, Record
from topics.spec import TopicSpec


class PlayerState(StrEnum):
    """CMCD `sta`, written out."""

    STARTING = "starting"
    PLAYING = "playing"
    REBUFFERING = "rebuffering"
    SEEKING = "seeking"
    PAUSED = "paused"
    ENDED = "ended"
    FAILED = "failed"
    QUIT = "quit"


class Beat(Record, frozen=True, kw_only=True):
    """What one player saw since its previous beat."""

    session_id: Name
    state: PlayerState
    title: OptionalName = ""
    cdn: OptionalName = ""
    isp: OptionalName = ""
    region: OptionalName = ""
    device: OptionalName = ""
    platform: OptionalName = ""
    app_version: OptionalName = ""
    p2p: OptionalName = ""
    bitrate_kbps: Count | None = None
    """Encoded bitrate of the rendition on screen (CMCD `br`)."""
    play_ms: DurationMs = 0
    stall_ms: DurationMs = 0
    """Connection-induced rebuffering in the interval; startup, seeks and pauses are not stalls."""
    stalls: Count = 0
    startup_ms: DurationMs | None = None
    """Play pressed to first frame (CMCD `msd`), once per session, in the beat that first plays."""
    waited_ms: DurationMs | None = None
    """Play pressed to leaving, of a session that ended before its first frame."""
    attempt: bool = False
    """True in the first beat of a session."""
    started: bool = True
    """False until the session has shown its first frame: tells a start failure from a playback failure."""
    error: OptionalName = ""
    buffer_ms: DurationMs | None = None
    throughput_kbps: NonNegative | None = None
    live_latency_ms: DurationMs | None = None
    weight: Positive = 1.0
    """How many sessions this one stands for, where players are sampled."""


class Beats(msgspec.Struct, frozen=True, kw_only=True):
    """Many beats in one record."""

    beats: list[Beat]


PLAYBACK = TopicSpec(
    name="playback",
    key="playback session",
    value=Beat,
    packed=Beats,
    key_of=lambda beat: beat.session_id,
    describes="Playback QoE beats: startup, stalls, bitrate, errors, latency; CDN, ISP, region, device.",
    producers=("sessions", "gateway", "playhead produce"),
    consumers=("playback",),
    retention_hours=24,
)
