"""A playback start is told node, backups, startup time and manifests, which agree with its first poll."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote
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
OF_AV1 = msgspec.structs.replace(TALL[0], codec=Codec.AV1, dash_init="init.m4s", dash_media="$Number$.m4s")
SINCE = msgspec.structs.replace(PILOT.delivery, live_since_ms=1_781_980_200_000)
TITLES = {
    "pilot": PILOT,
    "tall": Title(time_ms=0, title="tall", delivery=Delivery(renditions=TALL)),
    "bare": Title(time_ms=0, title="bare"),
    "new": Title(time_ms=0, title="new", duration_s=60, delivery=Delivery(renditions=[OF_AV1])),
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
    return serving(audiences)


def serving(audiences: Audiences, *, catalogue_read: bool = True) -> TestClient:
    polls = Polls(SETTINGS, audiences, TITLES.get)
    endpoint = SteeringEndpoint(
        SETTINGS.steering,
        polls,
        [b"key"],
        cell_of=Callers(SETTINGS.cmcd).cell_of,
        counted_as=SETTINGS.delivery.counted_as,
    )
    app = FastAPI()
    starts = Starts(SETTINGS, polls, endpoint, TITLES.get, lambda: NODES, lambda: catalogue_read)
    app.include_router(starts.router)
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


def test_a_title_that_is_not_in_the_catalogue_cannot_be_started(client: TestClient) -> None:
    start = client.post("/v1/play", json={"title": "nowhere"})
    manifests = [client.get(f"/v1/manifest/nowhere.{ending}") for ending in ("m3u8", "mpd")]

    for answer in (start, *manifests):
        assert answer.status_code == 404
        assert answer.json()["error"] == "there is no title 'nowhere' in the catalogue"


def test_a_title_may_still_come_while_the_catalogue_is_being_read(audiences: Audiences) -> None:
    client = serving(audiences, catalogue_read=False)

    start = play(client, title="nowhere")
    manifest = client.get("/v1/manifest/nowhere.m3u8")

    assert (start["hls"], start["dash"], start["node"]["cdn"]) == (None, None, "cdn-a")
    assert "not read to its end" in start["missing"]["hls"]
    assert manifest.status_code == 503
    assert manifest.json()["error"] == start["missing"]["hls"]
    assert play(client)["missing"] == {}


@pytest.mark.parametrize(
    ("title", "hls", "dash"),
    [
        ("bare", "no delivery", "no delivery"),
        ("final", "", "HLS alone"),
        ("new", "no rendition for this device as HLS", "no rendition for this device as DASH"),
    ],
)
def test_a_start_tells_why_a_manifest_is_missing_as_the_manifest_does(
    client: TestClient, title: str, hls: str, dash: str
) -> None:
    start = play(client, title=title, device="laptop")

    for protocol, ending, why in (("hls", "m3u8", hls), ("dash", "mpd", dash)):
        told = client.get(start[protocol] or f"/v1/manifest/{title}.{ending}?device=laptop")
        assert (start[protocol] is None) == (protocol in start["missing"]) == bool(why)
        assert told.status_code == (404 if why else 200)
        if why:
            assert why in start["missing"][protocol]
            assert told.json()["error"] == start["missing"][protocol]


@pytest.mark.parametrize("title", ["we/ird 100%?", "/", "a/../b", "film.mpd"])
def test_whatever_a_title_is_called_its_manifests_are_where_its_start_says(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, title: str
) -> None:
    monkeypatch.setitem(TITLES, title, msgspec.structs.replace(PILOT, title=title))

    start = play(client, title=title)

    playlist = m3u8.loads(client.get(start["hls"]).text)
    assert playlist.playlists[0].uri.startswith(f"https://cdn-a.example/{quote(title, safe='')}/")
    assert client.get(start["dash"]).status_code == 200


def test_a_start_that_makes_no_sense_is_refused_with_the_field(client: TestClient) -> None:
    answer = client.post("/v1/play", json={"title": "pilot", "connection_kbps": -1})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "connection_kbps"]
