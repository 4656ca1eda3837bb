"""Where Kafka and Redis come from, bringing them up, and taking them down again.

In this order: the address given (PLAYHEAD_BROKERS, PLAYHEAD_REDIS_URL); what is running already;
Docker Compose where an engine answers; a Kafka from Maven's jars and the system's redis-server.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from playhead.engine import compose
from playhead.engine.compose import (
    DEFAULT_KAFKA_PORT,
    DEFAULT_REDIS_PORT,
    Compose,
    ComposePorts,
    ComposeService,
)
from playhead.engine.errors import EngineError, ToolError
from playhead.engine.folders import data_folder
from playhead.engine.given import GivenKafka, GivenRedis
from playhead.engine.local_kafka import DEFAULT_HEAP_MB, LocalKafka
from playhead.engine.local_redis import LocalRedis
from playhead.engine.local_server import LocalServer, Report, folder_lock, silent

Origin = Literal["given", "compose", "local"]
KafkaSource = GivenKafka | ComposeService | LocalKafka
RedisSource = GivenRedis | ComposeService | LocalRedis
Source = KafkaSource | RedisSource

NO_REDIS = (
    "no Redis: {reason}. The demo does without one, keeping what Redis would hold inside its own process; "
    "nothing else does"
)


@dataclass(frozen=True, slots=True)
class Options:
    """How services are found or started.

    Args:
        data_folder: where local services keep everything.
        brokers: Kafka's address (`host:port,…`), or empty to start one.
        redis_url: Redis' address, or empty to start one.
        kafka_port: the port for Kafka on this machine, or None for the last one or a free one.
        redis_port: the same for Redis.
        heap_mb: the heap of a Kafka without Docker, in MB.
        may_use_docker: whether Docker may be used where an engine answers.
    """

    data_folder: Path = field(default_factory=data_folder)
    brokers: str = ""
    redis_url: str = ""
    kafka_port: int | None = None
    redis_port: int | None = None
    heap_mb: int = DEFAULT_HEAP_MB
    may_use_docker: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Options:
        """The options that PLAYHEAD_… variables ask for.

        Raises:
            EngineError: a variable has a value of the wrong kind; both are named.
        """
        return cls(
            data_folder=data_folder(environment),
            brokers=environment.get("PLAYHEAD_BROKERS", ""),
            redis_url=environment.get("PLAYHEAD_REDIS_URL", ""),
            kafka_port=_port(environment, "PLAYHEAD_KAFKA_PORT"),
            redis_port=_port(environment, "PLAYHEAD_REDIS_PORT"),
            heap_mb=_heap_mb(environment, "PLAYHEAD_KAFKA_HEAP_MB") or DEFAULT_HEAP_MB,
            may_use_docker=_yes(environment, "PLAYHEAD_DOCKER"),
        )


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is up: where it came from, its address, and whether it was up before."""

    name: str
    origin: Origin
    address: str
    was_running: bool
    log: str | None


@dataclass(frozen=True, slots=True)
class Services:
    """What `up` brought up. There is always a Kafka; without a Redis a warning says why."""

    kafka: Service
    redis: Service | None
    warnings: tuple[str, ...]

    @property
    def brokers(self) -> str:
        """Kafka's address, as `bootstrap.servers` takes it."""
        return self.kafka.address

    @property
    def redis_url(self) -> str | None:
        """Redis' address."""
        return None if self.redis is None else self.redis.address


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """How a service is: `unreachable` when it should answer and does not."""

    name: str
    origin: Origin
    state: Literal["running", "unreachable", "stopped"]
    address: str | None
    pid: int | None
    log: str | None


@dataclass(frozen=True, slots=True)
class ServicesStatus:
    """How Kafka and Redis are, and where local ones keep their data."""

    kafka: ServiceStatus
    redis: ServiceStatus
    data_folder: str


def up(
    options: Options, report: Report = silent, docker_available: Callable[[], bool] = compose.available
) -> Services:
    """Bring up Kafka and Redis, or find them up already; quick the second time.

    Args:
        options: how.
        report: told what is being done, a line at a time.
        docker_available: whether Docker Compose can be used; asked at most once, and only when it matters.

    Raises:
        EngineError: one of its kinds, with a text that says what to do.
    """
    docker = cache(lambda: options.may_use_docker and docker_available())
    with folder_lock(options.data_folder, report, waiting_for="the services"):
        sources = choose_kafka(options, docker, report), choose_redis(options, docker, report)
        if any(source.origin == "compose" for source in sources):
            compose.remember(options.data_folder, _compose_ports(options))
        kafka = _bring_up("Kafka", sources[0])
        try:
            redis = _bring_up("Redis", sources[1])
        except ToolError as error:
            return Services(kafka, None, (NO_REDIS.format(reason=error),))
        return Services(kafka, redis, ())


def choose_kafka(options: Options, docker: Callable[[], bool], report: Report = silent) -> KafkaSource:
    """Where `up` takes Kafka from; nothing is started or changed."""
    source = _kafka(options, report)
    if isinstance(source, LocalServer) and not source.running and docker():
        return Compose(_compose_ports(options), report).kafka
    return source


def choose_redis(options: Options, docker: Callable[[], bool], report: Report = silent) -> RedisSource:
    """Where `up` takes Redis from; nothing is started or changed."""
    source = _redis(options, report)
    if isinstance(source, LocalServer) and not source.running and docker():
        return Compose(_compose_ports(options), report).redis
    return source


def down(options: Options, report: Report = silent) -> tuple[str, ...]:
    """Stop what `up` started, data kept; return the names of what was running. Given services stay up."""
    stopped = []
    with folder_lock(options.data_folder, report, waiting_for="the services"):
        for server in (_local_redis(options, report), _local_kafka(options, report)):
            if server.stop():
                stopped.append(server.name)
        if (ports := compose.remembered(options.data_folder)) is not None:
            # Forgotten first: where Docker is gone for good, the containers are too.
            compose.forget(options.data_folder)
            Compose(ports, report).down()
            stopped.append("Docker Compose")
    return tuple(stopped)


def discover(options: Options) -> Services | None:
    """The services that are up, without starting any; None when there is no Kafka.

    A given or composed service is taken at its word, a local one when its process lives.
    """
    kafka, redis = _kafka(options), _redis(options)
    if isinstance(kafka, LocalServer) and not kafka.running:
        return None
    has_redis = not isinstance(redis, LocalServer) or redis.running
    return Services(
        _service("Kafka", kafka, was_running=True),
        _service("Redis", redis, was_running=True) if has_redis else None,
        (),
    )


def status(options: Options) -> ServicesStatus:
    """How Kafka and Redis are now; each is asked for an answer."""
    return ServicesStatus(
        _status("Kafka", _kafka(options)), _status("Redis", _redis(options)), str(options.data_folder)
    )


def start_kafka(options: Options, report: Report = silent) -> Service:
    """Start the Kafka that was stopped or killed again, on the same port with the same data."""
    return _bring_up("Kafka", _kafka(options, report))


def stop_kafka(options: Options, report: Report = silent) -> bool:
    """Stop only Kafka, in good order; False when it was not running."""
    return _kafka(options, report).stop()


def kill_kafka(options: Options, report: Report = silent) -> bool:
    """End only Kafka at once, as a power cut would; False when it was not running."""
    return _kafka(options, report).kill()


def _kafka(options: Options, report: Report = silent) -> KafkaSource:
    if options.brokers:
        return GivenKafka(options.brokers)
    if (ports := compose.remembered(options.data_folder)) is not None:
        return Compose(ports, report).kafka
    return _local_kafka(options, report)


def _redis(options: Options, report: Report = silent) -> RedisSource:
    if options.redis_url:
        return GivenRedis(options.redis_url)
    if (ports := compose.remembered(options.data_folder)) is not None:
        return Compose(ports, report).redis
    return _local_redis(options, report)


def _bring_up(name: str, source: Source) -> Service:
    started = source.start()
    return _service(name, source, was_running=not started)


def _service(name: str, source: Source, *, was_running: bool) -> Service:
    log = str(source.log) if isinstance(source, LocalServer) else None
    return Service(name, source.origin, source.address, was_running, log)


def _status(name: str, source: Source) -> ServiceStatus:
    if isinstance(source, LocalServer) and not source.running:
        return ServiceStatus(name, source.origin, "stopped", None, None, str(source.log))
    local = source if isinstance(source, LocalServer) else None
    return ServiceStatus(
        name,
        source.origin,
        "running" if source.answers() else "unreachable",
        source.address,
        None if local is None else local.pid,
        None if local is None else str(local.log),
    )


def _local_kafka(options: Options, report: Report) -> LocalKafka:
    return LocalKafka(
        options.data_folder / "kafka",
        options.kafka_port,
        heap_mb=options.heap_mb,
        tools=options.data_folder / "tools",
        report=report,
    )


def _local_redis(options: Options, report: Report) -> LocalRedis:
    tools = options.data_folder / "tools"
    return LocalRedis(options.data_folder / "redis", options.redis_port, tools=tools, report=report)


def _compose_ports(options: Options) -> ComposePorts:
    if (remembered := compose.remembered(options.data_folder)) is not None:
        return remembered
    return ComposePorts(options.kafka_port or DEFAULT_KAFKA_PORT, options.redis_port or DEFAULT_REDIS_PORT)


def _port(environment: Mapping[str, str], name: str) -> int | None:
    return _whole(environment, name, range(1, 65_536), "a port from 1 to 65535")


def _heap_mb(environment: Mapping[str, str], name: str) -> int | None:
    return _whole(environment, name, range(64, 65_537), "a number of MB from 64 to 65536")


def _whole(environment: Mapping[str, str], name: str, allowed: range, expected: str) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or int(text) not in allowed:
        raise EngineError(f"{name} = {text!r}: expected {expected}")
    return int(text)


def _yes(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name) or "yes"
    if text not in ("yes", "no"):
        raise EngineError(f"{name} = {text!r}: expected yes or no")
    return text == "yes"
