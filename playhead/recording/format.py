"""How a recording lies on disk.

    outage-42/                     (outage-42.partial/ while it is made, or after the recorder was killed)
        manifest.json              what is in it, with a SHA-256 of every file; at first only where it is from
        telemetry/00000.parquet    parts, each a slice of time, whole once it has its name
        telemetry/00001.parquet
        playback/00000.parquet

A part holds rows of `SCHEMA`; each of its row groups holds one partition, in the order of its offsets. Keys,
values and headers are the bytes that stood in Kafka. Any tool that reads Parquet reads them:
``duckdb -c "select * from 'outage-42/telemetry/*.parquet'"``.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import pyarrow as pa

from playhead.recording.errors import DamagedRecordingError
from topics.fields import Count, EpochMs, Name

FORMAT_VERSION: Final = 1
MANIFEST = "manifest.json"
PARTIAL_SUFFIX = ".partial"
PART_SUFFIX = ".parquet"
HASH_BLOCK_BYTES = 1 << 20

_HEADER: list[pa.Field[Any]] = [pa.field("name", pa.string(), nullable=False), pa.field("value", pa.binary())]
_FIELDS: list[pa.Field[Any]] = [
    pa.field("topic", pa.string(), nullable=False),
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("broker_time_ms", pa.int64(), nullable=False),
    # What the record itself tells; absent where it cannot be read.
    pa.field("event_time_ms", pa.int64()),
    pa.field("key", pa.binary()),
    pa.field("value", pa.binary()),
    pa.field("headers", pa.list_(pa.struct(_HEADER)), nullable=False),
]
SCHEMA = pa.schema(_FIELDS)

PartPath = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z.-]*/[0-9]+\.parquet$")]
"""Relative to the recording's folder, and never out of it."""

Ended = Literal["end", "time", "limit", "interrupted", "error", "killed"]
"""Why a recording ended; ``killed`` stands there until the recorder can tell."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    path: PartPath
    records: Count
    bytes: Count
    sha256: str


class OffsetRange(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken of one partition, both ends included; compaction may have left holes."""

    partition: Count
    first: Count
    last: Count


class RecordedTopic(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken of one topic."""

    topic: Name
    partitions: Count
    """How many the topic had on the broker."""
    records: Count = 0
    value_bytes: Count = 0
    event_from_ms: EpochMs | None = None
    event_to_ms: EpochMs | None = None
    broker_from_ms: int | None = None
    broker_to_ms: int | None = None
    offsets: list[OffsetRange] = []
    parts: list[Part] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording holds."""

    format: Literal["playhead-recording"] = "playhead-recording"
    version: Literal[1] = FORMAT_VERSION
    playhead: str
    """Version of Playhead that made it."""
    prefix: str
    """Of the topics it was taken from."""
    began_ms: EpochMs
    ended_ms: EpochMs
    ended: Ended
    topics: list[RecordedTopic]

    @property
    def records(self) -> int:
        """Records of all topics."""
        return sum(topic.records for topic in self.topics)

    @property
    def bytes(self) -> int:
        """Size of all parts."""
        return sum(part.bytes for topic in self.topics for part in topic.parts)


def playhead_version() -> str:
    """Return the version of Playhead that runs."""
    return version("playhead")


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in the file `path`.

    Raises:
        DamagedRecordingError: it is no manifest, or of a later version.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedRecordingError(
            path, f"is no manifest of format version {FORMAT_VERSION}: {error}"
        ) from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `manifest`, laid out for people."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def describe_part(folder: Path, path: Path, records: int) -> Part:
    """Return what the manifest says of the file `path`, which holds `records` rows."""
    relative = path.relative_to(folder).as_posix()
    return Part(path=relative, records=records, bytes=path.stat().st_size, sha256=sha256_of(path))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
