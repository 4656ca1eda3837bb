"""A playback start is told node, backups, startup time and manifests, which agree with its first poll."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree as Xml

import m3u8
import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Route

from config import load
from models.steering_audiences import Audiences
from models.steering_poll import Polls
from playhead.gateway.callers import Callers
from playhead.gateway.starts import Starts
from playhead.gateway.steering_endpoint import SteeringEndpoint
from playhead.lab.media import catalogue_title
from topics.catalogue import Title
from topics.cdn import NodeReport
from topics.delivery import Codec, Delivery, Rendition
from topics.steering import SteeringAnswer

SETTINGS = load({}).settings
NOW_MS = int(time.time() * 1_000)
PILOT = catalogue_title("pilot", 60, time_ms=0)
TALL = [
    Rendition(
        id=f"v{height}", codec=Codec.H264, codecs="avc1.640033", bitrate_kbps=height, width=height * 16 // 9,
        height=height, frame_rate=25, hls=f"{height}.m3u8",
    )
    for height in (1080, 2160)
]  # fmt: skip
SINCE = msgspec.structs.replace(PILOT.delivery, live_since_ms=1_781_980_200_000)
TITLES = {
    "pilot": PILOT,
    "tall": Title(time_ms=0, title="tall", delivery=Delivery(renditions=TALL)),
    "final": Title(time_ms=0, title="final", live=True, delivery=PILOT.delivery),
    "match": Title(time_ms=0, title="match", live=True, delivery=SINCE),
}
NODES = [
    NodeReport(time_ms=NOW_MS, node=f"{cdn}-{site}", cdn=cdn, region=site, capacity_gbps=100, load=0.3)
    for cdn in ("cdn-a", "cdn-b")
    for site in ("eu", "us")
]
MOVE = SteeringAnswer(
    time_ms=NOW_MS,
    audience="isp=3320",
    cell={"isp": "3320"},
    pathway_priority=["cdn-b", "cdn-c", "cdn-a"],
    away_from="cdn-a",
    ttl_s=5,
    generation=1,
    expires_ms=NOW_MS + 300_000,
)


@pytest.fixture
def audiences() -> Audiences:
    audiences = Audiences()
    audiences.take(MOVE)
    return audiences


@pytest.fixture
def client(audiences: Audiences) -> TestClient:
    polls = Polls(SETTINGS, audiences, TITLES.get)
    endpoint = SteeringEndpoint(
        SETTINGS.steering,
        polls,
        [b"key"],
        cell_of=Callers(SETTINGS.cmcd).cell_of,
        counted_as=SETTINGS.delivery.counted_as,
    )
    app = FastAPI()
    app.include_router(Starts(SETTINGS, polls, endpoint, TITLES.get, lambda: NODES).router)
    app.router.routes.append(Route("/v1/steer/{state}", endpoint))
    return TestClient(app)


def play(client: TestClient, **asked: Any) -> Any:
    answer = client.post("/v1/play", json={"title": "pilot", "viewer": "v1", "region": "eu", **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(("isp", "cdn"), [("1136", "cdn-a"), ("3320", "cdn-b")])
def test_node_manifest_and_first_poll_name_the_same_cdn(client: TestClient, isp: str, cdn: str) -> None:
    start = play(client, isp=isp, device="laptop", connection_kbps=6_000)

    assert start["node"] == {"node": f"{cdn}-eu", "cdn": cdn}
    assert {each["cdn"] for each in start["backups"]} == {"cdn-a", "cdn-b"}
    assert 0 < start["startup_ms"] < 2_000
    playlist = m3u8.loads(client.get(start["hls"]).text)
    assert playlist.content_steering.pathway_id == cdn
    assert playlist.playlists[0].uri.startswith(f"https://{cdn}.example/pilot/")
    polled = client.get(playlist.content_steering.uri).json()
    assert polled["PATHWAY-PRIORITY"] == start["order"]
    assert start["order"][0] == cdn
    assert f'defaultServiceLocation="{cdn}"' in client.get(start["dash"]).text


WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/125.0 Safari/537.36"
BY_DEVICE = msgspec.structs.replace(MOVE, audience="device=desktop", cell={"device": "desktop"})


@pytest.mark.parametrize("agent", [WINDOWS, "an application of its own"])
def test_a_command_to_a_device_finds_those_who_state_it_in_another_word(
    client: TestClient, audiences: Audiences, agent: str
) -> None:
    audiences.take(BY_DEVICE)
    client.headers["User-Agent"] = agent

    start = play(client, device="laptop")
    alone = m3u8.loads(client.get("/v1/manifest/pilot.m3u8?device=laptop").text)
    polled = client.get(start["steering"]).json()

    assert start["order"] == polled["PATHWAY-PRIORITY"] == MOVE.pathway_priority
    assert alone.content_steering.pathway_id == "cdn-b"


def test_what_is_stated_chooses_what_is_offered_whatever_it_counts_as(client: TestClient) -> None:
    client.headers["User-Agent"] = WINDOWS

    laptop, television = (
        m3u8.loads(client.get(play(client, title="tall", device=device)["hls"]).text)
        for device in ("laptop", "tv")
    )

    assert {each.stream_info.resolution[1] for each in laptop.playlists} == {1080}
    assert {each.stream_info.resolution[1] for each in television.playlists} == {1080, 2160}


def test_a_slow_connection_is_offered_less(client: TestClient) -> None:
    fast, slow = (
        m3u8.loads(client.get(play(client, connection_kbps=kbps)["hls"]).text) for kbps in (6_000, 600)
    )

    assert {each.stream_info.stable_variant_id for each in fast.playlists} == {"v0", "v1"}
    assert {each.stream_info.stable_variant_id for each in slow.playlists} == {"v0"}


def test_a_live_title_is_told_as_live_where_it_is_known_since_when(client: TestClient) -> None:
    start = play(client, title="match")
    root = Xml.fromstring(client.get(start["dash"]).text)

    assert root.get("type") == "dynamic"
    assert root.get("availabilityStartTime") == "2026-06-20T18:30:00.000Z"
    assert {"timeShiftBufferDepth", "suggestedPresentationDelay", "minimumUpdatePeriod"} <= set(root.keys())
    assert root.get("mediaPresentationDuration") is None
    assert root[-1].tag.endswith("UTCTiming")
    assert root.find("{*}ContentSteering") is not None


def test_a_live_title_of_which_that_is_not_known_is_there_as_hls_alone(client: TestClient) -> None:
    start = play(client, title="final")

    assert start["dash"] is None
    assert client.get(start["hls"]).status_code == 200
    assert "HLS alone" in client.get("/v1/manifest/final.mpd").json()["error"]


@pytest.mark.parametrize("ending", ["m3u8", "mpd"])
def test_a_manifest_may_be_asked_for_its_headers_alone(client: TestClient, ending: str) -> None:
    whole, head = (client.request(each, f"/v1/manifest/pilot.{ending}") for each in ("GET", "HEAD"))

    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_a_title_that_is_not_in_the_catalogue_has_no_manifest(client: TestClient) -> None:
    start = play(client, title="nowhere")
    answer = client.get("/v1/manifest/nowhere.m3u8")

    assert start["hls"] is None
    assert start["node"]["cdn"] == "cdn-a"
    assert answer.status_code == 404
    assert answer.json()["error"] == "there is no delivery of 'nowhere' in the catalogue"


def test_a_start_that_makes_no_sense_is_refused_with_the_field(client: TestClient) -> None:
    answer = client.post("/v1/play", json={"title": "pilot", "connection_kbps": -1})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "connection_kbps"]
