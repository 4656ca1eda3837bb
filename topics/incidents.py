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


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody has it, for a while."""

    by: Name
    time_ms: EpochMs
    until_ms: EpochMs | None = None
    """When it lapses; absent: with the incident."""
    reason: Sentence = ""
    wake_over_viewers: NonNegative | None = None
    """It ends when more viewers than this are hit."""


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
    only_cdn: OptionalName = ""
    """The one CDN that serves all who suffer, where `cause` names none: nobody elsewhere can be compared."""
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
    metrics: list[Name] = []
    """... and what they measure."""
    cell: Cell = {}
    """Who departed most, inside `scope`; `cause` says why."""
    within_budget: bool = True
    """Whether any of its anomalies may wake someone: the budget of false pages allows it."""
    reopenings: list[EpochMs] = []
    """When it came back, the newest few."""
    resolved_by: OptionalName = ""
    """Who closed it by hand; it stays so until it worsens or a further series departs."""
    raised: bool = False
    """Whether its severity was raised because it lasts."""
    acknowledgement: Acknowledgement | None = None
    silenced_by: OptionalName = ""
    """The silence that holds for it now."""
    parent: OptionalName = ""
    """The incident with the wider cause that this one is a part of; that one pages for both."""
    mitigations: list[Sentence] = []
    """What is in force because of it now."""
    flapping: bool = False
    """It comes and goes: it does not page until it stays."""
    paging: bool = False
    """Whether it asks for somebody now."""
    pages: Count = 0
    """How often it has begun to."""
    quiet: Sentence = ""
    """Why it does not page though it is not over."""
    look_again_ms: EpochMs | None = None
    """When the time alone may change how it stands."""
    timeline: list[TimelineEntry] = []
    origin_ms: EpochMs | None = None
    """Broker's time of the record that opened it."""


INCIDENTS = TopicSpec(
    name="incidents",
    key="incident",
    value=Incident,
    key_of=lambda incident: incident.incident,
    describes="Incidents: state, cause, contrast, impact in viewers, owner, whether it pages, timeline.",
    producers=("incidents",),
    consumers=("policy", "console", "playhead incidents", "playhead subscribe"),
    cleanup=Cleanup.COMPACT,
)
