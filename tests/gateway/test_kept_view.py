"""What the gateway answers with is on disk for a start without the broker, until the topics are read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import m3u8
import msgspec
from fastapi.testclient import TestClient

from config import load
from playhead.gateway.app import assemble
from playhead.gateway.kept_records import KeptRecords
from playhead.gateway.kept_view import KeptView
from playhead.gateway.parts import Surroundings
from playhead.gateway.steering import SteeringPart
from playhead.lab.media import catalogue_title
from topics import CATALOGUE, CDN_NODES
from topics.catalogue import Title
from topics.cdn import NodeReport
from topics.fields import Record
from topics.spec import TopicSpec

NOBODY = {"bootstrap.servers": "127.0.0.1:9", "log_level": 0}
"""No broker listens there."""

NOW_MS = int(time.time() * 1_000)
PILOT = catalogue_title("pilot", 60, time_ms=NOW_MS)
OVER = msgspec.structs.replace(
    PILOT, title="over", live=True, delivery=msgspec.structs.replace(PILOT.delivery, ended=True)
)
NODE = NodeReport(time_ms=NOW_MS, node="a-eu", cdn="cdn-a", region="eu", capacity_gbps=100, load=0.3)


class FakeTopic:
    """What a view has read so far."""

    def __init__(self, *titles: Title) -> None:
        self._titles = {title.title: title for title in titles}

    def get(self, key: str) -> Title | None:
        return self._titles.get(key)

    def values(self) -> list[Title]:
        return list(self._titles.values())


def on_disk(folder: Path, spec: TopicSpec[Any], records: Sequence[Record]) -> Path:
    path = folder / "gateway" / f"{spec.name}.jsonl"
    kept: KeptRecords[Any] = KeptRecords(spec, path, every_s=30.0)
    kept.whole(lambda: records)
    kept.close()
    return path


@contextmanager
def served(folder: Path) -> Iterator[TestClient]:
    settings = load({"PLAYHEAD_DATA_DIR": str(folder)}).settings
    with TestClient(assemble({"steering": SteeringPart(Surroundings(settings, NOBODY))})) as client:
        yield client


def kept_view(folder: Path) -> KeptView[Title]:
    settings = load({"PLAYHEAD_DATA_DIR": str(folder)}).settings
    kept = KeptRecords(CATALOGUE, folder / "gateway" / "catalogue.jsonl", spare_lines=10, every_s=30.0)
    return KeptView(CATALOGUE, Surroundings(settings, NOBODY), kept)


def test_starts_are_served_from_disk_while_the_broker_is_away(tmp_path: Path) -> None:
    on_disk(tmp_path, CATALOGUE, [PILOT, OVER])
    on_disk(tmp_path, CDN_NODES, [NODE])

    with served(tmp_path) as client:
        start = client.post("/v1/play", json={"title": "pilot"}).json()
        playlist = m3u8.loads(client.get(start["hls"]).text)
        ended = client.get("/v1/steer?asset=over")
        ready = client.get("/readyz").json()

    assert start["node"] == {"node": "a-eu", "cdn": "cdn-a"}
    assert playlist.content_steering.pathway_id == "cdn-a"
    assert ended.status_code == 410
    assert "2 titles, 1 node reports kept on disk are served" in ready["problems"]["steering"]


def test_reports_that_are_too_old_are_not_believed_and_starts_go_on_without(tmp_path: Path) -> None:
    on_disk(tmp_path, CATALOGUE, [PILOT])
    on_disk(tmp_path, CDN_NODES, [msgspec.structs.replace(NODE, time_ms=NOW_MS - 3_600_000)])

    with served(tmp_path) as client:
        start = client.post("/v1/play", json={"title": "pilot"}).json()
        manifests = [client.get(start[protocol]).status_code for protocol in ("hls", "dash")]

    assert start["node"] is None
    assert start["order"] == ["cdn-a", "cdn-b", "cdn-c"]
    assert manifests == [200, 200]


def test_a_topic_read_halfway_does_not_bring_back_what_was_before(tmp_path: Path) -> None:
    on_disk(tmp_path, CATALOGUE, [PILOT, OVER])
    view = kept_view(tmp_path)
    asyncio.run(view.load())
    before = msgspec.structs.replace(OVER, time_ms=NOW_MS - 1, delivery=PILOT.delivery)
    after = msgspec.structs.replace(PILOT, time_ms=NOW_MS + 1, name="Pilot")
    new = msgspec.structs.replace(PILOT, title="new")

    view.topic = FakeTopic(before, after, new)  # type: ignore[assignment]

    assert view.get("over") == OVER
    assert view.get("pilot") == after
    assert view.get("new") == new
    assert list(view.values()) == [after, OVER, new]


def test_once_the_topic_has_been_read_nothing_else_is_served_or_kept(tmp_path: Path) -> None:
    on_disk(tmp_path, CATALOGUE, [PILOT, OVER])
    view = kept_view(tmp_path)
    asyncio.run(view.load())

    view.topic = FakeTopic(PILOT)  # type: ignore[assignment]
    view._read_to_the_end()
    view.close()

    assert view.get("over") is None
    assert view.from_disk == 0
    assert kept_view(tmp_path)._kept.load() == {"pilot": PILOT}


def test_a_record_of_a_contract_that_is_no_more_is_passed_over(tmp_path: Path) -> None:
    path = on_disk(tmp_path, CATALOGUE, [PILOT])
    path.write_bytes(path.read_bytes() + b'["odd",{"time_ms":"yesterday"}]\n{"of": "another form"}\n')
    view = kept_view(tmp_path)

    asyncio.run(view.load())

    assert view.get("odd") is None
    assert list(view.values()) == [PILOT]


def test_what_changes_often_is_written_at_intervals_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "cdn.nodes.jsonl"
    kept: KeptRecords[NodeReport] = KeptRecords(CDN_NODES, path, every_s=30.0)
    newest = [NODE]
    kept.whole(lambda: newest)

    newest[0] = msgspec.structs.replace(NODE, load=0.5)
    kept.add(NODE.node, newest[0])
    before_its_time = dict(kept.load())
    kept.close()

    assert before_its_time == {NODE.node: NODE}
    assert kept.load() == {NODE.node: newest[0]}


def test_what_changes_often_is_written_once_it_is_time(tmp_path: Path) -> None:
    kept: KeptRecords[NodeReport] = KeptRecords(CDN_NODES, tmp_path / "cdn.nodes.jsonl", every_s=0.0)
    newest = [NODE]
    kept.whole(lambda: newest)

    newest[0] = msgspec.structs.replace(NODE, load=0.5)
    kept.add(NODE.node, newest[0])

    assert kept.load() == {NODE.node: newest[0]}


def test_a_disk_that_refused_is_tried_again_and_misses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "gateway"
    folder.write_text("no folder")
    kept = KeptRecords(CATALOGUE, folder / "catalogue.jsonl", spare_lines=10, every_s=0.0)
    kept.whole(lambda: [PILOT, OVER])

    folder.unlink()
    kept.add(OVER.title, OVER)

    assert kept.load() == {"pilot": PILOT, "over": OVER}
    assert [each.name for each in folder.iterdir()] == ["catalogue.jsonl"]
