"""`incidents`: one for each cause, from open to resolved, with everything that was decided."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from topics.anomalies import AnomalyKind, Cause, Severity
from topics.fields import Cell, Count, EpochMs, Name, NonNegative, OptionalName, Record, Sentence
from topics.spec import Cleanup, TopicSpec


class IncidentState(StrEnum):
    """Where an incident is in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATING = "mitigating"
    RESOLVED = "resolved"
    REOPENED = "reopened"


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    time_ms: EpochMs
    what: Sentence


class Incident(Record, frozen=True, kw_only=True):
    """The incident as it now stands."""

    incident: Name
    subject: Name
    state: IncidentState
    kind: AnomalyKind
    severity: Severity
    summary: Sentence
    cause: Cell = {}
    causes: list[Cause] = []
    contrast: Sentence = ""
    scope: Cell = {}
    """Whom was looked at, such as the viewers of one title; `cause` lies inside it."""
    standby: OptionalName = ""
    """Of an ingest failure: the healthy pipeline that can take over; empty where there is none."""
    from_sequence: Count | None = None
    """Of an ingest failure: the first segment that `standby` can be served from."""
    impact_viewers: NonNegative = 0.0
    owner: OptionalName = ""
    opened_ms: EpochMs
    resolved_ms: EpochMs | None = None
    firing: list[Name] = []
    """Series that are anomalous now."""
    timeline: list[TimelineEntry] = []
    origin_ms: EpochMs | None = None
    """Broker's time of the record that opened it."""


INCIDENTS = TopicSpec(
    name="incidents",
    key="incident",
    value=Incident,
    key_of=lambda incident: incident.incident,
    describes="Incidents: state, cause, contrast, impact in viewers, owner, timeline.",
    producers=("incidents",),
    consumers=("policy", "console", "playhead subscribe"),
    cleanup=Cleanup.COMPACT,
)
