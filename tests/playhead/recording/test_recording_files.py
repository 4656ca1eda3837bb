"""A recording on disk: what was taken is what is read, and damage is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_folders import PREFIX, open_writer, telemetry, written
from sent_records import message
from steady import steady

from playhead.packing import PACKED_HEADERS
from playhead.recording.errors import DamagedRecordingError, NoRecordingError, RecordingError
from playhead.recording.format import MANIFEST, SCHEMA, OffsetRange, read_manifest
from playhead.recording.reader import Recording

optional_bytes = st.none() | st.binary(max_size=40)
headers = st.lists(st.tuples(st.text(max_size=8), optional_bytes), max_size=3)
rows = st.lists(
    st.tuples(
        st.sampled_from(["telemetry", "playback"]), st.integers(0, 3), optional_bytes, optional_bytes, headers
    ),
    max_size=30,
)


def read(recording: Recording, topic: str) -> list[dict[str, Any]]:
    return [row for run in recording.runs(topic) for batch in run.batches() for row in batch.to_pylist()]


def part_of(folder: Path) -> Path:
    return folder / "telemetry" / "00000.parquet"


@steady
@given(rows, st.integers(1, 10))
def test_any_bytes_come_back_as_they_stood(
    tmp_path_factory: pytest.TempPathFactory, taken: list[Any], at_a_time: int
) -> None:
    folder = tmp_path_factory.mktemp("recordings") / "r"
    messages = [
        message(f"{PREFIX}{topic}", partition, at, time_ms=at, key=key, value=value, headers=told)
        for at, (topic, partition, key, value, told) in enumerate(taken)
    ]
    writer = open_writer(folder)
    for at in range(0, len(messages), at_a_time):
        writer.add(messages[at : at + at_a_time])
    writer.finish("end")

    recording = Recording(folder)

    for topic in ("telemetry", "playback"):
        back = [
            (row["partition"], row["offset"], row["key"], row["value"], row["headers"])
            for row in read(recording, topic)
        ]
        wanted = [
            (partition, at, key, value, [{"name": name, "value": header} for name, header in told])
            for at, (name_of, partition, key, value, told) in enumerate(taken)
            if name_of == topic
        ]
        assert back == sorted(wanted, key=lambda row: row[:2])
    assert recording.manifest.records == len(taken)
    assert recording.problems() == []


def test_the_manifest_tells_what_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "outage"
    written(folder, [telemetry(2, 7, 5_000), telemetry(2, 8, 3_000), telemetry(0, 1, 9_000, value=b"?")])

    manifest = read_manifest(folder / MANIFEST)

    topic = manifest.topics[0]
    assert (manifest.prefix, manifest.ended, manifest.records) == (PREFIX, "end", 3)
    assert (topic.topic, topic.partitions, topic.records) == ("telemetry", 4, 3)
    assert (topic.event_from_ms, topic.event_to_ms) == (3_000, 5_000)
    assert (topic.broker_from_ms, topic.broker_to_ms) == (3_000, 9_000)
    assert topic.offsets == [
        OffsetRange(partition=0, first=1, last=1),
        OffsetRange(partition=2, first=7, last=8),
    ]


@pytest.mark.parametrize(
    ("value", "told", "time_ms"),
    [
        (b'{"time_ms":5}', None, 5),
        (b'{"time_ms":[4,9,6]}', PACKED_HEADERS, 9),
        (b'{"time_ms":[]}', PACKED_HEADERS, None),
        (b'{"time_ms":-1}', None, None),
        (b'{"time_ms":1e30}', None, None),
        (b"\xff", None, None),
        (None, None, None),
    ],
)
def test_event_time_is_read_where_there_is_one(
    tmp_path: Path, value: bytes | None, told: Any, time_ms: int | None
) -> None:
    written(tmp_path / "r", [message(f"{PREFIX}telemetry", 0, 0, value=value, headers=told)])

    assert [row["event_time_ms"] for row in read(Recording(tmp_path / "r"), "telemetry")] == [time_ms]


def test_any_parquet_tool_reads_the_parts(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(0, 0, 1_000)])

    table = pq.read_table(part_of(tmp_path / "r"))

    assert table.schema.names == SCHEMA.names
    assert table["topic"].to_pylist() == ["telemetry"]


def test_a_recording_has_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    writer = open_writer(folder)
    writer.add([telemetry(0, 0, 1)])

    assert not folder.exists()
    assert (tmp_path / "r.partial").is_dir()
    writer.finish("interrupted")
    assert folder.is_dir()
    assert not (tmp_path / "r.partial").exists()


def test_what_a_killed_recorder_left_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playhead.recording.writer.GATHERED_RECORDS", 2)
    writer = open_writer(tmp_path / "r")
    writer.add([telemetry(1, 0, 10), telemetry(1, 1, 20)])
    writer.add([telemetry(1, 2, 30)])
    (tmp_path / "r.partial" / "telemetry" / "00001.parquet.partial").write_bytes(b"PAR1 cut")

    recording = Recording(tmp_path / "r.partial")

    assert not recording.finished
    assert (recording.manifest.ended, recording.manifest.prefix) == ("killed", PREFIX)
    assert [row["offset"] for row in read(recording, "telemetry")] == [0, 1]
    assert recording.problems() == []
    with pytest.raises(NoRecordingError, match=r"r\.partial was left"):
        Recording(tmp_path / "r")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    written(tmp_path / "r", [])
    open_writer(tmp_path / "s")

    with pytest.raises(RecordingError, match="exists"):
        open_writer(tmp_path / "r")
    with pytest.raises(RecordingError, match="another recorder"):
        open_writer(tmp_path / "s")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RecordingError, match="cannot be made"):
        open_writer(tmp_path / "file" / "r")


def test_a_recording_without_records_is_one(tmp_path: Path) -> None:
    written(tmp_path / "r", [])

    recording = Recording(tmp_path / "r")

    assert recording.runs("telemetry") == []
    assert recording.problems() == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_value(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(b"s/m0")
    data[at] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


def write_other_columns(path: Path) -> None:
    pq.write_table(pa.table({"topic": ["telemetry"]}), path)


def write_no_parquet(path: Path) -> None:
    path.write_bytes(b"not Parquet at all")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (truncate, "bytes"),
        (flip_a_value, "SHA-256"),
        (remove, "missing"),
        (write_other_columns, "bytes"),
        (write_no_parquet, "bytes"),
    ],
)
def test_damage_is_found_by_the_check(tmp_path: Path, damage: Any, problem: str) -> None:
    written(tmp_path / "r", [telemetry(0, at, at) for at in range(50)])
    damage(part_of(tmp_path / "r"))

    [told] = Recording(tmp_path / "r").problems()

    assert told.startswith("telemetry/00000.parquet: ")
    assert problem in told


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (truncate, "no whole Parquet file"),
        (flip_a_value, "cannot be read"),
        (remove, "missing"),
        (write_other_columns, "other columns"),
        (write_no_parquet, "no whole Parquet file"),
    ],
)
def test_damage_is_told_by_file_when_it_is_read(tmp_path: Path, damage: Any, problem: str) -> None:
    written(tmp_path / "r", [telemetry(0, at, at) for at in range(50)])
    damage(part_of(tmp_path / "r"))

    with pytest.raises(DamagedRecordingError, match=problem) as caught:
        read(Recording(tmp_path / "r"), "telemetry")

    assert caught.value.path == part_of(tmp_path / "r")


def test_a_part_that_the_manifest_does_not_know_is_told(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(0, 0, 0)])
    part = part_of(tmp_path / "r")
    part.with_name("00009.parquet").write_bytes(part.read_bytes())

    assert Recording(tmp_path / "r").problems() == ["telemetry/00009.parquet: is not in the manifest"]


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"format":"other"}', b'{"format":"playhead-recording","version":2}']
)
def test_a_bad_manifest_is_told_by_file(tmp_path: Path, content: bytes) -> None:
    written(tmp_path / "r", [])
    (tmp_path / "r" / MANIFEST).write_bytes(content)

    with pytest.raises(DamagedRecordingError, match=r"manifest\.json"):
        Recording(tmp_path / "r")


def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(0, 0, 0)])
    path = tmp_path / "r" / MANIFEST
    told = msgspec.json.decode(path.read_bytes())
    told["topics"][0]["parts"][0]["path"] = "../other.parquet"
    path.write_bytes(msgspec.json.encode(told))

    with pytest.raises(DamagedRecordingError, match="path"):
        Recording(tmp_path / "r")


def test_a_folder_without_a_recording_is_told(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NoRecordingError, match=str(folder)):
            Recording(folder)
