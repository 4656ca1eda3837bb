"""Players are answered while Kafka is away: by a gateway that runs, and by one that starts without it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
from eventually import eventually
from topic_tools import TopicTools

from playhead.lab.served_process import ServedProcess
from topics import CATALOGUE, CDN_NODES, STEERING
from topics.steering import SteeringAnswer

PREFIX = "away."


def word(order: list[str], generation: int) -> SteeringAnswer:
    now_ms = int(1_000 * time.time())
    return SteeringAnswer(
        time_ms=now_ms,
        audience="isp=3320",
        cell={"isp": "3320"},
        pathway_priority=order,
        away_from=order[-1],
        ttl_s=5,
        generation=generation,
        expires_ms=now_ms + 600_000,
    )


def order_told(gateway: ServedProcess) -> list[str]:
    """Return what a viewer of the audience is told; nothing while the gateway does not listen yet."""
    try:
        with urlopen(f"{gateway.url}/v1/steer?asset=pilot&isp=3320", timeout=5) as answer:
            told: list[str] = msgspec.json.decode(answer.read())["PATHWAY-PRIORITY"]
    except OSError:
        return []
    return told


def problem(gateway: ServedProcess) -> str:
    """Return why it is not ready; empty where it is."""
    try:
        with urlopen(f"{gateway.url}/readyz", timeout=5):
            return ""
    except HTTPError as error:
        said: str = msgspec.json.decode(error.read())["problems"]["steering"]
        return said


def test_the_last_good_answer_is_served_while_the_broker_is_away(fault_kafka: Any, tmp_path: Path) -> None:
    topics = TopicTools(fault_kafka.brokers, PREFIX)
    topics.create(CATALOGUE, CDN_NODES, STEERING)
    topics.send(STEERING, [word(["cdn-b", "cdn-c", "cdn-a"], 1)])
    environment = {
        "PLAYHEAD_BROKERS": fault_kafka.brokers,
        "PLAYHEAD_PREFIX": PREFIX,
        "PLAYHEAD_STEERING__HEARD_WITHIN_S": "2.5",
    }
    command = ["gateway", "--parts", "steering"]

    with ServedProcess(command, environment, tmp_path) as gateway:
        gateway.wait_until_ready()
        assert order_told(gateway) == ["cdn-b", "cdn-c", "cdn-a"]
        fault_kafka.stop()
        eventually(lambda: "stale" in problem(gateway), "that it says it is stale")
        assert order_told(gateway) == ["cdn-b", "cdn-c", "cdn-a"]

    with ServedProcess(command, environment, tmp_path) as gateway:
        eventually(lambda: order_told(gateway) == ["cdn-b", "cdn-c", "cdn-a"], "the answer kept on disk")
        assert "1 answers kept on disk" in problem(gateway)
        fault_kafka.start()
        gateway.wait_until_ready()
        topics.send(STEERING, [word(["cdn-c", "cdn-b", "cdn-a"], 2)])
        eventually(lambda: order_told(gateway) == ["cdn-c", "cdn-b", "cdn-a"], "the newer answer")
