"""Dead letters on a real broker: looked at, and driven back once, as they were."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import pytest
from command_line import CommandLine
from confluent_kafka import Message, Producer

from agents.dead_letters import dead_letter
from config import load
from playhead.brokers import producer_config
from playhead.dead_letters import REDRIVEN_HEADER
from playhead.engine.local_server import free_port
from playhead.log_reader import read_to_end
from playhead.packing import PACKED_HEADERS, partition_of
from playhead.topics_admin import TopicsAdmin, wanted
from topics import DEAD_LETTERS, TELEMETRY, VIEWING
from topics.dead_letters import MAX_KEPT_BYTES
from topics.telemetry import Samples

BAD = b'{"time_ms": 1781980200000, "service": "payment", "metric": "error_rate", "value": "high"}'
REASON = "Expected `float`, got `str` - at `$.value`"
HOUR_MS = 3_600_000


class Broker(Protocol):
    @property
    def brokers(self) -> str: ...


Refuse = Callable[..., str]


@pytest.fixture
def environment(kafka: Broker, topic_prefix: str) -> dict[str, str]:
    return {"PLAYHEAD_BROKERS": kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix}


@pytest.fixture
def playhead(environment: dict[str, str], client: dict[str, Any], topic_prefix: str) -> CommandLine:
    TopicsAdmin(client).create(wanted([DEAD_LETTERS, TELEMETRY, VIEWING], topic_prefix))
    return CommandLine(environment)


@pytest.fixture
def client(kafka: Broker) -> dict[str, Any]:
    return {"bootstrap.servers": kafka.brokers, "log_level": 0}


@pytest.fixture
def refuse(environment: dict[str, str], playhead: CommandLine, topic_prefix: str) -> Refuse:
    """Do as an agent does that refuses a record; returns the record's origin."""
    producer = Producer(producer_config(load(environment).settings))

    def refuse(refused_ms: int = 0, **differs: Any) -> str:
        letter = dead_letter(
            **{
                "agent": "telemetry",
                "topic": "telemetry",
                "partition": 2,
                "offset": 7,
                "time_ms": time.time_ns() // 1_000_000,
                "key": b"payment/error_rate",
                "value": BAD,
                "headers": [("traceparent", b"00-4bf9")],
                "reason": REASON,
            }
            | differs
        )
        producer.produce(
            f"{topic_prefix}dead-letters",
            key=letter.key,
            value=DEAD_LETTERS.encode(letter.record),
            timestamp=refused_ms,
        )
        assert producer.flush(10) == 0
        return letter.key

    return refuse


@pytest.fixture
def came_back(client: dict[str, Any], topic_prefix: str) -> Callable[[str], list[Message]]:
    return lambda topic: list(read_to_end(client, f"{topic_prefix}{topic}"))


def test_where_nothing_was_refused_it_says_so(playhead: CommandLine) -> None:
    result = playhead("dead-letters", "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no dead letters\n"


def test_letters_are_listed_with_place_agent_reason_and_first_bytes(
    playhead: CommandLine, refuse: Refuse
) -> None:
    refuse(time_ms=time.time_ns() // 1_000_000 - 2 * HOUR_MS)

    line = playhead("dead-letters", "list").stdout.splitlines()[1]

    for part in ("telemetry[2]@7", "2 h", "telemetry", REASON, '{"time_ms": 1781980200000'):
        assert part in line


def test_refused_bytes_cannot_command_the_terminal(playhead: CommandLine, refuse: Refuse) -> None:
    refuse(value=b"\x1b[31m[bold red]\xff", reason="no [/such] tag \x07", key=b"\x1b]0;title\x07")

    listed = playhead("dead-letters", "list").stdout
    shown = playhead("dead-letters", "show", "telemetry[2]@7").stdout

    assert r"·[31m[bold red]\xff" in listed
    assert "no [/such] tag ·" in listed
    assert "\x1b" not in listed + shown
    assert "\x07" not in listed + shown


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ((), [1, 2, 3]),
        (("--topic", "playback"), [2]),
        (("--reason", "TOMBSTONE"), [3]),
        (("--since", "90m"), [2, 3]),
        (("--since", "90m", "--topic", "telemetry"), [3]),
        (("--topic", "nothing"), []),
    ],
)
def test_letters_are_chosen_by_topic_reason_and_time(
    playhead: CommandLine, refuse: Refuse, options: tuple[str, ...], chosen: list[int]
) -> None:
    now_ms = time.time_ns() // 1_000_000
    refuse(now_ms, offset=1, time_ms=now_ms - 2 * HOUR_MS)
    refuse(now_ms + 1, offset=2, time_ms=now_ms - HOUR_MS, topic="playback")
    refuse(now_ms + 2, offset=3, time_ms=now_ms, value=None, reason="a tombstone")

    rows = playhead.json("dead-letters", "list", *options)

    assert [row["offset"] for row in rows] == chosen


def test_a_letter_is_shown_whole_its_json_laid_out(playhead: CommandLine, refuse: Refuse) -> None:
    place = refuse()

    shown = playhead("dead-letters", "show", place)

    assert shown.exit_code == 0
    for part in (
        place,
        REASON,
        "payment/error_rate",
        "traceparent = 00-4bf9",
        f"{len(BAD)} bytes",
        '  "value": "high"',
    ):
        assert part in shown.stdout


def test_bytes_that_are_no_json_are_shown_in_hexadecimal(playhead: CommandLine, refuse: Refuse) -> None:
    place = refuse(value=b"\x00\x01play")

    shown = playhead("dead-letters", "show", place).stdout

    assert "00000000  00 01 70 6c 61 79" in shown
    assert "··play" in shown


def test_a_script_gets_the_whole_letter(playhead: CommandLine, refuse: Refuse) -> None:
    [letter] = playhead.json("dead-letters", "show", refuse())

    assert DEAD_LETTERS.decode(json.dumps(letter).encode()).value == BAD
    assert letter["redriven_ms"] is None


def test_a_place_where_nothing_was_refused_is_named(playhead: CommandLine) -> None:
    result = playhead("dead-letters", "show", "telemetry[0]@1")

    assert result.exit_code == 1
    assert "no dead letter of telemetry[0]@1" in result.stderr


def test_a_text_that_is_no_place_is_told_with_the_right_form(playhead: CommandLine) -> None:
    result = playhead("dead-letters", "show", "telemetry-2-7")

    assert result.exit_code == 2
    assert "'telemetry-2-7' is no origin: expected topic[partition]@offset" in result.stderr


def test_a_record_goes_back_as_it_was(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    place = refuse()
    [letter] = playhead.json("dead-letters", "list")

    result = playhead("dead-letters", "redrive", place)

    [record] = came_back("telemetry")
    assert result.exit_code == 0
    assert (record.key(), record.value()) == (b"payment/error_rate", BAD)
    assert record.headers() == [("traceparent", b"00-4bf9"), (REDRIVEN_HEADER, letter["id"].encode())]
    assert record.partition() == partition_of(b"payment/error_rate", TELEMETRY.partitions)


def test_a_record_goes_back_once_unless_asked_for_again(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    place = refuse()
    playhead("dead-letters", "redrive", "--all")

    everything = playhead("dead-letters", "redrive", "--all")
    by_name = playhead("dead-letters", "redrive", place)
    assert len(came_back("telemetry")) == 1
    assert everything.exit_code == 0
    assert by_name.exit_code == 1
    assert "was driven back before; --again sends it again" in by_name.stdout

    again = playhead("dead-letters", "redrive", place, "--again")
    assert again.exit_code == 0
    assert len(came_back("telemetry")) == 2


def test_what_went_back_waits_no_longer(playhead: CommandLine, refuse: Refuse) -> None:
    place = refuse()

    playhead("dead-letters", "redrive", "--all")

    assert playhead.json("dead-letters", "list") == []
    [letter] = playhead.json("dead-letters", "list", "--driven-back")
    assert letter["origin"] == place
    assert letter["redriven_ms"] > letter["time_ms"] - HOUR_MS
    [shown] = playhead.json("dead-letters", "show", place)
    assert shown["redriven_ms"] == letter["redriven_ms"]


def test_a_record_that_is_refused_again_waits_again(playhead: CommandLine, refuse: Refuse) -> None:
    refuse()
    playhead("dead-letters", "redrive", "--all")

    refuse(offset=8, headers=[(REDRIVEN_HEADER, b"the first letter")])

    assert [row["offset"] for row in playhead.json("dead-letters", "list")] == [8]


def test_a_record_that_two_agents_refused_goes_back_once(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    refuse(topic="viewing", agent="preferences")
    refuse(topic="viewing", agent="experiments")

    steps = playhead.json("dead-letters", "redrive", "--all")

    assert [step["done"] for step in steps] == [True, True]
    assert len(came_back("viewing")) == 1
    assert playhead.json("dead-letters", "list") == []


def test_an_event_of_a_packed_record_goes_back_alone_under_its_own_key(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    packed = Samples(
        series=["payment/error_rate", "user/logins{az=1}"], which=[0, 1], time_ms=[1, 2], value=[0.5, 9]
    )
    refuse(value=msgspec.json.encode(packed), key=None, headers=PACKED_HEADERS, packed_index=1)

    playhead("dead-letters", "redrive", "--all")

    [record] = came_back("telemetry")
    sample = TELEMETRY.decode(record.value())
    assert (sample.service, sample.metric, sample.value, sample.tags) == ("user", "logins", 9, {"az": "1"})
    assert record.key() == b"user/logins{az=1}"
    assert [name for name, _ in record.headers()] == [REDRIVEN_HEADER]


def test_a_record_without_key_goes_back_to_its_partition(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    for offset in range(8):
        refuse(key=None, partition=3, offset=offset)

    playhead("dead-letters", "redrive", "--all")

    assert [record.partition() for record in came_back("telemetry")] == [3] * 8


def test_a_tombstone_goes_back_as_a_tombstone(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    refuse(value=None)

    playhead("dead-letters", "redrive", "--all")

    [record] = came_back("telemetry")
    assert (record.key(), record.value()) == (b"payment/error_rate", None)


@pytest.mark.parametrize(
    ("letter", "says"),
    [
        (
            {"value": b"x" * (MAX_KEPT_BYTES + 1)},
            "it was too large to be kept whole; its value had 1000001 bytes",
        ),
        ({"packed_index": 5, "headers": PACKED_HEADERS}, "event 5 is not in its packed record"),
        ({"topic": "nowhere"}, "there is no topic"),
    ],
)
def test_what_cannot_go_back_is_told_and_stays(
    playhead: CommandLine, refuse: Refuse, letter: dict[str, Any], says: str
) -> None:
    refuse(**letter)

    result = playhead("dead-letters", "redrive", "--all")

    assert result.exit_code == 1
    assert says in result.stdout
    assert "0 driven back, 1 not" in result.stderr
    assert len(playhead.json("dead-letters", "list")) == 1


def test_a_dry_run_only_says_what_it_would_do(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    place = refuse()

    result = playhead("dead-letters", "redrive", "--all", "--dry-run")

    assert f"{place} would go back to" in result.stdout
    assert "1 would be driven back, 0 not" in result.stderr
    assert came_back("telemetry") == []
    assert len(playhead.json("dead-letters", "list")) == 1


def test_driving_back_asks_for_a_choice(playhead: CommandLine) -> None:
    result = playhead("dead-letters", "redrive")

    assert result.exit_code == 2
    assert "say which: origins, --topic, --reason, --since, or --all" in result.stderr


def test_a_place_to_drive_back_where_nothing_was_refused_is_named(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    place = refuse()

    result = playhead("dead-letters", "redrive", place, "telemetry[0]@99")

    assert result.exit_code == 1
    assert "no dead letter of telemetry[0]@99" in result.stderr
    assert len(came_back("telemetry")) == 1


def test_many_letters_go_back_in_the_order_they_were_refused(
    playhead: CommandLine, refuse: Refuse, came_back: Callable[[str], list[Message]]
) -> None:
    first_ms = time.time_ns() // 1_000_000 - HOUR_MS
    for offset in range(200):
        refuse(offset=offset, value=str(offset).encode(), refused_ms=first_ms + offset)

    steps = playhead.json("dead-letters", "redrive", "--topic", "telemetry")

    assert sum(step["done"] for step in steps) == 200
    assert [int(record.value()) for record in came_back("telemetry")] == list(range(200))


def test_what_is_no_letter_in_the_topic_is_passed_over(
    playhead: CommandLine, refuse: Refuse, client: dict[str, Any], topic_prefix: str
) -> None:
    producer = Producer(client)
    producer.produce(f"{topic_prefix}dead-letters", value=b"not a letter")
    assert producer.flush(10) == 0
    refuse()

    assert len(playhead.json("dead-letters", "list")) == 1


def test_without_the_topic_it_says_what_makes_it(environment: dict[str, str]) -> None:
    result = CommandLine(environment | {"PLAYHEAD_PREFIX": "never-made."})("dead-letters", "list")

    assert result.exit_code == 1
    assert "no topic 'never-made.dead-letters'" in result.stderr
    assert "playhead topics create" in result.stderr


def test_without_a_broker_it_ends_with_code_3() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    playhead = CommandLine({"PLAYHEAD_BROKERS": nobody, "PLAYHEAD_KAFKA__CONNECT_TIMEOUT_S": "1"})

    assert playhead("dead-letters", "list").exit_code == 3
    assert playhead("dead-letters", "redrive", "--all").exit_code == 3
