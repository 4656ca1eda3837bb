"""A playback starts where nodes are up: node, order and first poll agree, before anybody has ailed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec
from eventually import eventually
from topic_tools import TopicTools

from playhead.lab.media import catalogue_title
from playhead.lab.served_process import ServedProcess
from topics import CATALOGUE, CDN_NODES, STEERING
from topics.cdn import NodeReport


def nodes(*, a_is_up: bool) -> list[NodeReport]:
    now_ms = int(1_000 * time.time())
    return [
        NodeReport(
            time_ms=now_ms,
            node=f"{cdn}-1",
            cdn=cdn,
            capacity_gbps=100,
            load=0.2,
            healthy=a_is_up or cdn != "cdn-a",
        )
        for cdn in ("cdn-a", "cdn-b", "cdn-c")
    ]


def start(gateway: ServedProcess) -> tuple[str, str, str]:
    """Return the CDNs of the node, of the order of the start, and of the first poll."""
    body = msgspec.json.encode({"title": "pilot", "viewer": "ada"})
    with urlopen(Request(f"{gateway.url}/v1/play", body, {"content-type": "application/json"})) as answer:
        told = msgspec.json.decode(answer.read())
    with urlopen(told["steering"]) as answer:
        polled = msgspec.json.decode(answer.read())
    return told["node"]["cdn"], told["order"][0], polled["PATHWAY-PRIORITY"][0]


def test_nobody_starts_on_a_cdn_whose_nodes_are_down_and_people_return_once_one_is_up(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    topics = TopicTools(kafka.brokers, topic_prefix)
    topics.create(CATALOGUE, CDN_NODES, STEERING)
    topics.send(CATALOGUE, [catalogue_title("pilot", 60, time_ms=int(1_000 * time.time()))])
    topics.send(CDN_NODES, nodes(a_is_up=True))
    environment = {
        "PLAYHEAD_BROKERS": kafka.brokers,
        "PLAYHEAD_PREFIX": topic_prefix,
        "PLAYHEAD_POLICY__RETURN_DWELL_S": "1",
        "PLAYHEAD_ROUTING__NODES_EVERY_S": "0.1",
    }

    with ServedProcess(["gateway", "--parts", "steering"], environment, tmp_path) as gateway:
        gateway.wait_until_ready()
        assert start(gateway) == ("cdn-a", "cdn-a", "cdn-a")

        topics.send(CDN_NODES, nodes(a_is_up=False))
        eventually(lambda: start(gateway) == ("cdn-b", "cdn-b", "cdn-b"), "a start elsewhere")

        topics.send(CDN_NODES, nodes(a_is_up=True))
        eventually(lambda: start(gateway) == ("cdn-a", "cdn-a", "cdn-a"), "the return")
