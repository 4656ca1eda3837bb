"""Recordings made by hand, without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from confluent_kafka import Message
from sent_records import message

from playhead.recording.format import Manifest
from playhead.recording.writer import RecordingWriter
from topics import BY_NAME

PREFIX = "run1."


def telemetry(partition: int, offset: int, time_ms: int, **more: object) -> Message:
    """Return a sample's message; Kafka took it in at its event time, where nothing else is said."""
    value = b'{"time_ms":%d,"service":"s","metric":"m%d","value":%d}' % (time_ms, partition, offset)
    told = {"time_ms": time_ms, "key": b"s/m%d" % partition, "value": value} | more
    return message(f"{PREFIX}telemetry", partition, offset, **told)  # type: ignore[arg-type]


def written(
    folder: Path, messages: Iterable[Message], partitions: Mapping[str, int] | None = None
) -> Manifest:
    """Record `messages` into `folder`."""
    writer = open_writer(folder, partitions)
    writer.add(messages)
    return writer.finish("end")


def open_writer(folder: Path, partitions: Mapping[str, int] | None = None) -> RecordingWriter:
    """Begin a recording in `folder`."""
    topics = partitions or {"telemetry": 4, "playback": 4}
    return RecordingWriter(folder, PREFIX, {BY_NAME[name]: count for name, count in topics.items()})
