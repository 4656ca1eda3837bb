"""A Kafka without Docker: it starts, keeps data over stops and crashes, and says what is wrong."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from playhead.engine import broker
from playhead.engine.broker import Options
from playhead.engine.errors import DataFolderError, PortError, StartError, ToolError, UnreachableError
from playhead.engine.folders import tools_folder
from playhead.engine.local_kafka import LocalKafka
from playhead.engine.local_redis import LocalRedis
from playhead.engine.local_server import free_port


@pytest.fixture(autouse=True)
def programs_unless_docker(docker_answers: bool) -> None:
    missing = [name for name in ("java", "mvn", "redis-server") if shutil.which(name) is None]
    if docker_answers and missing:
        pytest.skip(f"no {', '.join(missing)}: on this machine services come from Docker")


@pytest.fixture(scope="module")
def module_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    kafka = LocalKafka(tmp_path_factory.mktemp("local"))
    yield kafka
    kafka.kill()


@pytest.fixture
def local(module_kafka: LocalKafka) -> LocalKafka:
    """A local Kafka that runs, whatever the test before did to it."""
    module_kafka.start()
    return module_kafka


@pytest.fixture
def options(tmp_path: Path) -> Iterator[Options]:
    """Options for services of the test's own, with the jars that are cached already."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "tools").symlink_to(tools_folder())
    options = Options(data_folder=data, may_use_docker=False)
    yield options
    broker.down(options)


@pytest.fixture
def topic(local: LocalKafka, topic_prefix: str) -> str:
    name = f"{topic_prefix}kept"
    admin = AdminClient({"bootstrap.servers": local.brokers})
    admin.create_topics([NewTopic(name, num_partitions=1)])[name].result(timeout=10)
    return name


def produce(brokers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": brokers, "message.max.bytes": 9_000_000})
    failures: list[object] = []
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(10) == 0
    assert failures == [None]


def consume(brokers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=30)
    finally:
        consumer.close()
    return [message.value() for message in messages]


def test_a_message_is_consumed_as_it_was_produced(local: LocalKafka, topic: str) -> None:
    produce(local.brokers, topic, b"hello")

    assert consume(local.brokers, topic, 1) == [b"hello"]


def test_address_and_data_outlive_a_stop(local: LocalKafka, topic: str) -> None:
    brokers = local.brokers
    produce(brokers, topic, b"before the stop")

    assert local.stop()
    assert not local.running
    assert local.start()

    assert local.brokers == brokers
    produce(brokers, topic, b"after the stop")
    assert consume(brokers, topic, 2) == [b"before the stop", b"after the stop"]


def test_address_and_data_outlive_a_kill(local: LocalKafka, topic: str) -> None:
    brokers = local.brokers
    produce(brokers, topic, b"before the kill")

    assert local.kill()
    assert not local.running
    assert local.start()

    assert local.brokers == brokers
    assert consume(brokers, topic, 1) == [b"before the kill"]


def test_records_of_eight_megabytes_fit(local: LocalKafka, topic: str) -> None:
    snapshot = os.urandom(8 * 1024 * 1024)

    produce(local.brokers, topic, snapshot)

    assert consume(local.brokers, topic, 1) == [snapshot]


def test_topics_are_not_made_by_a_mistyped_name(local: LocalKafka) -> None:
    admin = AdminClient({"bootstrap.servers": local.brokers})

    admin.list_topics("telemetri", timeout=10)

    assert "telemetri" not in admin.list_topics(timeout=10).topics


def test_starting_again_finds_it_running(local: LocalKafka) -> None:
    pid = local.pid

    assert not local.start()
    assert not LocalKafka(local.folder).start()
    assert local.pid == pid


def test_starting_from_two_commands_at_once_starts_one(tmp_path: Path) -> None:
    servers = [LocalKafka(tmp_path / "kafka") for _ in range(3)]
    started: list[bool] = []
    threads = [threading.Thread(target=lambda each=each: started.append(each.start())) for each in servers]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(started) == [False, False, True]
    assert len({server.pid for server in servers}) == 1
    servers[0].kill()


def test_stopping_what_does_not_run_says_so(tmp_path: Path) -> None:
    assert not LocalKafka(tmp_path / "kafka").stop()
    assert not LocalKafka(tmp_path / "kafka").kill()


def test_a_configured_port_that_is_taken_is_named(local: LocalKafka, tmp_path: Path) -> None:
    with pytest.raises(PortError, match=f"port {local.port} for Kafka is taken"):
        LocalKafka(tmp_path / "other", local.port).start()


def test_a_configured_port_is_used(tmp_path: Path) -> None:
    port = free_port()
    kafka = LocalKafka(tmp_path / "kafka", port)

    kafka.start()

    assert kafka.brokers == f"127.0.0.1:{port}"
    assert kafka.answers()
    kafka.kill()


def test_a_broker_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path / "kafka", heap_mb=1)

    with pytest.raises(StartError, match=r"(?s)Kafka ended while starting.*heap"):
        kafka.start()
    assert not kafka.running


def test_missing_java_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(ToolError, match=r"(?s)no java on the PATH.*apt-get install -y default-jre-headless"):
        LocalKafka(tmp_path / "kafka").start()


def test_an_old_java_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "java", """echo 'openjdk version "1.8.0_402"' >&2""")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(ToolError, match=r"needs Java 17 or newer and .*/java is Java 8"):
        LocalKafka(tmp_path / "kafka").start()


def test_missing_maven_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "java", """echo 'openjdk version "21.0.2"' >&2""")
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(ToolError, match=r"(?s)no mvn on the PATH.*apt-get install -y maven"):
        LocalKafka(tmp_path / "kafka", tools=tmp_path / "tools").start()


def test_a_failing_maven_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "java", """echo 'openjdk version "21.0.2"' >&2""")
    script(tmp_path / "mvn", "echo '[ERROR] Unknown host'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(ToolError, match=r"(?s)could not fetch Kafka's jars.*Unknown host"):
        LocalKafka(tmp_path / "kafka", tools=tmp_path / "tools").start()


@pytest.mark.parametrize("server", [LocalKafka, LocalRedis])
def test_a_data_folder_that_cannot_be_made_is_named(
    tmp_path: Path, server: type[LocalKafka | LocalRedis]
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()

    with pytest.raises(DataFolderError, match=f"{in_the_way}/data cannot be used.*PLAYHEAD_DATA_DIR"):
        server(in_the_way / "data").start()


def test_services_come_up_once_and_go_down(options: Options) -> None:
    first = broker.up(options)
    second = broker.up(options)

    assert (first.kafka.origin, first.kafka.was_running) == ("local", False)
    assert (second.kafka.was_running, second.brokers) == (True, first.brokers)
    assert (second.redis_url, second.warnings) == (first.redis_url, ())
    found = broker.discover(options)
    assert found is not None
    assert found.brokers == first.brokers
    assert broker.status(options).kafka.state == "running"
    assert broker.down(options) == ("Redis", "Kafka")
    assert broker.discover(options) is None
    assert broker.status(options).kafka.state == "stopped"


def test_kafka_alone_is_killed_and_started_again(options: Options) -> None:
    before = broker.up(options)

    assert broker.kill_kafka(options)
    assert broker.status(options).kafka.state == "stopped"
    assert broker.status(options).redis.state == "running"
    again = broker.start_kafka(options)

    assert (again.address, again.was_running) == (before.brokers, False)


def test_given_services_are_used_and_left_alone(kafka: Any, redis_url: str, tmp_path: Path) -> None:
    options = Options(data_folder=tmp_path, brokers=kafka.brokers, redis_url=redis_url)

    services = broker.up(options)

    assert (services.kafka.origin, services.brokers) == ("given", kafka.brokers)
    assert services.redis_url == redis_url
    assert broker.down(options) == ()
    assert broker.status(options).kafka.state == "running"


def test_a_given_broker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    options = Options(data_folder=tmp_path, brokers=f"127.0.0.1:{free_port()}")

    with pytest.raises(UnreachableError, match=f"PLAYHEAD_BROKERS = '{options.brokers}'"):
        broker.up(options)


def test_redis_answers_and_forgets_over_a_stop(tmp_path: Path) -> None:
    import redis

    server = LocalRedis(tmp_path / "redis")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
    server.stop()
    server.start()

    with redis.Redis.from_url(server.url) as client:
        assert client.get("key") is None
    server.stop()


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
