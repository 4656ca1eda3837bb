"""`cmcd`: what players say of themselves (Common Media Client Data), read and set right, one record a report.

Keys are named as CTA-5004-B names them, and have the shape of its version 2 whatever version was sent:
figures that may differ by kind of object are lists of (value, object type), milliseconds and kb/s are whole
numbers. An object type of "" means all.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from topics.fields import Name, OptionalName, Positive, Record
from topics.spec import TopicSpec

TypedFigure = tuple[int, str]
"""A figure and the type of object it is for, such as ``(5000, "v")``."""

NextObject = tuple[str, str]
"""A relative path and a byte range such as ``0-99``, or "" for the whole."""

Figures = list[TypedFigure] | None


class Carriage(StrEnum):
    """How a report came."""

    QUERY = "query"
    HEADERS = "headers"
    JSON = "json"
    EVENT = "event"


class CmcdKeys(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The usable keys of one report."""

    v: int = 1
    ab: Figures = None
    """Aggregate bitrate now, kb/s."""
    bg: bool | None = None
    """No player of the session is visible."""
    bl: Figures = None
    """Buffer length, ms."""
    br: Figures = None
    """Encoded bitrate, kb/s: of the object asked for, or of the selected rendition in events."""
    bs: bool | None = None
    """The buffer ran dry since the previous report to this receiver."""
    bsa: Figures = None
    """Rebuffer events since the start."""
    bsd: Figures = None
    """Length of each rebuffering that ended, ms."""
    bsda: Figures = None
    """Rebuffer time since the start, ms."""
    cen: str | None = None
    cid: str | None = None
    """Content."""
    cmsdd: str | None = None
    cmsds: str | None = None
    cs: str | None = None
    d: int | None = None
    """Duration of the object, ms."""
    dfa: int | None = None
    """Frames dropped since the start."""
    dl: int | None = None
    """Until the first sample is needed, ms."""
    e: str | None = None
    """The event."""
    ec: list[str] | None = None
    """Error codes, in the application's words."""
    h: str | None = None
    """Host that serves the player."""
    lab: Figures = None
    lb: Figures = None
    ltc: int | None = None
    """Live latency, ms."""
    msd: int | None = None
    """Start delay, ms."""
    mtp: Figures = None
    """Measured throughput, kb/s."""
    nor: list[NextObject] | None = None
    """Objects expected next."""
    nr: bool | None = None
    """Fetched, not rendered."""
    ot: str | None = None
    """Type of the object: m, a, v, av, i, c, tt, k, o."""
    pb: Figures = None
    """Bitrate on screen now, kb/s."""
    pr: float | None = None
    """Playback rate."""
    pt: int | None = None
    """Playhead, ms."""
    rc: int | None = None
    """HTTP status of the response; 0 where there was none."""
    rtp: int | None = None
    """Highest throughput worth giving, kb/s."""
    sf: str | None = None
    """Streaming format: d, h, s, e, o."""
    sid: str | None = None
    """Playback session, in the player's words."""
    smrt: str | None = None
    sn: int | None = None
    """Sequence number of the session's reports to this receiver, by mode."""
    st: str | None = None
    """Stream type: v, l, ll."""
    sta: str | None = None
    """State of the player: s, p, k, r, a, e, f, q, d."""
    su: bool | None = None
    """Needed urgently: startup, seek or recovery."""
    tab: Figures = None
    tb: Figures = None
    """Top bitrate of the ladder, kb/s."""
    tbl: Figures = None
    """Buffer length aimed at, ms."""
    tpb: Figures = None
    ts: int | None = None
    """When the event happened by the player's clock, ms; of a response, when it was asked for."""
    ttfb: int | None = None
    ttfbb: int | None = None
    ttlb: int | None = None
    """From `ts` to the last byte, ms."""
    url: str | None = None
    """What was asked for first."""
    custom: dict[str, str] = {}
    """Keys of the application's own, with a hyphen in their names."""


class CmcdRecord(Record, frozen=True, kw_only=True):
    """One report of one player, and what is known of where it came from.

    `time_ms` is its arrival: at the gateway, or at the CDN whose log tells of it.
    """

    session_id: Name
    """The player's `sid`; without one, a hash of where the report came from."""
    keys: CmcdKeys
    carriage: Carriage
    receiver: OptionalName = ""
    """Which of several receivers of the same player this is; sequence numbers count by receiver."""
    own_session: bool = True
    """False where the player sent no usable `sid`."""
    host: OptionalName = ""
    """Host of the object: a CDN's."""
    title: OptionalName = ""
    cdn: OptionalName = ""
    isp: OptionalName = ""
    region: OptionalName = ""
    device: OptionalName = ""
    platform: OptionalName = ""
    app_version: OptionalName = ""
    weight: Positive = 1.0
    """How many sessions this one stands for, where players are sampled."""
    malformed: list[tuple[str, str]] = []
    """Keys that could not be used, and why."""


class CmcdRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Many reports in one record."""

    records: list[CmcdRecord]


CMCD = TopicSpec(
    name="cmcd",
    key="playback session",
    value=CmcdRecord,
    packed=CmcdRecords,
    key_of=lambda record: record.session_id,
    describes="CMCD reports of players, read and set right: buffer, bitrate, throughput, states, errors.",
    producers=("gateway",),
    consumers=("sessions",),
    retention_hours=24,
)
