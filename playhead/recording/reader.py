"""Reading a recording: what is in it, whether it is whole, and its rows, partition by partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from playhead.recording.errors import DamagedRecordingError, NoRecordingError, RecordingError
from playhead.recording.format import (
    MANIFEST,
    PART_SUFFIX,
    PARTIAL_SUFFIX,
    SCHEMA,
    Manifest,
    Part,
    RecordedTopic,
    describe_part,
    read_manifest,
    sha256_of,
)
from playhead.recording.summary import Summary

BATCH_RECORDS = 8_192


@dataclass(frozen=True, slots=True)
class Run:
    """The rows of one partition, in the order of their offsets: which row groups of which parts."""

    topic: str
    partition: int
    groups: tuple[tuple[Path, int], ...]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in batches of `SCHEMA`.

        Raises:
            DamagedRecordingError: a page is not as it was written.
        """
        for path, group in self.groups:
            try:
                with pq.ParquetFile(path, page_checksum_verification=True) as file:
                    yield from file.iter_batches(BATCH_RECORDS, row_groups=[group])
            except (OSError, pa.ArrowException) as error:
                raise DamagedRecordingError(path, f"row group {group} cannot be read: {error}") from error


class Recording:
    """A recording in a folder, finished or not.

    Raises:
        NoRecordingError: `folder` holds none.
        DamagedRecordingError: the manifest cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
            hint = f"; {partial} was left by a recorder that did not finish" if partial.is_dir() else ""
            raise NoRecordingError(f"{folder}: there is no such folder{hint}")
        self.folder = folder
        if not (folder / MANIFEST).exists():
            raise NoRecordingError(f"{folder} holds no recording: there is no {MANIFEST} in it")
        manifest = read_manifest(folder / MANIFEST)
        self.finished = manifest.ended != "killed"
        self.manifest = manifest if self.finished else _salvage(folder, manifest)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def topic(self, name: str) -> RecordedTopic:
        """Return what was recorded of a topic.

        Raises:
            RecordingError: nothing was.
        """
        for topic in self.manifest.topics:
            if topic.topic == name:
                return topic
        recorded = ", ".join(topic.topic for topic in self.manifest.topics)
        raise RecordingError(f"{self.folder} holds nothing of {name}; it holds {recorded}")

    def runs(self, name: str) -> list[Run]:
        """Return the runs of a topic, by partition.

        Raises:
            DamagedRecordingError: a part is missing, cut short or of another shape.
        """
        groups: dict[int, list[tuple[Path, int]]] = defaultdict(list)
        for part in self.topic(name).parts:
            path = self.folder / part.path
            metadata = _metadata(path, part.records)
            for group in range(metadata.num_row_groups):
                groups[_partition_of(path, metadata, group)].append((path, group))
        return [Run(name, partition, tuple(groups[partition])) for partition in sorted(groups)]

    def problems(self, progress: Callable[[int], None] = lambda _: None) -> list[str]:
        """Return what is wrong with the files, held against the manifest byte for byte.

        Of a recording that was not finished the manifest is made up from the parts: there is nothing to hold
        them against, and reading them has shown already whether they can be read.

        Args:
            progress: told how many bytes are behind.
        """
        found: list[str] = []
        behind = 0
        for topic in self.manifest.topics:
            for part in topic.parts:
                problem = self._problem(part)
                if problem:
                    found.append(f"{part.path}: {problem}")
                behind += part.bytes
                progress(behind)
        listed = {part.path for topic in self.manifest.topics for part in topic.parts}
        there = (path.relative_to(self.folder).as_posix() for path in self.folder.glob(f"*/*{PART_SUFFIX}"))
        found += [f"{path}: is not in the manifest" for path in sorted(there) if path not in listed]
        return found

    def _problem(self, part: Part) -> str:
        path = self.folder / part.path
        try:
            if path.stat().st_size != part.bytes:
                return f"has {path.stat().st_size:,} bytes, {part.bytes:,} were written"
            if sha256_of(path) != part.sha256:
                return "has changed: its SHA-256 is not that of the manifest"
            _metadata(path, part.records)
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        except DamagedRecordingError as error:
            return error.problem
        return ""


def _metadata(path: Path, records: int) -> pq.FileMetaData:
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file)
            metadata = file.metadata
    except FileNotFoundError as error:
        raise DamagedRecordingError(path, "is missing") from error
    except (OSError, pa.ArrowException) as error:
        raise DamagedRecordingError(path, f"is no whole Parquet file: {error}") from error
    if metadata.num_rows != records:
        raise DamagedRecordingError(path, f"holds {metadata.num_rows:,} records, {records:,} were written")
    return metadata


def _partition_of(path: Path, metadata: pq.FileMetaData, group: int) -> int:
    statistics = metadata.row_group(group).column(SCHEMA.get_field_index("partition")).statistics
    least = None if statistics is None else statistics.min
    if statistics is None or least is None or statistics.max != least:
        raise DamagedRecordingError(path, f"row group {group} holds several partitions")
    return int(least)


def _salvage(folder: Path, told: Manifest) -> Manifest:
    """Return the manifest that a killed recorder could not write any more, from the parts it left."""
    topics = [_salvage_topic(folder, topic) for topic in told.topics]
    ends = [topic.broker_to_ms for topic in topics if topic.broker_to_ms is not None]
    return msgspec.structs.replace(told, topics=topics, ended_ms=max([told.began_ms, *ends]))


def _salvage_topic(folder: Path, told: RecordedTopic) -> RecordedTopic:
    summary = Summary(told.topic, told.partitions)
    parts: list[Part] = []
    for path in sorted((folder / told.topic).glob(f"*{PART_SUFFIX}")):
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                _check_columns(path, file)
                for group in range(file.num_row_groups):
                    summary.add(file.read_row_group(group))
                parts.append(describe_part(folder, path, file.metadata.num_rows))
        except (OSError, pa.ArrowException) as error:
            raise DamagedRecordingError(path, f"is no whole Parquet file: {error}") from error
    return summary.told(parts)


def _check_columns(path: Path, file: pq.ParquetFile) -> None:
    if not file.schema_arrow.equals(SCHEMA):
        names = ", ".join(file.schema_arrow.names)
        raise DamagedRecordingError(path, f"has other columns than a recording: {names}")
