"""Players are answered while Kafka is away: by a gateway that runs, and by one that starts without it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
from eventually import eventually
from topic_tools import TopicTools

from playhead.lab.media import catalogue_title
from playhead.lab.served_process import ServedProcess
from topics import CATALOGUE, CDN_NODES, STEERING
from topics.catalogue import Title
from topics.cdn import NodeReport
from topics.steering import SteeringAnswer

PREFIX = "away."
KEPT = {
    "steering": "1 answers, 2 titles, 1 node reports kept on disk are served",
    "log": "records kept on disk are served until the topic has been read",
}
"""Where it is said what is old, and how."""


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


def live(title: str, *, ended: bool) -> Title:
    """Return a title of which two in five viewers go to the second CDN first."""
    delivery = catalogue_title(title, 60, time_ms=0).delivery
    assert delivery is not None
    delivery = msgspec.structs.replace(delivery, split={"cdn-b": 0.4}, ended=ended)
    return Title(time_ms=int(1_000 * time.time()), title=title, live=True, delivery=delivery)


def answered(request: Request | str) -> tuple[int, Any]:
    """Return the status and what was answered, decoded where it is JSON."""
    try:
        with urlopen(request, timeout=5) as answer:
            told = answer.read()
            return answer.status, msgspec.json.decode(told) if told.startswith(b"{") else told
    except HTTPError as error:
        return error.code, None


def all_told(gateway: ServedProcess) -> dict[str, Any]:
    """Return what a viewer is told of everything; nothing while the gateway does not listen yet."""
    body = msgspec.json.encode({"title": "cup", "viewer": "z1", "isp": "3320"})
    play = Request(f"{gateway.url}/v1/play", body, {"content-type": "application/json"})
    try:
        _, steered = answered(f"{gateway.url}/v1/steer?asset=cup&isp=3320&viewer=z1")
        _, start = answered(play)
        status, manifest = answered(f"{gateway.url}/v1/manifest/cup.m3u8?isp=3320&viewer=z1")
        over, _ = answered(f"{gateway.url}/v1/steer?asset=over&isp=3320&viewer=z1")
    except OSError:
        return {}
    return {
        "order": steered["PATHWAY-PRIORITY"],
        "ttl_s": steered["TTL"],
        "node": start["node"],
        "start order": start["order"],
        "offers a manifest": start["hls"] is not None,
        "manifest": status,
        "variants": (manifest or b"").count(b"#EXT-X-STREAM-INF"),
        "over": over,
    }


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


def test_a_gateway_that_starts_without_the_broker_tells_what_the_one_before_told(
    fault_kafka: Any, tmp_path: Path
) -> None:
    topics = TopicTools(fault_kafka.brokers, PREFIX)
    topics.create(CATALOGUE, CDN_NODES, STEERING)
    topics.send(CATALOGUE, [live("cup", ended=False), live("over", ended=True)])
    topics.send(STEERING, [word(["cdn-b", "cdn-c", "cdn-a"], 1)])
    report = NodeReport(
        time_ms=int(1_000 * time.time()), node="b-eu", cdn="cdn-b", capacity_gbps=100, load=0.3
    )
    topics.send(CDN_NODES, [report])
    environment = {"PLAYHEAD_BROKERS": fault_kafka.brokers, "PLAYHEAD_PREFIX": PREFIX}
    command = ["gateway", "--parts", "steering"]

    with ServedProcess(command, environment, tmp_path) as gateway:
        gateway.wait_until_ready()
        before = all_told(gateway)
        fault_kafka.stop()
    with ServedProcess(command, environment, tmp_path) as gateway:
        after = eventually(lambda: all_told(gateway), "an answer from disk")
        log = (tmp_path / f"gateway-{gateway.port}.log").read_text()
        said = {"steering": problem(gateway), "log": log}
        fault_kafka.start()
        gateway.wait_until_ready()
        later = all_told(gateway)

    assert before["order"][0] == "cdn-b"
    assert before["ttl_s"] < 6
    assert before["node"] == {"node": "b-eu", "cdn": "cdn-b"}
    assert (before["manifest"], before["over"]) == (200, 410)
    assert after == before
    assert later == before
    assert all(words in said[place] for place, words in KEPT.items()), said
