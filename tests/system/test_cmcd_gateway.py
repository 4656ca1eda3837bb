"""What the gateway acknowledged is in Kafka, whatever fails, and becomes playback beats."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from eventually import eventually
from playhead_process import PlayheadProcess
from topic_tools import TopicTools
from worker_process import WorkerProcess

from playhead.engine.local_server import free_port
from playhead.packing import is_packed, partition_of, unpack
from topics import CMCD, DEAD_LETTERS, LANE_STATE, PLAYBACK
from topics.cmcd import CmcdRecord
from topics.playback import Beat, PlayerState

EVENT = {"content-type": "application/cmcd"}


@contextmanager
def gateway(brokers: str, prefix: str, folder: Path, port: int) -> Iterator[PlayheadProcess]:
    environment = {
        "PLAYHEAD_BROKERS": brokers,
        "PLAYHEAD_PREFIX": prefix,
        "PLAYHEAD_CMCD__SPOOL__FOLDER": str(folder / "spool"),
    }
    process = PlayheadProcess(
        "gateway", "--parts", "cmcd", "--port", str(port), environment=environment, folder=folder
    )
    with process:
        eventually(lambda: answers(port), "the gateway's first answer")
        yield process


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def reports(topics: TopicTools) -> list[CmcdRecord]:
    """Return what the topic holds, having checked that each is where its session's others are."""
    found: list[CmcdRecord] = []
    for message in topics.messages(CMCD):
        assert is_packed(message.headers())
        for record in unpack(CMCD, message.value()):
            assert message.partition() == partition_of(record.session_id.encode(), CMCD.partitions)
            found.append(record)
    return found


class Players:
    """Players who send without pause, and what they were told is safe."""

    def __init__(self, port: int) -> None:
        self.acknowledged: list[tuple[str, int]] = []
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._play, args=(n,), daemon=True) for n in range(3)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _play(self, player: int) -> None:
        url, sn = f"http://127.0.0.1:{self._port}/v1/cmcd", 0
        with httpx.Client(timeout=5.0) as http:
            while not self._stop.is_set():
                now_ms = time.time_ns() // 1_000_000
                sids = [f"p{player}-{viewer}" for viewer in range(5)]
                body = "".join(f'e=t,sid="{sid}",sn={sn},sta=p,ts={now_ms},v=2\n' for sid in sids)
                try:
                    if http.post(url, content=body, headers=EVENT).status_code == 204:
                        self.acknowledged += [(sid, sn) for sid in sids]
                    sn += 1
                except httpx.TransportError:
                    sn += 1
                    time.sleep(0.05)
                time.sleep(0.005)


def test_nothing_acknowledged_is_lost_when_kafka_and_gateway_die(
    fault_kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    topics = TopicTools(fault_kafka.brokers, topic_prefix)
    topics.create(CMCD, PLAYBACK, DEAD_LETTERS)
    port = free_port()

    with gateway(fault_kafka.brokers, topic_prefix, tmp_path, port) as first:
        players = Players(port)
        eventually(lambda: len(reports(topics)) > 100, "the first reports")
        fault_kafka.kill()
        before = len(players.acknowledged)
        eventually(lambda: len(players.acknowledged) > before + 300, "acknowledgements without Kafka")
        first.kill()
    with gateway(fault_kafka.brokers, topic_prefix, tmp_path, port):
        before = len(players.acknowledged)
        eventually(lambda: len(players.acknowledged) > before + 200, "acknowledgements of the second")
        fault_kafka.start()
        eventually(lambda: len(players.acknowledged) > before + 400, "acknowledgements with Kafka")
        players.stop()
        safe = set(players.acknowledged)

        def missing() -> set[tuple[str, int]]:
            return safe - {(record.session_id, record.keys.sn or 0) for record in reports(topics)}

        eventually(lambda: not missing(), "all that was acknowledged")

    found = reports(topics)
    by_id: dict[str, CmcdRecord] = {}
    for record in found:
        assert by_id.setdefault(record.id, record).keys == record.keys, "what came twice is the same"
    assert {(record.session_id, record.keys.sn or 0) for record in by_id.values()} >= safe


def test_reports_become_beats_at_once(kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    topics = TopicTools(kafka.brokers, topic_prefix)
    topics.create(CMCD, PLAYBACK, DEAD_LETTERS, LANE_STATE)
    port = free_port()
    states = [("s", 0), ("p", 800), ("r", 5_800), ("p", 7_000), ("e", 9_000)]

    with (
        gateway(kafka.brokers, topic_prefix, tmp_path, port) as process,
        WorkerProcess(kafka.brokers, topic_prefix, tmp_path, ("sessions",)),
    ):
        began_ms = time.time_ns() // 1_000_000 - 9_000
        for sn, (state, after_ms) in enumerate(states):
            line = f'cid="demo",e=ps,sid="s",sn={sn},sta={state},ts={began_ms + after_ms},v=2\n'
            answer = httpx.post(f"http://127.0.0.1:{port}/v1/cmcd", content=line, headers=EVENT)
            assert answer.status_code == 204

        def beats() -> list[Beat]:
            return topics.read(PLAYBACK)

        eventually(lambda: beats() and beats()[-1].state is PlayerState.ENDED, "the session's end")
        assert process.interrupt() == 0

    assert sum(beat.attempt for beat in beats()) == 1
    assert [beat.startup_ms for beat in beats() if beat.startup_ms is not None] == [800]
    assert sum(beat.stalls for beat in beats()) == 1
    assert sum(beat.stall_ms for beat in beats()) == 1_200
    assert sum(beat.play_ms for beat in beats()) == 7_000
    assert not list((tmp_path / "spool").glob("*.new")), "the spool was left in order"
