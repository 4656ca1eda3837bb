"""`playhead produce` and `playhead subscribe` on a real broker."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from command_line import CommandLine
from eventually import eventually
from playhead_process import PlayheadProcess
from topic_tools import TopicTools

from playhead.engine.local_server import free_port
from playhead.packing import is_packed, partition_of, unpack
from topics import ANOMALIES, INCIDENTS, PLAYBACK, TELEMETRY
from topics.anomalies import AnomalyKind, Severity
from topics.incidents import Incident, IncidentState
from topics.playback import Beat, PlayerState
from topics.telemetry import Sample

PARTITIONS = 4


class Broker(Protocol):
    @property
    def brokers(self) -> str: ...
    def start(self) -> bool: ...
    def stop(self) -> bool: ...


@pytest.fixture
def environment(kafka: Broker, topic_prefix: str) -> dict[str, str]:
    return {"PLAYHEAD_BROKERS": kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix}


@pytest.fixture
def playhead(environment: dict[str, str]) -> CommandLine:
    return CommandLine(environment)


@pytest.fixture
def topics(kafka: Broker, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(TELEMETRY, PLAYBACK, ANOMALIES, INCIDENTS)
    return tools


def sample(number: int) -> Sample:
    return Sample(time_ms=1_000 + number, service="payment", metric=f"m{number % 7}", value=number)


def incident(severity: Severity, name: str = "i1") -> Incident:
    return Incident(
        time_ms=1_781_980_200_000,
        incident=name,
        subject="cdn=b",
        state=IncidentState.OPEN,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=severity,
        summary="Viewers stall on cdn-b",
        opened_ms=1_781_980_200_000,
    )


def lines(path: Path, records: Iterable[Any]) -> Path:
    path.write_bytes(b"".join(TELEMETRY.encode(record) + b"\n" for record in records))
    return path


def test_lines_arrive_once_as_they_were_on_the_partition_of_their_key(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    file = lines(tmp_path / "samples.jsonl", map(sample, range(5_000)))

    [told] = playhead.json("produce", "telemetry", str(file), "--pack", "0")

    there = topics.messages(TELEMETRY)
    assert Counter(message.value() for message in there) == Counter(file.read_bytes().splitlines())
    assert (told["lines"], told["sent"], told["records"], told["refused"], told["failed"]) == (
        5_000,
        5_000,
        5_000,
        0,
        0,
    )
    for message in there:
        key = TELEMETRY.key_of(TELEMETRY.decode(message.value())).encode()
        assert message.key() == key
        assert message.partition() == partition_of(key, PARTITIONS)


def test_samples_are_packed_unless_told_otherwise(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    odd = Sample(time_ms=1, service="a/b", metric="c", value=1.0)
    named = [msgspec.structs.replace(sample(number), id=f"n{number}") for number in range(2_000)]
    file = lines(tmp_path / "samples.jsonl", [*named, odd])

    [told] = playhead.json("produce", "telemetry", str(file))

    told_apart = sorted(arrived(topics), key=lambda each: (each.id, each.service))
    assert told_apart == sorted([*named, odd], key=lambda each: (each.id, each.service))
    assert (told["sent"], told["records"]) == (2_001, len(topics.messages(TELEMETRY)))
    assert told["records"] < 50


def test_packed_beats_arrive_whole_on_the_partitions_of_their_sessions(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    beats = [
        Beat(time_ms=number, session_id=f"s{number % 50}", state=PlayerState.PLAYING, play_ms=5_000)
        for number in range(2_345)
    ]
    file = lines(tmp_path / "beats.jsonl", beats)

    [told] = playhead.json("produce", "playback", str(file))

    there = topics.messages(PLAYBACK)
    assert all(is_packed(message.headers()) for message in there)
    events = [(message.partition(), beat) for message in there for beat in unpack(PLAYBACK, message.value())]
    assert Counter(PLAYBACK.encode(beat) for _, beat in events) == Counter(map(PLAYBACK.encode, beats))
    assert all(partition == partition_of(beat.session_id.encode(), PARTITIONS) for partition, beat in events)
    assert (told["sent"], told["records"]) == (2_345, len(there))
    assert len(there) < 50


def test_bad_lines_are_told_by_place_field_and_value_and_the_rest_is_sent(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    good = TELEMETRY.encode(sample(1))
    bad = [
        b'{"time_ms":1,"service":"s","metric":"m","value":"x"}',
        b"not JSON",
        b'{"time_ms":1,"service":"s","metric":"m","value":NaN}',
        b'{"time_ms":1,"metric":"m","value":1}',
        b'{"time_ms":1,"service":"s","metric":"m","value":1,"pad":"%s"}' % (b"x" * 1_000_000),
        b"\x00\xff\xfe binary \x1b[2J",
    ]
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(b"\n".join([good, *bad, good]))

    result = playhead("produce", "telemetry", str(file))

    assert result.exit_code == 1
    assert "sent 2 in 1 records to" in result.stdout
    assert "refused 6 of 8 lines" in result.stdout
    for told in (
        f'{file}:2: value = "x": expected float, got str',
        f"{file}:3: not JSON",
        f"{file}:4: value = NaN",
        f"{file}:5: service: is missing",
        f"{file}:6: exceeds the limit of 1000000 bytes",
        f"{file}:7: not JSON",
    ):
        assert told in result.stderr
    assert "\x1b[2J" not in result.stderr
    assert len(arrived(topics)) == 2


def test_strict_stops_at_the_first_bad_line(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    file = tmp_path / "f.jsonl"
    file.write_bytes(TELEMETRY.encode(sample(1)) + b"\nbad\n" + TELEMETRY.encode(sample(2)))

    result = playhead("produce", "telemetry", str(file), "--strict")

    assert result.exit_code == 1
    assert len(topics.messages(TELEMETRY)) == 1


def test_an_empty_file_sends_nothing_and_says_so(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()

    result = playhead("produce", "telemetry", str(tmp_path / "empty"))

    assert result.exit_code == 0
    assert "holds no lines" in result.stdout


def test_a_damaged_file_sends_what_could_be_read_and_says_so(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    whole = gzip.compress(b"".join(TELEMETRY.encode(sample(number)) + b"\n" for number in range(60_000)))
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) * 3 // 4])

    result = playhead("produce", "telemetry", str(tmp_path / "cut.gz"), "--json")

    assert result.exit_code == 3
    assert "cut.gz cannot be read to its end" in result.stderr
    assert 0 < json.loads(result.stdout)["sent"] == len(arrived(topics)) < 60_000


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["telemetri", "f"], 2, "there is no topic 'telemetri'; did you mean telemetry"),
        (["lane.state", "f"], 2, "there is no topic 'lane.state'"),
        (["telemetry", "missing.jsonl"], 3, "missing.jsonl cannot be read"),
        (["telemetry", "."], 3, ". cannot be read"),
        (["viewing", "f"], 1, "`playhead topics create`"),
        (["incidents", "f", "--pack", "10"], 2, "telemetry, cmcd and playback have"),
    ],
)
def test_what_cannot_be_done_is_told_with_an_exit_code(
    playhead: CommandLine, topics: TopicTools, arguments: list[str], code: int, told: str
) -> None:
    result = playhead("produce", *arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr


def test_a_broker_that_is_not_there_is_told_soon(topic_prefix: str, tmp_path: Path) -> None:
    away = {
        "PLAYHEAD_BROKERS": f"127.0.0.1:{free_port()}",
        "PLAYHEAD_PREFIX": topic_prefix,
        "PLAYHEAD_KAFKA__CONNECT_TIMEOUT_S": "1",
    }
    file = lines(tmp_path / "f", [sample(1)])

    for arguments in (["produce", "telemetry", str(file)], ["subscribe", "telemetry"]):
        result = CommandLine(away)(*arguments)
        assert result.exit_code == 3
        assert "no answer from Kafka" in result.stderr


def test_ctrl_c_sends_what_was_read(environment: dict[str, str], topics: TopicTools, tmp_path: Path) -> None:
    command = ("produce", "telemetry", "-", "--pack", "1000", "--json")
    with PlayheadProcess(*command, environment=environment, folder=tmp_path) as process:
        for number in range(50):
            process.feed(TELEMETRY.encode(sample(number)) + b"\n")
        wait_for_events(topics, 50)

        code = process.interrupt()

    told = json.loads(process.output)
    assert code == 130
    assert told["interrupted"]
    assert told["sent"] == len(arrived(topics)) == 50


def wait_for_events(topics: TopicTools, count: int) -> None:
    eventually(lambda: len(arrived(topics)) >= count, f"{count} events")


def arrived(topics: TopicTools) -> list[Sample]:
    return [
        event
        for message in topics.messages(TELEMETRY)
        for event in (
            unpack(TELEMETRY, message.value())
            if is_packed(message.headers())
            else [TELEMETRY.decode(message.value())]
        )
    ]


def feed(process: PlayheadProcess, numbers: range) -> None:
    process.feed(b"".join(TELEMETRY.encode(sample(number)) + b"\n" for number in numbers))


def test_a_broker_that_was_away_gets_every_line_once(
    fault_kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    topics = TopicTools(fault_kafka.brokers, topic_prefix)
    topics.create(TELEMETRY)
    environment = {"PLAYHEAD_BROKERS": fault_kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix}
    command = ("produce", "telemetry", "--json")
    with PlayheadProcess(*command, environment=environment, folder=tmp_path) as process:
        feed(process, range(100))
        wait_for_events(topics, 100)
        fault_kafka.stop()
        feed(process, range(100, 200))
        fault_kafka.start()
        feed(process, range(200, 300))
        process.feed(b"", end=True)

        assert process.wait() == 0

    told = json.loads(process.output)
    assert (told["sent"], told["failed"]) == (300, 0)
    values = Counter(event.value for event in arrived(topics))
    assert values == Counter(map(float, range(300)))


def test_what_no_broker_takes_in_time_is_counted(
    fault_kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    topics = TopicTools(fault_kafka.brokers, topic_prefix)
    topics.create(TELEMETRY)
    environment = {
        "PLAYHEAD_BROKERS": fault_kafka.brokers,
        "PLAYHEAD_PREFIX": topic_prefix,
        "PLAYHEAD_KAFKA__DELIVERY_TIMEOUT_S": "3",
    }
    command = ("produce", "telemetry", "--json")
    with PlayheadProcess(*command, environment=environment, folder=tmp_path) as process:
        feed(process, range(100))
        wait_for_events(topics, 100)
        fault_kafka.stop()
        feed(process, range(100, 140))
        process.feed(b"", end=True)

        assert process.wait() == 1

    told = json.loads(process.output)
    assert (told["sent"], told["failed"]) == (140, 40)
    assert "Kafka does not answer" in process.error


def test_a_compressed_pipe_is_read_as_a_file_is(
    environment: dict[str, str], topics: TopicTools, tmp_path: Path
) -> None:
    data = gzip.compress(b"".join(TELEMETRY.encode(sample(number)) + b"\n" for number in range(100)))
    with PlayheadProcess("produce", "telemetry", environment=environment, folder=tmp_path) as process:
        process.feed(data, end=True)

        assert process.wait() == 0

    assert len(arrived(topics)) == 100


def test_a_rate_is_kept_to_the_last_record(playhead: CommandLine, topics: TopicTools, tmp_path: Path) -> None:
    file = lines(tmp_path / "f", map(sample, range(60)))

    [told] = playhead.json("produce", "telemetry", str(file), "--rate", "100")

    assert told["sent"] == len(arrived(topics)) == 60
    assert told["rate_per_s"] <= 110


def test_subscribe_shows_an_incident_while_it_is_produced(
    environment: dict[str, str], topics: TopicTools, tmp_path: Path
) -> None:
    command = ("subscribe", "incidents", "anomalies", "--where", "severity>=high", "--from", "beginning")
    with PlayheadProcess(*command, environment=environment, folder=tmp_path) as process:
        topics.send(INCIDENTS, [incident(Severity.LOW, "small"), incident(Severity.CRITICAL, "large")])
        process.wait_for_output("large")

        topics.send(INCIDENTS, [incident(Severity.HIGH, "later")])
        process.wait_for_output("later")

        assert process.interrupt() == 0

    assert "2026-06-20 18:30:00.000 incidents CRITICAL OPEN large Viewers stall on cdn-b" in process.output
    assert "small" not in process.output


def test_subscribe_goes_on_after_the_broker_was_away_and_says_so(
    fault_kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    topics = TopicTools(fault_kafka.brokers, topic_prefix)
    topics.create(INCIDENTS)
    environment = {"PLAYHEAD_BROKERS": fault_kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix}
    command = ("subscribe", "incidents", "--from", "beginning")
    with PlayheadProcess(*command, environment=environment, folder=tmp_path) as process:
        topics.send(INCIDENTS, [incident(Severity.HIGH, "before")])
        process.wait_for_output("before")

        fault_kafka.stop()
        fault_kafka.start()
        topics.send(INCIDENTS, [incident(Severity.HIGH, "after")])
        process.wait_for_output("after")

        process.interrupt()

    assert process.output.count("before") == 1
    assert "Kafka does not answer; waiting for it" in process.error
    assert "Kafka answers again" in process.error


def test_subscribe_as_json_tells_place_and_record(playhead: CommandLine, topics: TopicTools) -> None:
    topics.send(TELEMETRY, [sample(3)])

    [told] = playhead.json("subscribe", "telemetry", "--no-follow")

    assert told["topic"] == "telemetry"
    assert (told["key"], told["offset"]) == ("payment/m3", 0)
    assert told["record"]["value"] == 3.0


def test_topics_are_merged_by_time(playhead: CommandLine, topics: TopicTools) -> None:
    for number in range(30):
        topics.send(TELEMETRY, [sample(number)])
        topics.send(INCIDENTS, [incident(Severity.LOW, f"i{number}")])

    told = playhead.json("subscribe", "telemetry", "incidents", "--no-follow")

    times = [each["broker_time_ms"] for each in told]
    assert len(told) == 60
    assert times == sorted(times)


def test_bad_records_are_warnings_and_tombstones_are_told(playhead: CommandLine, topics: TopicTools) -> None:
    topics.send(INCIDENTS, [b"\xff not JSON", None, incident(Severity.LOW)], key=b"i9")

    result = playhead("subscribe", "incidents", "--no-follow")

    assert result.exit_code == 0, result.output
    assert "! incidents[" in result.stdout
    assert "removed i9" in result.stdout
    assert "Viewers stall" in result.stdout


def test_packed_records_are_shown_event_by_event(
    playhead: CommandLine, topics: TopicTools, tmp_path: Path
) -> None:
    playhead("produce", "telemetry", str(lines(tmp_path / "f", map(sample, range(500)))), "--pack", "50")

    told = playhead.json("subscribe", "telemetry", "--no-follow", "--where", "value>=490")

    assert sorted(each["record"]["value"] for each in told) == [float(value) for value in range(490, 500)]
    assert all("packed_index" in each for each in told)


def test_a_start_in_time_leaves_out_what_was_before(playhead: CommandLine, topics: TopicTools) -> None:
    topics.send(TELEMETRY, [sample(1)])
    [first] = playhead.json("subscribe", "telemetry", "--no-follow")
    topics.send(TELEMETRY, [sample(number) for number in range(2, 5)])
    since = str(first["broker_time_ms"] + 1)

    told = playhead.json("subscribe", "telemetry", "--from", since, "--no-follow")

    assert sorted(each["record"]["value"] for each in told) == [2.0, 3.0, 4.0]
    assert playhead.json("subscribe", "telemetry", "--from", "end", "--no-follow") == []


def test_a_limit_and_a_time_end_it(playhead: CommandLine, topics: TopicTools) -> None:
    topics.send(TELEMETRY, map(sample, range(100)))

    assert len(playhead.json("subscribe", "telemetry", "--from", "beginning", "--limit", "7")) == 7
    assert playhead("subscribe", "telemetry", "--for", "0.5").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["incident"], "did you mean incidents or"),
        (["incidents", "--where", "sevrity>=high"], "did you mean severity?"),
        (["incidents", "--where", "severity>="], "expected a value"),
        (["incidents", "--from", "soon"], "'soon' is no time"),
    ],
)
def test_what_subscribe_cannot_do_is_told(
    playhead: CommandLine, topics: TopicTools, arguments: list[str], told: str
) -> None:
    result = playhead("subscribe", *arguments)

    assert result.exit_code == 2
    assert told in result.stderr
