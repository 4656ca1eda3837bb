"""Topics on a real broker: made from the contracts, held against them, brought into line."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from command_line import CommandLine
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewTopic

from playhead.brokers import BrokerRefusedError
from playhead.engine.local_server import free_port
from playhead.log_reader import read_to_end
from playhead.topics_admin import Difference, TopicsAdmin, Wanted, wanted
from topics import ALL, DEAD_LETTERS, POLICIES, TELEMETRY


class Broker(Protocol):
    @property
    def brokers(self) -> str: ...


@pytest.fixture
def client(kafka: Broker) -> dict[str, Any]:
    return {"bootstrap.servers": kafka.brokers, "log_level": 0}


@pytest.fixture
def admin(client: dict[str, Any]) -> TopicsAdmin:
    return TopicsAdmin(client)


@pytest.fixture
def playhead(kafka: Broker, topic_prefix: str) -> CommandLine:
    return CommandLine({"PLAYHEAD_BROKERS": kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix})


def told(differences: list[Difference]) -> set[tuple[str, str, str]]:
    return {(difference.what, difference.wanted, difference.found) for difference in differences}


def test_topics_are_made_as_their_contracts_say(admin: TopicsAdmin, topic_prefix: str) -> None:
    asked = wanted(ALL, topic_prefix)

    made = admin.create(asked)

    assert sorted(made) == sorted(f"{topic_prefix}{spec.name}" for spec in ALL)
    assert admin.check(asked) == []


def test_topics_that_are_there_are_left_as_they_are(admin: TopicsAdmin, topic_prefix: str) -> None:
    admin.create([Wanted(f"{topic_prefix}telemetry", 2)])

    made = admin.create(wanted([TELEMETRY, POLICIES], topic_prefix))

    assert made == [f"{topic_prefix}policies"]
    assert ("partitions", "4", "2") in told(admin.check(wanted([TELEMETRY], topic_prefix)))


def test_topics_made_can_be_used_at_once(
    admin: TopicsAdmin, client: dict[str, Any], topic_prefix: str
) -> None:
    name = f"{topic_prefix}telemetry"
    admin.create(wanted([TELEMETRY], topic_prefix))

    assert list(read_to_end(client, name)) == []
    producer = Producer(client)
    producer.produce(name, value=b"x")
    assert producer.flush(10) == 0


def test_two_commands_may_make_the_same_topics_at_once(client: dict[str, Any], topic_prefix: str) -> None:
    asked = wanted(ALL[:8], topic_prefix)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: TopicsAdmin(client).create(asked), range(4)))

    assert TopicsAdmin(client).check(asked) == []


def test_every_way_to_differ_is_found(admin: TopicsAdmin, topic_prefix: str) -> None:
    admin.create(
        [
            Wanted(f"{topic_prefix}telemetry", 3, {"cleanup.policy": "compact", "retention.ms": "60000"}),
            Wanted(f"{topic_prefix}dead-letters", 4, {"max.message.bytes": "5000"}),
        ]
    )

    differences = admin.check(wanted([TELEMETRY, DEAD_LETTERS, POLICIES], topic_prefix))

    assert told(differences) == {
        ("partitions", "4", "3"),
        ("cleanup.policy", "delete", "compact"),
        ("retention.ms", "86400000", "60000"),
        ("retention.ms", "2592000000", "604800000"),
        ("max.message.bytes", "2000000", "5000"),
        ("missing", "there", "missing"),
    }
    assert all(difference.remedy for difference in differences)


def test_settings_are_brought_into_line_and_partitions_are_not(admin: TopicsAdmin, topic_prefix: str) -> None:
    admin.create([Wanted(f"{topic_prefix}dead-letters", 3, {"max.message.bytes": "5000"})])
    asked = wanted([DEAD_LETTERS], topic_prefix)

    mended = admin.align(asked)

    assert {difference.what for difference in mended} == {"retention.ms", "max.message.bytes"}
    assert told(admin.check(asked)) == {("partitions", "4", "3")}


def test_topics_are_made_once_a_broker_is_in_service(
    admin: TopicsAdmin, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = admin._admin.create_topics, []

    def first_refused(topics: list[NewTopic], **options: Any) -> dict[str, Future[None]]:
        calls.append([topic.topic for topic in topics])
        if len(calls) > 1:
            return dict(real(topics, **options))
        futures: dict[str, Future[None]] = {topic.topic: Future() for topic in topics}
        text = "Unable to replicate the partition 1 time(s): All brokers are currently fenced."
        for future in futures.values():
            future.set_exception(KafkaException(KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, text)))
        return futures

    monkeypatch.setattr(
        admin, "_admin", SimpleNamespace(create_topics=first_refused, list_topics=admin._admin.list_topics)
    )

    made = admin.create(wanted([POLICIES], topic_prefix))

    assert made == [f"{topic_prefix}policies"]
    assert calls == [made, made]
    monkeypatch.undo()
    assert admin.check(wanted([POLICIES], topic_prefix)) == []


def test_what_the_broker_refuses_is_named(client: dict[str, Any], topic_prefix: str) -> None:
    with pytest.raises(
        BrokerRefusedError, match=f"(?i){topic_prefix}policies could not be made.*replication"
    ):
        TopicsAdmin(client, replication_factor=3).create(wanted([POLICIES], topic_prefix))


def test_the_commands_make_and_check_topics(playhead: CommandLine, topic_prefix: str) -> None:
    before = playhead("topics", "check")
    made = playhead("topics", "create")
    after = playhead("topics", "check")

    assert before.exit_code == 1
    assert f"{topic_prefix}telemetry: is missing; run `playhead topics create`" in before.stdout
    assert made.exit_code == 0
    assert f"created  {topic_prefix}telemetry" in made.stdout
    assert after.exit_code == 0
    assert f"{len(ALL)} topics agree with their contracts" in after.stdout


def test_the_commands_tell_scripts_in_json(playhead: CommandLine, topic_prefix: str) -> None:
    assert {row["what"] for row in playhead.json("topics", "check")} == {"missing"}
    [made] = playhead.json("topics", "create")
    assert len(made["created"]) == len(ALL)
    assert playhead.json("topics", "check") == []
    assert playhead.json("topics", "create") == [{"created": [], "aligned": [], "differences": []}]


def test_create_mends_settings_where_asked_and_tells_of_the_rest(
    playhead: CommandLine, admin: TopicsAdmin, topic_prefix: str
) -> None:
    admin.create([Wanted(f"{topic_prefix}telemetry", 2, {"retention.ms": "60000"})])

    result = playhead("topics", "create", "--align")

    assert f"{topic_prefix}telemetry: retention.ms = 86400000" in result.stdout
    assert f"{topic_prefix}telemetry: partitions is 2, the contract says 4" in result.stderr


def test_a_broker_that_does_not_answer_ends_a_command_with_code_3() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    playhead = CommandLine({"PLAYHEAD_BROKERS": nobody, "PLAYHEAD_KAFKA__CONNECT_TIMEOUT_S": "1"})

    result = playhead("topics", "check")

    assert result.exit_code == 3
    assert f"no answer from Kafka at {nobody}" in result.stderr
