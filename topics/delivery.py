"""What of a title there is to be played: its renditions, their places, and the CDNs that have it.

Part of the title's record in `catalogue`. Paths are relative to the title's folder on each CDN. A manifest
promises what is told here and nothing else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from topics.fields import Count, EpochMs, Name, OptionalName, Positive

StableId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9+/=._-]+$")]
"""STABLE-VARIANT-ID of HLS: letters, digits and ``+/=.-_`` (RFC 8216bis, 4.4.6.2)."""

Path = Annotated[str, msgspec.Meta(max_length=400, pattern=r"^[A-Za-z0-9._/$%-]*$")]


class Codec(StrEnum):
    """Family of a video codec."""

    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"


class Rendition(msgspec.Struct, frozen=True, kw_only=True):
    """One video rendition."""

    id: StableId
    codec: Codec
    codecs: Name
    """RFC 6381, of the video alone where audio is separate; of both where it is muxed."""
    bitrate_kbps: Positive
    """Peak of video and muxed audio: BANDWIDTH of HLS, without what separate audio adds."""
    average_kbps: Positive | None = None
    width: Count
    height: Count
    frame_rate: Positive
    hls: Path = ""
    """Media playlist; empty: not there as HLS."""
    dash_init: Path = ""
    dash_media: Path = ""
    """Segment template with ``$Number$``; empty: not there as DASH."""


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """One separate audio rendition."""

    id: StableId
    codecs: Name
    bitrate_kbps: Positive
    language: OptionalName = ""
    name: OptionalName = ""
    channels: Count = 2
    sample_rate_hz: Count = 48_000
    default: bool = False
    hls: Path = ""
    dash_init: Path = ""
    dash_media: Path = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How a title is delivered."""

    renditions: list[Rendition]
    audio: list[Audio] = []
    segment_s: Positive = 2.0
    """Of DASH: how long a segment of the template is."""
    first_segment: Count = 1
    """Number of the first segment of the template."""
    live_since_ms: EpochMs | None = None
    """Of a live title as DASH: when the first segment of the template began; absent: there is no live MPD."""
    pathways: list[Name] = []
    """CDNs that have the title, in the default order; empty: all of the settings."""
    split: dict[str, Annotated[float, msgspec.Meta(ge=0, le=1)]] = {}
    """How much of the viewers goes first to each CDN by default; empty: all to the first."""
    ended: bool = False
    """The event is over: players are told to ask no more."""
