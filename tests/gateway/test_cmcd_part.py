"""The gateway takes what players send, answers 204 once it is safe, and turns away what it cannot take.

No Kafka answers here: what was acknowledged must be in the spool, and is read from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cmcd_samples
import msgspec
import pytest
from fastapi.testclient import TestClient

import config
from playhead.gateway.app import assemble
from playhead.gateway.cmcd import CmcdPart
from playhead.gateway.lookups import Device, Lookups
from playhead.gateway.parts import Surroundings
from playhead.gateway.sender import Entry
from playhead.gateway.spool import Spool
from topics import BY_NAME, CMCD, DEAD_LETTERS, PLAYBACK
from topics.cmcd import Carriage, CmcdRecord

NOW_MS = 1_795_374_350_000
NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
LOOKUPS = Lookups(
    isp=lambda address: "3320" if address == "203.0.113.9" else "",
    region=lambda address: "DE" if address == "203.0.113.9" else "",
    device=lambda agent: Device("tv", "Tizen") if "Tizen" in agent else Device("", ""),
    cdn=lambda host: {"cdn-a.example": "a", "127.0.0.11:8101": "b"}.get(host, ""),
)
EVENT = {"content-type": "application/cmcd"}
LINE = f'cid="demo",e=ps,sid="s1",sn=0,sta=s,ts={NOW_MS},v=2\n'


class Gateway:
    """A gateway without Kafka, and the records in its spool."""

    def __init__(self, folder: Path, http: TestClient) -> None:
        self._folder = folder
        self.http = http

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        for path in sorted(self._folder.glob("*.frames")):
            data, at = path.read_bytes(), 0
            while at < len(data):
                size = int.from_bytes(data[at : at + 4], "big")
                found += msgspec.msgpack.decode(data[at + 8 : at + 8 + size], type=list[Entry])
                at += 8 + size
        return found

    def records(self, name: str = CMCD.name) -> list[Any]:
        return [BY_NAME[topic].decode(value) for topic, _, value in self.entries() if topic == name]

    def record(self) -> CmcdRecord:
        [record] = self.records()
        assert isinstance(record, CmcdRecord)
        return record


@contextmanager
def serving(folder: Path, now_ms: int = NOW_MS, *, short: bool = True, **settings: str) -> Iterator[Gateway]:
    environment = {f"PLAYHEAD_CMCD__{name.upper()}": value for name, value in settings.items()}
    loaded = config.load({**environment, "PLAYHEAD_CMCD__SPOOL__FOLDER": str(folder)}).settings
    part = CmcdPart(Surroundings(loaded, NOWHERE), LOOKUPS, now_ms=lambda: now_ms)
    if not short:
        part.shortcuts.clear()
    with TestClient(assemble({"cmcd": part}), client=("127.0.0.1", 50_000)) as http:
        yield Gateway(folder, http)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with serving(tmp_path) as gateway:
        yield gateway


def test_an_event_is_acknowledged_once_it_is_in_the_spool(gateway: Gateway) -> None:
    answer = gateway.http.post("/v1/cmcd", content=LINE, headers=EVENT)

    assert (answer.status_code, answer.content) == (204, b"")
    record = gateway.record()
    assert (record.session_id, record.carriage, record.title) == ("s1", Carriage.EVENT, "demo")
    assert (record.keys.sta, record.time_ms, record.own_session) == ("s", NOW_MS, True)


@pytest.mark.parametrize("kind", ["application/cmcd", "text/cmcd", "text/plain;charset=UTF-8", ""])
def test_events_are_taken_whatever_the_browser_calls_them(gateway: Gateway, kind: str) -> None:
    assert gateway.http.post("/v1/cmcd", content=LINE * 3, headers={"content-type": kind}).status_code == 204

    assert len(gateway.records()) == 3


def test_a_request_is_told_by_its_query_or_its_headers_and_headers_count_before_it(gateway: Gateway) -> None:
    query = "?CMCD=bl%3D2000%2Csid%3D%22q%22&host=cdn-a.example&receiver=eu&weight=20&app_version=8.4"
    gateway.http.get(f"/v1/cmcd{query}")
    gateway.http.post(f"/v1/cmcd{query}", headers={"CMCD-Session": 'sid="h"', "CMCD-Request": "bl=100"})

    by_query, by_headers = gateway.records()
    assert (by_query.session_id, by_query.carriage, by_query.keys.bl) == ("q", Carriage.QUERY, [(2000, "")])
    assert (by_query.cdn, by_query.receiver, by_query.weight, by_query.app_version) == ("a", "eu", 20, "8.4")
    assert (by_headers.session_id, by_headers.carriage, by_headers.keys.bl) == (
        "h",
        Carriage.HEADERS,
        [(100, "")],
    )


def test_the_json_form_of_version_1_is_taken(gateway: Gateway) -> None:
    assert gateway.http.post("/v1/cmcd", json=[{"bl": 100, "sid": "j"}, {"bl": 200}]).status_code == 204

    first, second = gateway.records()
    assert (first.session_id, first.carriage) == ("j", Carriage.JSON)
    assert not second.own_session


def test_where_a_report_came_from_is_found_out(gateway: Gateway) -> None:
    url = 'url="http://127.0.0.11:8101/v1.m4s"'
    headers = {**EVENT, "x-forwarded-for": "203.0.113.9", "user-agent": "Tizen 6"}

    gateway.http.post("/v1/cmcd", content=f'e=rr,sid="s",ts={NOW_MS},{url}', headers=headers)

    record = gateway.record()
    assert (record.host, record.cdn, record.isp, record.region) == ("127.0.0.11:8101", "b", "3320", "DE")
    assert (record.device, record.platform) == ("tv", "Tizen")


def test_without_a_session_of_its_own_a_report_has_that_of_its_connection(gateway: Gateway) -> None:
    for agent in ("one", "one", "two"):
        gateway.http.post("/v1/cmcd", content=f"e=t,ts={NOW_MS}", headers={**EVENT, "user-agent": agent})

    first, same, other = gateway.records()
    assert first.session_id == same.session_id != other.session_id
    assert not first.own_session


def test_an_event_sent_again_has_the_same_id_and_a_request_made_again_has_not(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as first, serving(tmp_path / "b", now_ms=NOW_MS + 700) as second:
        for gateway in (first, second):
            gateway.http.post("/v1/cmcd", content=LINE, headers=EVENT)
            gateway.http.get("/v1/cmcd?CMCD=su%2Csid%3D%22s%22")

        (event, request), (event_again, request_again) = first.records(), second.records()

    assert event.id == event_again.id
    assert request.id != request_again.id


def test_lines_of_a_cdns_log_are_taken_with_their_own_time_and_address(gateway: Gateway) -> None:
    lines = [
        {
            "url": "https://cdn-a.example/v1.ts?CMCD=bl%3D2000%2Csid%3D%22l%22",
            "received_ms": NOW_MS - 5_000,
            "client_ip": "203.0.113.9",
            "headers": {"User-Agent": "Tizen 6"},
            "weight": 10,
        },
        {"url": "https://cdn-a.example/v1.ts", "received_ms": NOW_MS},
        {"url": "/v1.ts", "received_ms": NOW_MS, "headers": {"Host": "cdn-a.example", "CMCD-Request": "su"}},
    ]
    body = b"\n".join(map(msgspec.json.encode, lines))

    assert gateway.http.post("/v1/cmcd/log", content=body).status_code == 204

    first, second = gateway.records()
    assert (first.time_ms, first.isp, first.cdn, first.device, first.weight) == (
        NOW_MS - 5_000,
        "3320",
        "a",
        "tv",
        10,
    )
    assert (second.carriage, second.cdn) == (Carriage.HEADERS, "a")


@pytest.mark.parametrize(
    "line",
    [b"{", b'{"url": "x"}', b'{"url": "http://[", "received_ms": 1}', b'{"url": "x", "received_ms": 1}'],
)
def test_a_log_line_that_is_none_is_refused_by_its_number_and_nothing_is_taken(
    gateway: Gateway, line: bytes
) -> None:
    good = msgspec.json.encode({"url": "http://a/?CMCD=su", "received_ms": NOW_MS})

    answer = gateway.http.post("/v1/cmcd/log", content=good + b"\n" + line)

    assert answer.status_code == 422
    assert answer.json()["problems"][0]["line"] == 1
    assert gateway.entries() == []


def test_beats_of_an_application_are_checked_against_the_contract(gateway: Gateway) -> None:
    beat = {"time_ms": NOW_MS, "session_id": "b", "state": "playing", "weight": 2.0}
    headers = {"user-agent": "Tizen 6"}

    assert gateway.http.post("/v1/beats?weight=3", json=beat, headers=headers).status_code == 204
    assert gateway.http.post("/v1/beats", json=[beat, beat]).status_code == 204
    refused = gateway.http.post("/v1/beats", json=[beat, {**beat, "state": "dancing"}])

    first, *_ = records = gateway.records(PLAYBACK.name)
    assert (len(records), first.weight, first.device) == (3, 6.0, "tv")
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["index"] == 1


def test_a_device_is_called_in_beats_as_user_agents_tell_it(gateway: Gateway) -> None:
    beat = {"time_ms": NOW_MS, "session_id": "b", "state": "playing"}

    for device in ("laptop", "tv", "toaster"):
        gateway.http.post("/v1/beats", json={**beat, "device": device})

    assert [each.device for each in gateway.records(PLAYBACK.name)] == ["desktop", "tv", "toaster"]


def test_what_cannot_be_read_is_a_dead_letter_and_the_player_is_not_troubled(gateway: Gateway) -> None:
    answer = gateway.http.post("/v1/cmcd", content=f"{LINE}e=t,v=9\n", headers=EVENT)

    assert answer.status_code == 204
    assert len(gateway.records()) == 1
    [letter] = gateway.records(DEAD_LETTERS.name)
    assert (letter.topic, letter.value) == ("cmcd", b"e=t,v=9")
    assert "version 9 is not understood" in letter.reason


def test_garbage_does_not_grow_on_its_way(gateway: Gateway) -> None:
    gateway.http.post("/v1/cmcd", content="x\n" * 2_000, headers=EVENT)
    gateway.http.post("/v1/cmcd", json=[{}] * 2_000)

    assert len(gateway.entries()) == 11


def test_a_body_or_a_batch_beyond_its_bound_is_answered_413(gateway: Gateway) -> None:
    large = gateway.http.post("/v1/cmcd", content=b"x" * 1_048_577, headers=EVENT)
    streamed = gateway.http.post("/v1/cmcd", content=(b"x" * 65_536 for _ in range(17)), headers=EVENT)
    many = gateway.http.post("/v1/cmcd", content="su\n" * 2_001, headers=EVENT)

    assert {large.status_code, streamed.status_code, many.status_code} == {413}
    assert gateway.entries() == []


def test_the_short_way_and_the_documented_routes_take_the_same(tmp_path: Path) -> None:
    query = "/v1/cmcd?CMCD=su%2Csid%3D%22s%22&weight=3"
    with serving(tmp_path / "a") as short, serving(tmp_path / "b", short=False) as routed:
        documented = routed.http.get("/openapi.json").json()["paths"]
        for gateway in (short, routed):
            answers = [gateway.http.post("/v1/cmcd", content=LINE, headers=EVENT), gateway.http.get(query)]
            assert [answer.status_code for answer in answers] == [204, 204]

        assert short.records() == routed.records()
        assert len(short.records()) == 2
    assert {"/v1/cmcd", "/v1/cmcd/log", "/v1/beats"} <= documented.keys()


def test_browsers_may_send_from_anywhere(gateway: Gateway) -> None:
    answer = gateway.http.options(
        "/v1/cmcd",
        headers={
            "origin": "https://player.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "cmcd-request,content-type",
        },
    )

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = {name.strip() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert allowed >= {"content-type", "cmcd-request", "cmcd-object", "cmcd-status", "cmcd-session"}
    assert gateway.http.get("/v1/cmcd").headers["access-control-allow-origin"] == "*"


def test_a_full_spool_is_answered_503_with_a_time_to_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, spool__max_bytes="2000") as gateway:
        answers = [gateway.http.post("/v1/cmcd", content=LINE, headers=EVENT) for _ in range(10)]
        taken = [answer.status_code for answer in answers].count(204)

        assert answers[-1].status_code == 503
        assert answers[-1].headers["retry-after"] == "5"
        assert len(gateway.records()) == taken > 0


def test_an_address_that_sends_too_much_is_answered_429_and_others_are_not(tmp_path: Path) -> None:
    with serving(tmp_path, max_requests_per_s_per_address="0.001", burst_per_address="2") as gateway:
        mine = [gateway.http.get("/v1/cmcd?CMCD=su") for _ in range(3)]
        other = gateway.http.get("/v1/cmcd?CMCD=su", headers={"x-forwarded-for": "203.0.113.9"})

    assert [answer.status_code for answer in mine] == [204, 204, 429]
    assert mine[-1].headers["retry-after"] == "5"
    assert other.status_code == 204


def test_a_sample_of_the_sessions_stands_for_all_of_them(tmp_path: Path) -> None:
    with serving(tmp_path, sample_share="0.25") as gateway:
        body = "".join(f'e=t,sid="s{n // 2}",sn={n % 2},ts={NOW_MS}\n' for n in range(2_000))
        gateway.http.post("/v1/cmcd", content=body, headers=EVENT)
        records = gateway.records()

    assert {record.weight for record in records} == {4.0}
    assert 800 < sum(record.weight for record in records) / 2 < 1_200
    by_session: dict[str, int] = {}
    for record in records:
        by_session[record.session_id] = by_session.get(record.session_id, 0) + 1
    assert set(by_session.values()) == {2}, "a session is kept whole"


def test_all_that_real_players_sent_is_taken(tmp_path: Path) -> None:
    samples = cmcd_samples.samples()
    with serving(tmp_path) as gateway:
        for sample in samples:
            if sample.carriage == "event":
                gateway.http.post("/v1/cmcd", content=sample.body, headers=EVENT)
            elif sample.carriage == "headers":
                gateway.http.get("/v1/cmcd", headers=sample.headers)
            else:
                gateway.http.get("/v1/cmcd", params={"CMCD": sample.query})
        records = gateway.records()

    assert [record.carriage for record in records] == [sample.carriage for sample in samples]
    assert {key for record in records for key, _ in record.malformed} <= {"ttfb"}


def test_the_gateway_is_ready_without_kafka_until_its_spool_is_nearly_full(tmp_path: Path) -> None:
    with serving(tmp_path, spool__max_bytes="2000") as gateway:
        empty = gateway.http.get("/readyz")
        while gateway.http.post("/v1/cmcd", content=LINE, headers=EVENT).status_code == 204:
            pass
        full = gateway.http.get("/readyz")
        told = gateway.http.get("/metrics").text

    assert (empty.status_code, full.status_code) == (200, 503)
    assert "the spool is" in full.json()["problems"]["cmcd"]
    waiting = re.search(r"^playhead_spool_waiting_bytes (.*)$", told, re.MULTILINE)
    assert waiting is not None
    assert float(waiting[1]) > 1_000


def test_what_was_acknowledged_is_there_when_the_gateway_starts_again(tmp_path: Path) -> None:
    with serving(tmp_path) as gateway:
        gateway.http.post("/v1/cmcd", content=LINE, headers=EVENT)
    spool = Spool(tmp_path, config.load({}).settings.cmcd.spool)

    [payload] = spool.read(spool.cursor).payloads

    assert len(msgspec.msgpack.decode(payload)) == 1
    spool.close()
