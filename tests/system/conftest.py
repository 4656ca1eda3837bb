"""A real Kafka and a real Redis for every test here, through one door.

Where a Docker engine answers they are containers; elsewhere the same servers that `playhead up` starts.
Either way each test session has its own, in a place of its own, and takes them down at the end.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from playhead.engine.compose import engine_answers
from playhead.engine.local_kafka import LocalKafka, kafka_answers
from playhead.engine.local_redis import LocalRedis
from playhead.engine.local_server import HOST, free_port

HERE = Path(__file__).parent
FIRST = (
    # Takes much of the machine for minutes; beside it what mostly waits.
    "test_delivery",
    "test_produce_subscribe",
    "test_incident_loop",
    "test_steering_broker_away",
    # Long ones are not left for the end, where one process has nothing to do.
    "test_recovery_and_memory",
    "test_demo",
)
"""Files in the order in which two processes take them; the others follow by name."""


class Kafka(Protocol):
    """A broker that a test may talk to, and that a fault test may stop, kill and start again.

    Its address and its data outlive a stop. `start`, `stop` and `kill` return when it is done.
    """

    @property
    def brokers(self) -> str: ...
    def start(self) -> bool: ...
    def stop(self) -> bool: ...
    def kill(self) -> bool: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
            # Brokers that stop and start take their time on a busy machine; a test's own limit comes first.
            item.add_marker(pytest.mark.timeout(400))
    order = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(FIRST)))


@pytest.fixture(scope="session")
def docker_answers() -> bool:
    return os.environ.get("PLAYHEAD_DOCKER", "yes") != "no" and engine_answers()


@pytest.fixture(scope="session")
def kafka(docker_answers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """The session's broker. Tests share it, so they keep it up and use topics of their own prefix."""
    yield from _running(_new_kafka(docker_answers, tmp_path_factory.mktemp("kafka")))


@pytest.fixture
def fault_kafka(docker_answers: bool, tmp_path: Path) -> Iterator[Kafka]:
    """A broker of the test's own, to stop, kill and start again."""
    yield from _running(_new_kafka(docker_answers, tmp_path / "kafka"))


@pytest.fixture(scope="session")
def redis_url(docker_answers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The session's Redis."""
    if docker_answers:
        from testcontainers.community.redis import RedisContainer

        with RedisContainer(_compose_service("redis")["image"]) as container:
            yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
    else:
        redis = LocalRedis(tmp_path_factory.mktemp("redis"))
        redis.start()
        yield redis.url
        redis.stop()


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test has, for this test's topics and groups."""
    return f"t{uuid.uuid4().hex[:10]}."


def _new_kafka(docker_answers: bool, folder: Path) -> Kafka:
    return KafkaInDocker() if docker_answers else LocalKafka(folder)


def _running(kafka: Kafka) -> Iterator[Kafka]:
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()
        if isinstance(kafka, KafkaInDocker):
            kafka.remove()


class KafkaInDocker:
    """The compose file's Kafka in a container of its own, on a port that outlives a stop."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        service = _compose_service("kafka")
        port = free_port()
        self._container = DockerContainer(service["image"], hostname=service["hostname"])
        self._container.with_bind_ports(9092, port)
        for name, value in service["environment"].items():
            self._container.with_env(name, str(value).replace("${PLAYHEAD_KAFKA_PORT:-9092}", str(port)))
        self._created = False
        self.brokers = f"{HOST}:{port}"

    def start(self) -> bool:
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True
        for _ in range(120):
            if kafka_answers(self.brokers, timeout_s=1.0):
                return True
            time.sleep(0.5)
        raise AssertionError(f"no answer from the container:\n{self._container.get_logs()}")

    def stop(self) -> bool:
        self._container.get_wrapped_container().stop()
        return True

    def kill(self) -> bool:
        self._container.get_wrapped_container().kill()
        return True

    def remove(self) -> None:
        self._container.stop()


def _compose_service(name: str) -> dict[str, Any]:
    compose = yaml.safe_load((HERE.parents[1] / "docker-compose.yml").read_text())
    service: dict[str, Any] = compose["services"][name]
    return service
