"""Writing a recording: records are gathered by topic and partition, and leave in parts that are whole."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Message

from playhead.packing import is_packed
from playhead.recording.errors import RecordingError
from playhead.recording.event_time import time_of
from playhead.recording.format import (
    MANIFEST,
    PART_SUFFIX,
    PARTIAL_SUFFIX,
    SCHEMA,
    Ended,
    Manifest,
    Part,
    RecordedTopic,
    describe_part,
    playhead_version,
    write_manifest,
)
from playhead.recording.summary import Summary
from playhead.when import now_ms
from topics.spec import AnySpec

GATHERED_BYTES = 64_000_000
"""Values held in memory, of all topics together, before the fullest topic is written."""

GATHERED_RECORDS = 200_000
"""The same, counted in records of one topic."""

GATHER_S = 30.0
"""What a recorder that is killed may lose."""

ROW_GROUP_RECORDS = 65_536


class RecordingWriter:
    """Makes a recording in ``<folder>.partial``, which `finish` turns into `folder`.

    Args:
        folder: where the recording will be.
        prefix: of the topics it is taken from.
        partitions: the topics, with how many partitions each has.

    Raises:
        RecordingError: `folder` exists, or another recorder writes or wrote there.
    """

    def __init__(self, folder: Path, prefix: str, partitions: Mapping[AnySpec, int]) -> None:
        self.folder = folder
        self._partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
        self._prefix = prefix
        self._began_ms = now_ms()
        if folder.exists():
            raise RecordingError(f"{folder} exists: choose another folder, or remove it")
        try:
            self._partial.mkdir(parents=True)
        except FileExistsError as error:
            raise RecordingError(
                f"{self._partial} exists: another recorder is writing there, or one was killed. What it "
                "left can be shown and replayed as it is; rename or remove it to record here"
            ) from error
        except OSError as error:
            raise RecordingError(f"{self._partial} cannot be made: {error.strerror}") from error
        self.records = 0
        """Records taken so far."""
        self.value_bytes = 0
        self._topics = {
            spec.full_name(prefix): _TopicWriter(self._partial, spec, count)
            for spec, count in partitions.items()
        }
        # Should the recorder be killed, this still tells where the records are from.
        self._write_manifest("killed")

    @property
    def event_time_ms(self) -> int | None:
        """The newest event time written so far."""
        times = (topic.summary.event_to_ms for topic in self._topics.values())
        return max((time_ms for time_ms in times if time_ms is not None), default=None)

    def add(self, messages: Iterable[Message]) -> None:
        """Take records in, and write what has waited long or takes much room.

        Raises:
            RecordingError: the disk is full, or the like.
        """
        runs: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for message in messages:
            runs[message.topic(), message.partition()].append(message)
        for (name, partition), run in runs.items():
            size_bytes = sum(map(len, run))
            self._topics[name].add(partition, run, size_bytes)
            self.records += len(run)
            self.value_bytes += size_bytes
        self._write_full()

    def _write_full(self) -> None:
        now_s = time.monotonic()
        for topic in self._topics.values():
            if topic.gathered and (topic.gathered >= GATHERED_RECORDS or now_s - topic.since_s >= GATHER_S):
                topic.write()
        while sum(topic.gathered_bytes for topic in self._topics.values()) >= GATHERED_BYTES:
            max(self._topics.values(), key=lambda topic: topic.gathered_bytes).write()

    def finish(self, ended: Ended) -> Manifest:
        """Write what is left and the manifest, and give the folder its name.

        Raises:
            RecordingError: the disk is full, or the like; what was written stays in the partial folder.
        """
        for topic in self._topics.values():
            if topic.gathered:
                topic.write()
        manifest = self._write_manifest(ended)
        try:
            self._partial.rename(self.folder)
        except OSError as error:
            raise RecordingError(f"{self._partial} cannot be renamed: {error.strerror}") from error
        return manifest

    def _write_manifest(self, ended: Ended) -> Manifest:
        manifest = Manifest(
            playhead=playhead_version(),
            prefix=self._prefix,
            began_ms=self._began_ms,
            ended_ms=now_ms(),
            ended=ended,
            topics=[topic.told() for topic in self._topics.values()],
        )
        path = self._partial / MANIFEST
        unfinished = path.with_name(path.name + PARTIAL_SUFFIX)
        try:
            write_manifest(unfinished, manifest)
            _sync(unfinished)
            unfinished.rename(path)
        except OSError as error:
            raise RecordingError(f"{path} cannot be written: {error.strerror}") from error
        return manifest


class _TopicWriter:
    """The parts of one topic."""

    def __init__(self, folder: Path, spec: AnySpec, partitions: int) -> None:
        self._folder = folder
        self._topic = spec.name
        self._time_of = time_of(spec)
        self._parts: list[Part] = []
        self._gathered: dict[int, list[Message]] = {}
        self.summary = Summary(spec.name, partitions)
        self.gathered = 0
        self.gathered_bytes = 0
        self.since_s = 0.0

    def add(self, partition: int, messages: list[Message], size_bytes: int) -> None:
        if not self.gathered:
            self.since_s = time.monotonic()
        self._gathered.setdefault(partition, []).extend(messages)
        self.gathered += len(messages)
        self.gathered_bytes += size_bytes

    def write(self) -> None:
        directory = self._folder / self._topic
        path = directory / f"{len(self._parts):05}{PART_SUFFIX}"
        unfinished = path.with_name(path.name + PARTIAL_SUFFIX)
        tables = [self._rows(partition, self._gathered[partition]) for partition in sorted(self._gathered)]
        try:
            directory.mkdir(exist_ok=True)
            with pq.ParquetWriter(unfinished, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
                for rows in tables:
                    writer.write_table(rows, row_group_size=ROW_GROUP_RECORDS)
            _sync(unfinished)
            unfinished.rename(path)
            self._parts.append(describe_part(self._folder, path, self.gathered))
        except OSError as error:
            raise RecordingError(f"{path} cannot be written: {error.strerror or error}") from error
        for rows in tables:
            self.summary.add(rows)
        self._gathered = {}
        self.gathered = self.gathered_bytes = 0

    def told(self) -> RecordedTopic:
        return self.summary.told(self._parts)

    def _rows(self, partition: int, messages: list[Message]) -> pa.Table:
        count = len(messages)
        values = [message.value() for message in messages]
        headers = [message.headers() or () for message in messages]
        columns = [
            pa.repeat(pa.scalar(self._topic, pa.string()), count),
            pa.repeat(pa.scalar(partition, pa.int32()), count),
            pa.array([message.offset() for message in messages], pa.int64()),
            pa.array([message.timestamp()[1] for message in messages], pa.int64()),
            pa.array(
                [self._time_of(value, is_packed(told)) for value, told in zip(values, headers, strict=True)],
                pa.int64(),
            ),
            pa.array([message.key() for message in messages], pa.binary()),
            pa.array(values, pa.binary()),
            pa.array(
                [[{"name": name, "value": value} for name, value in told] for told in headers],
                SCHEMA.field("headers").type,
            ),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


def _sync(path: Path) -> None:
    """Have the disk hold what was written, so that a name never stands for half a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
