"""`ingest.segments` and `ingest.selection`: what the encoding pipelines of a live stream published, and
which pipeline is being served.

Segments are epoch-locked (DASH-IF Live Media Ingest 1.2): segment `sequence` of every pipeline covers
``[sequence * duration_ms, (sequence + 1) * duration_ms)`` of the stream's timeline.
"""

from __future__ import annotations

from enum import StrEnum

from topics.fields import Count, DurationMs, EpochMs, Name, OptionalName, Record, Sentence
from topics.spec import Cleanup, TopicSpec


class SegmentStatus(StrEnum):
    """What became of a segment that was due."""

    PUBLISHED = "published"
    MISSING = "missing"
    DEFECTIVE = "defective"


class Segment(Record, frozen=True, kw_only=True):
    """One segment of one pipeline of a live stream."""

    stream: Name
    pipeline: Name
    sequence: Count
    duration_ms: DurationMs
    status: SegmentStatus
    size_bytes: Count = 0
    defect: OptionalName = ""
    """Black, freeze, silence, filler, timeline, ...; empty where nothing is wrong."""


class PipelineSelection(Record, frozen=True, kw_only=True):
    """The pipeline being served for a stream, and why."""

    stream: Name
    pipeline: Name
    from_sequence: Count
    generation: Count
    """Grows with each change; a command of a lower generation never replaces a higher one."""
    command_id: OptionalName = ""
    reason: Sentence = ""
    expires_ms: EpochMs | None = None


SEGMENTS = TopicSpec(
    name="ingest.segments",
    key="live stream",
    value=Segment,
    key_of=lambda segment: segment.stream,
    describes="Live segments published, missing or defective, per pipeline.",
    producers=("packagers", "gateway", "playhead produce"),
    consumers=("segments",),
    retention_hours=24,
)

SELECTION = TopicSpec(
    name="ingest.selection",
    key="live stream",
    value=PipelineSelection,
    key_of=lambda selection: selection.stream,
    describes="The pipeline served for each live stream.",
    producers=("ingest",),
    consumers=("packagers", "gateway", "console"),
    cleanup=Cleanup.COMPACT,
)
