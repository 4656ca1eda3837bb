"""Faults against a real Kafka: what people are told is what they would have been told without the fault."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from worker_process import WorkerProcess

from playhead.log_reader import read_to_end
from playhead.topics_admin import TopicsAdmin, wanted
from topics import ALL, ANOMALIES, BY_NAME, COMMANDS, DEAD_LETTERS, INCIDENTS, PLAYBACK, SEGMENTS, TELEMETRY
from topics.ingest import Segment, SegmentStatus
from topics.playback import Beat, PlayerState
from topics.spec import AnySpec
from topics.telemetry import Sample

START_MS = 1_700_000_000_000 // 60_000 * 60_000
MINUTES = 10
VIEWERS = 900
AGENTS = ("telemetry", "playback", "cohorts", "segments", "incidents", "policy", "cdn", "ingest")
TOLD: tuple[AnySpec, ...] = (ANOMALIES, INCIDENTS, COMMANDS)
TIMEOUT_S = 120.0

Record = tuple[AnySpec, bytes, bytes]
Told = dict[str, dict[str, Any]]


def outage() -> list[list[Record]]:
    """Ten minutes of a small service, a minute a list: CDN b stalls in minutes 5 and 6, a service's latency
    leaps in minute 4, a live pipeline misses segments in minute 7, and bad records come in between."""
    rng = random.Random(7)
    minutes = []
    for minute in range(MINUTES):
        now_ms = START_MS + minute * 60_000
        records: list[Record] = []
        for viewer in range(VIEWERS):
            cdn, isp = "abc"[viewer % 3], "xy"[viewer % 2]
            stalls = rng.random() < (0.3 if cdn == "b" and minute in {5, 6} else 0.02)
            records.append(
                encoded(
                    PLAYBACK,
                    Beat(
                        time_ms=now_ms + viewer * 60,
                        session_id=f"s{viewer}",
                        state=PlayerState.PLAYING,
                        title="match",
                        cdn=cdn,
                        isp=isp,
                        play_ms=50_000,
                        stall_ms=5_000 if stalls else 0,
                    ),
                )
            )
        for second in range(60):
            for service in ("payment", "search"):
                leap = service == "payment" and minute == 4 and second < 20
                value = 9_000.0 if leap else rng.gauss(300, 5)
                at_ms = now_ms + second * 1_000
                sample = Sample(time_ms=at_ms, service=service, metric="latency_p99_ms", value=value)
                records.append(encoded(TELEMETRY, sample))
        for number in range(30):
            sequence = minute * 30 + number
            for pipeline in ("east", "west"):
                missing = pipeline == "east" and minute == 7 and number < 10
                records.append(
                    encoded(
                        SEGMENTS,
                        Segment(
                            id=f"{pipeline}-{sequence}",
                            time_ms=now_ms + number * 2_000,
                            stream="live",
                            pipeline=pipeline,
                            sequence=sequence,
                            duration_ms=2_000,
                            status=SegmentStatus.MISSING if missing else SegmentStatus.PUBLISHED,
                            size_bytes=0 if missing else 500_000,
                        ),
                    )
                )
        for spec in (PLAYBACK, TELEMETRY, SEGMENTS):
            records.insert(rng.randrange(len(records)), (spec, b"bad", b'{"time_ms": "yesterday"}'))
        minutes.append(records)
    return minutes


POISON = 3 * MINUTES


def encoded(spec: AnySpec, record: Any) -> Record:
    return spec, spec.key_of(record).encode(), spec.encode(record)


def differing(told: Told, expected: Told) -> list[str]:
    """Return, for people, what is missing and what is too much."""
    lines = []
    for topic, records in expected.items():
        lines += [f"missing: {record}" for key, record in records.items() if key not in told[topic]]
        lines += [f"too much: {record}" for key, record in told[topic].items() if key not in records]
    return lines


class Run:
    """One run of the outage under a prefix of its own."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self.brokers = brokers
        self.prefix = prefix
        self.client = {"bootstrap.servers": brokers}
        TopicsAdmin(self.client).create(wanted(ALL, prefix))
        self._producer = Producer(
            {**self.client, "enable.idempotence": True, "partitioner": "murmur2_random", "linger.ms": 5}
        )
        self._expired = time.monotonic() + TIMEOUT_S

    def send(self, minute: list[Record]) -> None:
        for spec, key, value in minute:
            self._producer.produce(spec.full_name(self.prefix), key=key, value=value)
            self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def told(self) -> dict[str, dict[str, Any]]:
        """Return everything that people and actors were told, by topic and id."""
        return {
            spec.name: {record.id: record for record in map(spec.decode, self.values(spec))} for spec in TOLD
        }

    def values(self, spec: AnySpec) -> Iterator[bytes]:
        return (message.value() for message in self.messages(spec))

    def ids(self, spec: AnySpec) -> list[str]:
        return [spec.decode(value).id for value in self.values(spec)]

    def messages(self, spec: AnySpec) -> Iterator[Any]:
        return read_to_end(self.client, spec.full_name(self.prefix))

    def wait_until_told(self, expected: Told) -> None:
        """Return once what is told is what is expected, by its ids."""
        deadline = time.monotonic() + TIMEOUT_S
        while differences := differing(self.told(), expected):
            assert time.monotonic() < deadline, "\n".join(differences)
            time.sleep(0.5)

    def settle(self) -> Told:
        """Return what was told once it has stopped growing."""
        last: Told = {}
        quiet = 0
        deadline = time.monotonic() + TIMEOUT_S
        while quiet < 4:
            assert time.monotonic() < deadline, "it never settles"
            time.sleep(1)
            now = self.told()
            quiet = quiet + 1 if now == last and now[INCIDENTS.name] else 0
            last = now
        return last


@pytest.fixture(scope="module")
def undisturbed(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What a run without faults tells."""
    run = Run(kafka.brokers, "calm.")
    folder = tmp_path_factory.mktemp("calm")
    with WorkerProcess(kafka.brokers, run.prefix, folder, AGENTS) as worker:
        worker.wait_until_ready()
        for minute in outage():
            run.send(minute)
        run.flush()
        told = run.settle()
        assert len(run.ids(DEAD_LETTERS)) == POISON
        for agent, spec in (("telemetry", TELEMETRY), ("playback", PLAYBACK), ("segments", SEGMENTS)):
            sent = sum(record[0] is spec for minute in outage() for record in minute)
            outcomes = {
                outcome: worker.metric("playhead_records_total", agent=agent, outcome=outcome)
                for outcome in ("processed", "duplicate", "dead")
            }
            assert outcomes == {"processed": sent - MINUTES, "duplicate": 0, "dead": MINUTES}, agent
    for spec in TOLD:
        ids = run.ids(spec)
        assert len(ids) == len(set(ids)), f"{spec.name} told something twice"
    return told


def test_the_outage_is_seen_at_all(undisturbed: Told) -> None:
    # Three troubles, each with a start and an end, an incident that opens and resolves, and commands.
    assert len(undisturbed[ANOMALIES.name]) >= 6
    assert len(undisturbed[INCIDENTS.name]) >= 6
    assert undisturbed[COMMANDS.name]


def test_workers_killed_mid_run_lose_nothing_and_double_nothing(
    kafka: Any, topic_prefix: str, tmp_path: Path, undisturbed: Told
) -> None:
    run = Run(kafka.brokers, topic_prefix)
    rng = random.Random(11)
    with WorkerProcess(kafka.brokers, run.prefix, tmp_path, AGENTS) as worker:
        worker.wait_until_ready()
        for number, minute in enumerate(outage()):
            half = len(minute) // 2
            run.send(minute[:half])
            if number in {3, 5, 8}:
                run.flush()
                time.sleep(rng.random())
                worker.kill()
                worker.start()
            run.send(minute[half:])
        run.flush()
        worker.wait_until_ready()
        run.wait_until_told(undisturbed)
        time.sleep(3)
        assert differing(run.told(), undisturbed) == []
        assert len(set(run.ids(DEAD_LETTERS))) == POISON


def test_two_workers_share_the_partitions_and_one_takes_over_for_the_other(
    kafka: Any, topic_prefix: str, tmp_path: Path, undisturbed: Told
) -> None:
    run = Run(kafka.brokers, topic_prefix)
    first = WorkerProcess(kafka.brokers, run.prefix, tmp_path, AGENTS)
    with first, WorkerProcess(kafka.brokers, run.prefix, tmp_path, AGENTS) as second:
        first.wait_until_ready()
        second.wait_until_ready()
        for number, minute in enumerate(outage()):
            run.send(minute)
            if number == 5:
                run.flush()
                first.kill()
        run.flush()
        run.wait_until_told(undisturbed)


def test_a_broker_stopped_and_started_mid_run_loses_nothing(
    fault_kafka: Any, topic_prefix: str, tmp_path: Path, undisturbed: Told
) -> None:
    run = Run(fault_kafka.brokers, topic_prefix)
    with WorkerProcess(fault_kafka.brokers, run.prefix, tmp_path, AGENTS) as worker:
        worker.wait_until_ready()
        for number, minute in enumerate(outage()):
            run.send(minute)
            if number in {4, 6}:
                run.flush()
                fault_kafka.stop() if number == 4 else fault_kafka.kill()
                time.sleep(2)
                fault_kafka.start()
        run.flush()
        if not worker.running:  # what the supervisor does for a worker that ends by itself
            worker.start()
        run.wait_until_told(undisturbed)


def test_every_contract_has_a_topic_on_the_broker(kafka: Any, topic_prefix: str) -> None:
    run = Run(kafka.brokers, topic_prefix)

    assert {spec for spec in BY_NAME if list(run.messages(BY_NAME[spec]))} == set()
