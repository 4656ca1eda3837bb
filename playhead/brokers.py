"""Where Kafka is, and how its clients are set: one place for every command that talks to it.

PlayheadError
├── NoBrokerError           none was named and none is running; exit code 3
├── BrokerUnavailableError  one was named or started and does not answer; exit code 3
└── BrokerRefusedError      it answered with an error
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from config import Settings
from playhead.engine import broker
from playhead.engine.broker import Options
from playhead.engine.errors import EngineError
from topics.errors import PlayheadError

ClientConfig = dict[str, Any]

QUIET = 2
"""Level of librdkafka's own log: what goes wrong is told once, by the command, not once a retry."""

AWAY = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
    }
)


class NoBrokerError(PlayheadError):
    """There is no broker to talk to."""

    exit_code = 3


class BrokerUnavailableError(PlayheadError):
    """The broker does not answer."""

    exit_code = 3


class BrokerRefusedError(PlayheadError):
    """The broker answered that it will not; `code` is Kafka's."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def find_brokers(settings: Settings, environment: Mapping[str, str] = os.environ) -> str:
    """Return the brokers' addresses: those set, else those of the Kafka that `playhead up` started.

    Raises:
        NoBrokerError: neither is there.
    """
    if settings.brokers:
        return settings.brokers
    try:
        services = broker.discover(Options.from_environment(environment))
    except EngineError as error:
        raise NoBrokerError(str(error)) from error
    if services is None:
        raise NoBrokerError(
            "no Kafka is running: run `playhead up`, or set PLAYHEAD_BROKERS to one's address"
        )
    return services.brokers


def client_config(settings: Settings, **extra: Any) -> ClientConfig:
    """Return the configuration of an admin client or a consumer, with `extra` over it.

    Raises:
        NoBrokerError: there is no broker to talk to.

    Example: ``Consumer(client_config(settings, **{"group.id": "console"}))``
    """
    return {
        "bootstrap.servers": find_brokers(settings),
        "client.id": "playhead",
        "log_level": QUIET,
        "socket.connection.setup.timeout.ms": int(settings.kafka.connect_timeout_s * 1000),
        "socket.timeout.ms": int(settings.kafka.request_timeout_s * 1000),
        "reconnect.backoff.max.ms": 1_000,
    } | extra


def producer_config(settings: Settings, **extra: Any) -> ClientConfig:
    """Return the configuration of a producer whose retries neither double nor reorder records.

    Keys land on the partitions where Faust, and every Java client, puts them: librdkafka's own default is
    another hash, under which a record would miss the agent that has its key's state.
    """
    return (
        client_config(settings)
        | {
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "delivery.timeout.ms": int(settings.kafka.delivery_timeout_s * 1000),
            "message.max.bytes": 9_000_000,
            "compression.type": "lz4",
        }
        | extra
    )


def first_answer_s(client: Mapping[str, Any]) -> float:
    """Return how long to wait for the first answer of the broker that `client` is set for."""
    return float(client.get("socket.connection.setup.timeout.ms", 10_000)) / 1000


@contextmanager
def kafka_errors(brokers: str) -> Iterator[None]:
    """Turn the errors of Kafka's clients into ones that say what to do.

    Raises:
        BrokerUnavailableError: nothing answers at `brokers`.
        BrokerRefusedError: any other error.
    """
    try:
        yield
    except KafkaException as error:
        raise broker_error(brokers, error.args[0]) from error


def broker_error(brokers: str, error: KafkaError) -> PlayheadError:
    """Return the error to raise for `error` of the broker at `brokers`."""
    if error.code() in AWAY:
        return BrokerUnavailableError(
            f"no answer from Kafka at {brokers}: see `playhead status`, or check PLAYHEAD_BROKERS"
        )
    return BrokerRefusedError(f"Kafka at {brokers}: {error.str()}", error.code())
