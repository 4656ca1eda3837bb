"""`anomalies`: what departs from how it should be, with the evidence."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from topics.fields import (
    Cell,
    Count,
    DurationMs,
    EpochMs,
    Name,
    NonNegative,
    OptionalName,
    Ratio,
    Record,
    Sentence,
    SeriesName,
)
from topics.spec import TopicSpec


class AnomalyKind(StrEnum):
    """What sort of trouble it is."""

    LATENCY_SPIKE = "latency_spike"
    ERROR_RATE_INCREASE = "error_rate_increase"
    TRAFFIC_ANOMALY = "traffic_anomaly"
    RESOURCE_EXHAUSTION = "resource_exhaustion"
    STREAMING_QUALITY_DROP = "streaming_quality_drop"
    INGEST_FAILURE = "ingest_failure"
    ALERT = "alert"
    """Another tool says so."""


class Severity(IntEnum):
    """How bad it is; comparable."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Phase(StrEnum):
    """Where an episode is: each has one start, an update each time it worsens, and one end."""

    START = "start"
    UPDATE = "update"
    END = "end"


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A combination of dimensions that explains the trouble, with the contrast that proves it."""

    cell: Cell
    score: float
    excess_viewers: NonNegative
    explained: Ratio
    """Share of all the excess that lies in the cell."""
    contrast: Sentence
    of_cdn: Ratio | None = None
    """Which share of its CDN's viewers, of those looked at, is in the cell; absent where it names no CDN."""
    owner: OptionalName = ""
    """Whose business it is."""
    lever: Sentence = ""
    """What could help, or why nothing that Playhead can do would."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The record that showed it."""

    topic: Name
    partition: Count
    offset: Count


class Anomaly(Record, frozen=True, kw_only=True):
    """One step of one episode of one series or cohort."""

    subject: Name
    """What is held to be in trouble: a service, a live stream, a cohort."""
    series: SeriesName
    """The series or cohort measure that departs."""
    phase: Phase
    kind: AnomalyKind
    severity: Severity
    score: Ratio
    confidence: Ratio
    metric: Name
    value: float
    baseline: float | None = None
    deviation_sigmas: float | None = None
    bound: float | None = None
    """The static bound crossed, where one was."""
    detector: OptionalName = ""
    window_ms: DurationMs = 0
    cell: Cell = {}
    causes: list[Cause] = []
    """Ranked, best first; empty means unknown or external."""
    scope: Cell = {}
    """Whom was looked at, such as the viewers of one title; `cell` and `causes` lie inside it."""
    only_cdn: OptionalName = ""
    """The one CDN that serves all who suffer, where no cause names one: nobody elsewhere can be compared."""
    impact_viewers: NonNegative = 0.0
    standby: OptionalName = ""
    """Of an ingest failure: the healthy pipeline that can take over; empty where there is none."""
    from_sequence: Count | None = None
    """Of an ingest failure: the first segment that `standby` can be served from."""
    detail: Sentence = ""
    pages: bool = True
    """Whether it may wake someone: its p-value is within the budget of false pages; else it is recorded."""
    p_value: Ratio | None = None
    """Chance that a healthy sample starts an episode this bad; None where the rule states none."""
    page_level: Ratio | None = None
    """The p-value below which the budget pages, when this was judged."""
    origin_ms: EpochMs | None = None
    """Broker's time of the record that made the difference: what latency is measured from."""
    evidence: Evidence | None = None


ANOMALIES = TopicSpec(
    name="anomalies",
    key="subject",
    value=Anomaly,
    key_of=lambda anomaly: anomaly.subject,
    describes="Episodes of anomaly: score, kind, severity, confidence, baseline, value, deviation, causes.",
    producers=("telemetry", "cohorts", "segments", "gateway"),
    consumers=("incidents", "foreign", "console"),
)
