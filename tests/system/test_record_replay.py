"""`playhead record`, `replay` and `recording show` on a real broker."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from command_line import CommandLine
from confluent_kafka import Producer
from eventually import eventually
from playhead_process import PlayheadProcess
from topic_tools import TopicTools

from playhead.log_reader import spans_of
from playhead.packing import PACKED_HEADERS
from playhead.recording.format import PARTIAL_SUFFIX
from playhead.topics_admin import TopicsAdmin, Wanted
from topics import INCIDENTS, PLAYBACK, TELEMETRY, AnySpec
from topics.playback import Beat, PlayerState
from topics.telemetry import Sample

Stood = dict[int, list[tuple[bytes | None, bytes | None, Any]]]


class Broker(Protocol):
    @property
    def brokers(self) -> str: ...


@pytest.fixture
def environment(kafka: Broker, topic_prefix: str) -> dict[str, str]:
    return {"PLAYHEAD_BROKERS": kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix}


@pytest.fixture
def playhead(environment: dict[str, str]) -> CommandLine:
    return CommandLine(environment)


@pytest.fixture
def topics(kafka: Broker, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(TELEMETRY, PLAYBACK)
    return tools


def stood(topics: TopicTools, spec: AnySpec, prefix: str | None = None) -> Stood:
    """Return key, value and headers of all that stands in a topic, per partition, in order."""
    where = topics if prefix is None else TopicTools(topics.client["bootstrap.servers"], prefix)
    found: Stood = defaultdict(list)
    for message in where.messages(spec):
        found[message.partition()].append((message.key(), message.value(), message.headers()))
    return dict(found)


def samples(count: int, first: int = 0) -> list[Sample]:
    return [
        Sample(time_ms=1_000_000 + (number * 37) % 5_000, service="s", metric=f"m{number % 9}", value=number)
        for number in range(first, first + count)
    ]


def beats(count: int) -> list[Beat]:
    return [
        Beat(time_ms=1_000_000 + number * 3, session_id=f"s{number % 31}", state=PlayerState.PLAYING)
        for number in range(count)
    ]


def send_oddities(topics: TopicTools) -> None:
    """Write what no contract foresees, headers and packed records included."""
    producer = Producer(topics.client | {"enable.idempotence": True})
    name = TELEMETRY.full_name(topics.prefix)
    packed = b'{"series":["s/m"],"which":[0,0],"time_ms":[1000100,1000200],"value":[1,2]}'
    producer.produce(name, packed, None, 3, headers=PACKED_HEADERS)
    producer.produce(name, b"\x00\xff not JSON", b"\xff\x00", 1)
    producer.produce(name, None, b"gone", 1, headers=[("why", None), ("why", b""), ("why", b"\xff")])
    producer.produce(name, b'{"time_ms":4000000000000}', None, 2)
    producer.produce(name, b"", b"", 0)
    assert producer.flush(30) == 0


def record(playhead: CommandLine, folder: Path, *arguments: str) -> dict[str, Any]:
    told: Sequence[dict[str, Any]] = playhead.json("record", str(folder), *arguments)
    return told[0]


def test_two_replays_are_the_same_to_the_byte_and_the_same_as_what_was_recorded(
    playhead: CommandLine, topics: TopicTools, topic_prefix: str, tmp_path: Path
) -> None:
    topics.send(TELEMETRY, samples(3_000))
    topics.send(PLAYBACK, beats(2_000))
    send_oddities(topics)

    told = record(playhead, tmp_path / "r", "telemetry", "playback", "--until-end")
    for name in ("a", "b"):
        prefix = f"{topic_prefix}{name}."
        [played] = playhead.json("replay", str(tmp_path / "r"), "--speed", "max", "--prefix", prefix)
        assert (played["records"], played["failed"]) == (5_005, 0)
        assert played["by_topic"] == {"telemetry": 3_005, "playback": 2_000}

    assert told["ended"] == "end"
    for spec in (TELEMETRY, PLAYBACK):
        first, second = (stood(topics, spec, f"{topic_prefix}{name}.") for name in ("a", "b"))
        assert first == second == stood(topics, spec)


def test_a_replay_keeps_pace_and_ends_with_the_last_event(
    playhead: CommandLine, topics: TopicTools, topic_prefix: str, tmp_path: Path
) -> None:
    topics.send(PLAYBACK, beats(500))
    record(playhead, tmp_path / "r", "playback", "--until-end")

    [played] = playhead.json("replay", str(tmp_path / "r"), "--speed", "2", "--prefix", f"{topic_prefix}a.")

    assert (played["event_from_ms"], played["event_to_ms"]) == (1_000_000, 1_001_497)
    assert played["seconds"] >= 0.74
    assert 0 <= played["pacing_error_p50_ms"] <= played["pacing_error_p99_ms"]


def test_part_of_a_recording_is_played_and_times_are_moved_when_asked_for(
    playhead: CommandLine, topics: TopicTools, topic_prefix: str, tmp_path: Path
) -> None:
    topics.send(TELEMETRY, samples(100))
    topics.send(PLAYBACK, beats(300))
    record(playhead, tmp_path / "r", "--until-end")

    arguments = ("--from", "1000.3", "--to", "1000.6", "--shift", "60", "--speed", "max")
    [played] = playhead.json(
        "replay", str(tmp_path / "r"), "playback", *arguments, "--prefix", f"{topic_prefix}a."
    )

    there = TopicTools(topics.client["bootstrap.servers"], f"{topic_prefix}a.").read(PLAYBACK)
    assert played["records"] == 100
    assert sorted(beat.time_ms for beat in there) == list(range(1_060_300, 1_060_600, 3))


def test_nothing_is_played_where_it_would_double_records(
    playhead: CommandLine, topics: TopicTools, topic_prefix: str, tmp_path: Path
) -> None:
    topics.send(TELEMETRY, samples(10))
    record(playhead, tmp_path / "r", "telemetry", "--until-end")
    replay = ("replay", str(tmp_path / "r"), "--speed", "max", "--prefix")

    same = playhead(*replay, topic_prefix)
    assert (same.exit_code, "--same-prefix" in same.stderr) == (2, True)

    assert playhead(*replay, f"{topic_prefix}a.").exit_code == 0
    again = playhead(*replay, f"{topic_prefix}a.")
    assert (again.exit_code, "holds 10 records already" in again.stderr) == (2, True)

    assert playhead(*replay, f"{topic_prefix}a.", "--append").exit_code == 0
    assert playhead(*replay, topic_prefix, "--same-prefix").exit_code == 0
    for prefix in (f"{topic_prefix}a.", topic_prefix):
        assert sum(map(len, stood(topics, TELEMETRY, prefix).values())) == 20


def test_the_prefix_is_named_after_the_recording_when_none_is_given(
    playhead: CommandLine, topics: TopicTools, topic_prefix: str, tmp_path: Path
) -> None:
    topics.send(TELEMETRY, samples(10))
    record(playhead, tmp_path / f"{topic_prefix}x y", "telemetry", "--until-end")

    [played] = playhead.json("replay", str(tmp_path / f"{topic_prefix}x y"), "--speed", "max")

    assert played["prefix"] == f"replay-{topic_prefix}x-y."


def test_inputs_are_recorded_where_no_topics_are_named(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    topics.create(INCIDENTS)
    topics.send(TELEMETRY, samples(5))

    result = playhead("record", str(tmp_path / "r"), "--until-end", "--json")

    told = json.loads(result.stdout)
    assert {topic["topic"]: topic["records"] for topic in told["topics"]} == {"telemetry": 5, "playback": 0}
    assert "viewing is not on the broker: left out" in result.stderr


def test_a_limit_ends_a_recording_to_the_record(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    topics.send(TELEMETRY, samples(100))

    told = record(playhead, tmp_path / "r", "telemetry", "--from", "beginning", "--limit", "42")

    assert told["ended"] == "limit"
    assert told["topics"][0]["records"] == 42


def test_a_time_of_kafkas_bounds_a_recording(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    topics.send(TELEMETRY, samples(20))
    first_ms = max(message.timestamp()[1] for message in topics.messages(TELEMETRY)) + 1
    eventually(lambda: send_after(topics, first_ms), "a record of a later time")

    before = record(playhead, tmp_path / "before", "telemetry", "--to", str(first_ms))
    after = record(playhead, tmp_path / "after", "telemetry", "--from", str(first_ms), "--until-end")

    assert (before["ended"], before["topics"][0]["records"]) == ("time", 20)
    assert after["topics"][0]["records"] >= 1
    assert after["topics"][0]["broker_from_ms"] >= first_ms


def send_after(topics: TopicTools, time_ms: int) -> bool:
    topics.send(TELEMETRY, samples(1))
    return max(int(message.timestamp()[1]) for message in topics.messages(TELEMETRY)) >= time_ms


def test_ctrl_c_finishes_a_live_recording(
    environment: dict[str, str], topics: TopicTools, tmp_path: Path
) -> None:
    with PlayheadProcess(
        "record",
        "live",
        "telemetry",
        "--from",
        "beginning",
        "--json",
        environment=environment,
        folder=tmp_path,
    ) as process:
        eventually((tmp_path / f"live{PARTIAL_SUFFIX}").exists, "the partial folder")
        topics.send(TELEMETRY, samples(50))

        # What stood there when it was stopped is in it, or is left for the next: never half of it.
        code = process.interrupt()

    told = json.loads(process.output)
    assert code == 0
    assert told["ended"] == "interrupted"
    assert (tmp_path / "live").is_dir()
    assert not (tmp_path / f"live{PARTIAL_SUFFIX}").exists()
    shown = CommandLine(environment)("recording", "show", str(tmp_path / "live"))
    assert shown.exit_code == 0


def test_what_a_killed_recorder_left_is_shown_and_played(
    environment: dict[str, str], topics: TopicTools, topic_prefix: str, tmp_path: Path
) -> None:
    playhead = CommandLine(environment)
    file = tmp_path / "samples.jsonl"
    file.write_bytes(b"".join(TELEMETRY.encode(sample) + b"\n" for sample in samples(210_000)))
    assert playhead("produce", "telemetry", str(file), "--pack", "0").exit_code == 0
    partial = tmp_path / f"killed{PARTIAL_SUFFIX}"
    with PlayheadProcess(
        "record", "killed", "telemetry", "--from", "beginning", environment=environment, folder=tmp_path
    ) as process:
        eventually(lambda: list(partial.glob("telemetry/*.parquet")), "a part")
        process.kill()

    [shown] = playhead.json("recording", "show", str(partial))
    prefix = f"{topic_prefix}a."
    [played] = playhead.json("replay", str(partial), "--speed", "max", "--prefix", prefix)

    assert (shown["ended"], shown["finished"], shown["problems"]) == ("killed", False, [])
    assert shown["prefix"] == topic_prefix
    assert played["records"] == shown["topics"][0]["records"] >= 200_000
    original, back = stood(topics, TELEMETRY), stood(topics, TELEMETRY, prefix)
    assert all(back[partition] == original[partition][: len(back[partition])] for partition in back)


def test_damage_is_told_by_file_and_nothing_is_played(
    playhead: CommandLine, topics: TopicTools, topic_prefix: str, tmp_path: Path
) -> None:
    topics.send(TELEMETRY, samples(100))
    topics.send(PLAYBACK, beats(100))
    record(playhead, tmp_path / "r", "--until-end")
    part = tmp_path / "r" / "telemetry" / "00000.parquet"
    part.write_bytes(part.read_bytes()[:-50])

    shown = playhead("recording", "show", str(tmp_path / "r"))
    played = playhead("replay", str(tmp_path / "r"), "--speed", "max", "--prefix", f"{topic_prefix}a.")

    assert shown.exit_code == played.exit_code == 1
    assert "telemetry/00000.parquet" in shown.stderr
    assert f"{part}: is no whole Parquet file" in played.stderr


def test_a_target_with_fewer_partitions_gets_every_record_and_a_warning(
    playhead: CommandLine, topics: TopicTools, topic_prefix: str, tmp_path: Path
) -> None:
    topics.send(TELEMETRY, samples(100))
    record(playhead, tmp_path / "r", "telemetry", "--until-end")
    prefix = f"{topic_prefix}a."
    TopicsAdmin(topics.client).create([Wanted(TELEMETRY.full_name(prefix), 2)])

    result = playhead("replay", str(tmp_path / "r"), "--speed", "max", "--prefix", prefix)

    assert result.exit_code == 0
    assert "has 2 partitions, 4 were recorded" in result.stderr
    spans = spans_of(topics.client, TELEMETRY.full_name(prefix))
    assert [sum(span.end - span.first for span in spans), len(spans)] == [100, 2]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["record", "r", "telemetri"], 2, "did you mean telemetry or"),
        (["record", "r", "incidents"], 1, "`playhead topics create`"),
        (["record", "r", "telemetry", "--all"], 2, "--all"),
        (["record", "r", "telemetry", "--from", "soon"], 2, "'soon' is no time"),
        (["replay", "no-such-folder"], 3, "no-such-folder: there is no such folder"),
        (["recording", "show", "no-such-folder"], 3, "no-such-folder: there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_told_with_an_exit_code(
    playhead: CommandLine,
    topics: TopicTools,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    result = playhead(*arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "inf", "nan"])
def test_a_speed_that_is_none_is_told(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path, speed: str
) -> None:
    record(playhead, tmp_path / "r", "telemetry", "--until-end")

    result = playhead("replay", str(tmp_path / "r"), "--speed", speed)

    assert result.exit_code == 2
    assert f"--speed {speed}: expected a number above 0, or max" in result.stderr
