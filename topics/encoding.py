"""`encoding.jobs` and `encoding.ladders`: titles to be cut into shots, and the ladders that came of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from topics.fields import Count, DurationMs, Name, NonNegative, OptionalName, Positive, Record
from topics.spec import Cleanup, TopicSpec


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """One shot and what makes it hard or easy."""

    start_ms: DurationMs
    end_ms: DurationMs
    spatial: NonNegative
    motion: NonNegative

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"shot ends at {self.end_ms} ms, not after its start at {self.start_ms} ms")


class EncodingJob(Record, frozen=True, kw_only=True):
    """A title to encode."""

    title: Name
    source: Name
    content_type: OptionalName = ""
    shots: list[Shot] = []


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One rendition of a ladder."""

    bitrate_kbps: Positive
    width: Count
    height: Count
    codec: Name
    crf: NonNegative | None = None
    vmaf: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None


class Ladder(Record, frozen=True, kw_only=True):
    """The ladder of one title."""

    title: Name
    rungs: Annotated[list[Rung], msgspec.Meta(min_length=1)]
    saving: float | None = None
    """Bandwidth saved against the fixed ladder at the same VMAF, as a share."""


ENCODING_JOBS = TopicSpec(
    name="encoding.jobs",
    key="title",
    value=EncodingJob,
    key_of=lambda job: job.title,
    describes="Titles to encode, with their shots.",
    producers=("content team",),
    consumers=("encoding",),
)

ENCODING_LADDERS = TopicSpec(
    name="encoding.ladders",
    key="title",
    value=Ladder,
    key_of=lambda ladder: ladder.title,
    describes="The ladder of each title.",
    producers=("encoding",),
    consumers=("gateway",),
    cleanup=Cleanup.COMPACT,
)
