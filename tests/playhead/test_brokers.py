"""Where Kafka is, and how its clients are set."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from config import Settings, load
from playhead.brokers import (
    BrokerRefusedError,
    BrokerUnavailableError,
    NoBrokerError,
    client_config,
    find_brokers,
    kafka_errors,
    producer_config,
)


def settings(**environment: str) -> Settings:
    return load(environment, Path("/nowhere")).settings


def test_brokers_that_are_set_are_used() -> None:
    assert find_brokers(settings(PLAYHEAD_BROKERS="a:9092,b:9092"), {}) == "a:9092,b:9092"


def test_where_none_is_set_and_none_runs_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoBrokerError, match="run `playhead up`, or set PLAYHEAD_BROKERS") as caught:
        find_brokers(settings(), {"PLAYHEAD_DATA_DIR": str(tmp_path)})

    assert caught.value.exit_code == 3


def test_what_keeps_services_from_being_found_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoBrokerError, match="PLAYHEAD_KAFKA_PORT = 'nine'"):
        find_brokers(settings(), {"PLAYHEAD_DATA_DIR": str(tmp_path), "PLAYHEAD_KAFKA_PORT": "nine"})


def test_clients_wait_as_long_as_the_settings_say() -> None:
    config = client_config(settings(PLAYHEAD_BROKERS="a:1", PLAYHEAD_KAFKA__REQUEST_TIMEOUT_S="7"))

    assert config["socket.timeout.ms"] == 7_000


def test_what_a_command_asks_for_wins() -> None:
    config = client_config(settings(PLAYHEAD_BROKERS="a:1"), **{"client.id": "bench", "group.id": "g"})

    assert (config["client.id"], config["group.id"]) == ("bench", "g")


def test_producers_are_idempotent_and_place_keys_where_faust_does() -> None:
    config = producer_config(settings(PLAYHEAD_BROKERS="a:1"))

    assert config["partitioner"] == "murmur2_random"
    assert config["enable.idempotence"] is True
    Producer(config)  # librdkafka takes every name and value


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT])
def test_a_broker_that_is_away_is_unavailable(code: int) -> None:
    with (
        pytest.raises(BrokerUnavailableError, match="no answer from Kafka at a:1") as caught,
        kafka_errors("a:1"),
    ):
        raise KafkaException(KafkaError(code))

    assert caught.value.exit_code == 3


def test_any_other_error_is_told_as_kafka_says_it() -> None:
    with (
        pytest.raises(BrokerRefusedError, match=r"Kafka at a:1: .*authorization") as caught,
        kafka_errors("a:1"),
    ):
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    assert caught.value.code == KafkaError.TOPIC_AUTHORIZATION_FAILED
