"""Players of both kinds get a steering manifest they can use, whatever they send and whatever is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from fastapi.testclient import TestClient

from config import Settings, load
from playhead.gateway.app import assemble
from playhead.gateway.kept_records import KeptRecords
from playhead.gateway.parts import Surroundings
from playhead.gateway.steering import SteeringPart
from topics import STEERING
from topics.steering import SteeringAnswer

NOBODY = {"bootstrap.servers": "127.0.0.1:9", "log_level": 0}
"""No broker listens there."""

NOW_MS = int(time.time() * 1_000)
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


def settings(folder: Path, **more: str) -> Settings:
    named = {f"PLAYHEAD_STEERING__{name.upper()}": value for name, value in more.items()}
    named = {name.replace("STEERING__PUBLIC", "DELIVERY__PUBLIC"): value for name, value in named.items()}
    return load({"PLAYHEAD_DATA_DIR": str(folder), **named}).settings


def keeping(path: Path) -> KeptRecords[SteeringAnswer]:
    return KeptRecords(STEERING, path, spare_lines=10, every_s=0.0)


@contextmanager
def served(folder: Path, **more: str) -> Iterator[tuple[TestClient, SteeringPart]]:
    part = SteeringPart(Surroundings(settings(folder, **more), NOBODY))
    with TestClient(assemble({"steering": part})) as client:
        yield client, part


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[TestClient, SteeringPart]]:
    with served(tmp_path) as opened:
        yield opened


def test_a_poll_is_answered_as_the_standard_asks(door: tuple[TestClient, SteeringPart]) -> None:
    client, _ = door

    answer = client.get("/v1/steer?asset=pilot&_HLS_pathway=cdn-a&_HLS_throughput=58179390")

    told = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.apple.steering-list"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert told["VERSION"] == 1
    assert told["PATHWAY-PRIORITY"] == ["cdn-a", "cdn-b", "cdn-c"]
    assert 48 <= told["TTL"] <= 72
    assert told["RELOAD-URI"].startswith("http://testserver/v1/steer/")


@pytest.mark.parametrize(
    "query", ["_DASH_pathway=%22cdn-a%2Ccdn-b%22&_DASH_throughput=454076000%2C", "_DASH_pathway=cdn-a"]
)
def test_dash_players_are_answered_by_the_same_endpoint(
    door: tuple[TestClient, SteeringPart], query: str
) -> None:
    client, _ = door
    first = client.get("/v1/steer?asset=pilot&isp=3320").json()

    told = client.get(f"{first['RELOAD-URI']}?{query}").json()

    assert told["PATHWAY-PRIORITY"] == ["cdn-a", "cdn-b", "cdn-c"]
    assert told["RELOAD-URI"] == first["RELOAD-URI"]


def test_a_changed_word_reaches_the_audience_at_its_next_poll(door: tuple[TestClient, SteeringPart]) -> None:
    client, part = door
    mine = client.get("/v1/steer?asset=pilot&isp=3320").json()
    other = client.get("/v1/steer?asset=pilot&isp=1136").json()

    part.audiences.take(MOVE)

    moved = client.get(mine["RELOAD-URI"]).json()
    assert moved["PATHWAY-PRIORITY"] == MOVE.pathway_priority
    assert 4 <= moved["TTL"] <= 6
    assert client.get(moved["RELOAD-URI"]).json()["PATHWAY-PRIORITY"] == MOVE.pathway_priority
    assert client.get(other["RELOAD-URI"]).json()["PATHWAY-PRIORITY"][0] == "cdn-a"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/steer",
        "/v1/steer?asset=",
        "/v1/steer?asset=%00%ff%22&isp=%3Cscript%3E&_HLS_throughput=NaN&_HLS_pathway=evil.example",
        "/v1/steer?isp=" + "x" * 5_000,
        "/v1/steer/no-state-at-all?_DASH_pathway=,,,",
        "/v1/steer/" + "A" * 3_000,
        "/v1/steer/%F0%9F%98%80",
    ],
)
def test_whatever_a_player_sends_it_is_answered_and_not_echoed(
    door: tuple[TestClient, SteeringPart], path: str
) -> None:
    client, _ = door

    answer = client.get(path)

    assert answer.status_code == 200
    assert answer.json()["PATHWAY-PRIORITY"] == ["cdn-a", "cdn-b", "cdn-c"]
    assert "script" not in answer.text
    assert "evil" not in answer.text


def test_a_state_signed_by_a_key_that_is_gone_still_tells_who_asks(tmp_path: Path) -> None:
    with served(tmp_path, state_keys='["old"]') as (client, _):
        uri = client.get("/v1/steer?asset=pilot&isp=3320&viewer=v1").json()["RELOAD-URI"]

    with served(tmp_path, state_keys='["new"]') as (client, part):
        part.audiences.take(MOVE)
        assert client.get(uri).json()["PATHWAY-PRIORITY"] == MOVE.pathway_priority


def test_a_cache_in_front_may_answer_a_group_where_it_is_let(tmp_path: Path) -> None:
    with served(tmp_path, shared_max_age_s="2", public_url="http://testserver") as (client, _):
        first = client.get("/v1/steer?asset=pilot&viewer=v1")
        later = [client.get(first.json()["RELOAD-URI"] + f"?_HLS_throughput={n}") for n in range(3)]

    assert first.headers["cache-control"] == "no-store"
    assert {each.headers["cache-control"] for each in later} == {"public, max-age=0, s-maxage=2"}
    assert len({each.content for each in later}) == 1


def test_a_viewer_is_placed_by_his_request_where_he_says_nothing(tmp_path: Path) -> None:
    television = "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 TV Safari/537.36"
    move = msgspec.structs.replace(MOVE, audience="device=tv", cell={"device": "tv"})
    with served(tmp_path) as (client, part):
        part.audiences.take(move)
        by_agent = client.get("/v1/steer", headers={"User-Agent": television}).json()
        by_word = client.get("/v1/steer?device=mobile", headers={"User-Agent": television}).json()

    assert by_agent["PATHWAY-PRIORITY"] == MOVE.pathway_priority
    assert by_word["PATHWAY-PRIORITY"][0] == "cdn-a"


def test_a_host_that_is_none_is_not_told_back(door: tuple[TestClient, SteeringPart]) -> None:
    client, _ = door

    answer = client.get("/v1/steer", headers={"Host": 'evil"/><b>'})

    assert answer.json()["RELOAD-URI"].startswith("/v1/steer/")


def test_browsers_may_ask_from_any_page(door: tuple[TestClient, SteeringPart]) -> None:
    client, _ = door

    answer = client.options("/v1/steer", headers={"Origin": "https://player.example"})

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert client.head("/v1/steer").content == b""


def test_under_too_many_polls_players_are_asked_to_wait_longer_and_never_refused(tmp_path: Path) -> None:
    with served(tmp_path, polls_per_s_at_most="0.5", load_memory_s="60") as (client, _):
        answers = [client.get("/v1/steer?viewer=v1") for _ in range(90)]

    ttls = [answer.json()["TTL"] for answer in answers]
    assert {answer.status_code for answer in answers} == {200}
    assert ttls[-1] > 1.5 * ttls[0]


def test_answers_kept_on_disk_are_served_while_the_broker_is_away(tmp_path: Path) -> None:
    kept = keeping(tmp_path / "gateway" / "steering.jsonl")
    kept.whole(lambda: [MOVE])
    kept.close()

    with served(tmp_path) as (client, _):
        told = client.get("/v1/steer?asset=pilot&isp=3320").json()
        ready = client.get("/readyz")

    assert told["PATHWAY-PRIORITY"] == MOVE.pathway_priority
    assert ready.status_code == 503
    assert "1 answers kept on disk are served" in ready.json()["problems"]["steering"]


def test_what_was_kept_comes_back_without_the_deleted_and_the_torn(tmp_path: Path) -> None:
    path = tmp_path / "steering.jsonl"
    kept = keeping(path)
    other = SteeringAnswer(
        time_ms=1, audience="everyone", cell={}, pathway_priority=[], ttl_s=1, generation=1
    )
    kept.whole(lambda: [MOVE, other])
    kept.add(other.audience, None)
    kept.close()
    path.write_bytes(path.read_bytes() + STEERING.encode(other)[:40])

    assert kept.load() == {MOVE.audience: MOVE}


def test_what_was_kept_before_stays_until_the_topic_has_been_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "steering.jsonl"
    before = keeping(path)
    before.whole(lambda: [MOVE])
    before.close()

    kept = keeping(path)
    kept.add(MOVE.audience, None)
    kept.close()

    assert kept.load() == {MOVE.audience: MOVE}


def test_what_was_kept_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "steering.jsonl"
    kept = keeping(path)
    kept.whole(list)

    kept.add(MOVE.audience, MOVE)

    assert keeping(path).load() == {MOVE.audience: MOVE}


def test_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "steering.jsonl"
    kept = keeping(path)
    kept.whole(lambda: [MOVE])

    for _ in range(100):
        kept.add(MOVE.audience, MOVE)
    kept.close()

    assert len(path.read_bytes().splitlines()) <= 13
    assert kept.load() == {MOVE.audience: MOVE}
