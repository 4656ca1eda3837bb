"""From anomaly to steering answer and back over a real Kafka, with every record told twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from worker_process import WorkerProcess

from config import load
from playhead.latency_measured import measured
from playhead.log_reader import read_to_end
from playhead.topics_admin import TopicsAdmin, wanted
from topics import (
    ALL,
    ANOMALIES,
    CDN_NODES,
    COMMANDS,
    DEAD_LETTERS,
    INCIDENTS,
    OUTCOMES,
    POLICIES,
    SEGMENTS,
    SELECTION,
    STEERING,
)
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.cdn import NodeReport
from topics.commands import CommandKind, OutcomeStatus
from topics.fields import Record
from topics.incidents import IncidentState
from topics.ingest import Segment, SegmentStatus
from topics.policies import Policy
from topics.spec import AnySpec

START_MS = 1_700_000_000_000
AGENTS = ("segments", "incidents", "policy", "cdn", "ingest")
AUDIENCES = 40
TIMEOUT_S = 120.0


def policies(lease_s: float = 300.0) -> list[Policy]:
    kinds = (CommandKind.STEER, CommandKind.SHED, CommandKind.FAIL_OVER)
    return [
        Policy(time_ms=START_MS, policy=f"allow-{kind}", allows=kind, dry_run=False, lease_s=lease_s)
        for kind in kinds
    ]


CAPACITY_GBPS = {"5": 10_000, "6": 10_000, "7": 100}


def nodes(minute: int, **loads: float) -> list[NodeReport]:
    """What the nodes report in `minute`; by `cdn_7`, for one, what other load than 0.3 a CDN has."""
    return [
        NodeReport(
            time_ms=START_MS + minute * 60_000,
            node=f"{cdn}-1",
            cdn=cdn,
            capacity_gbps=capacity_gbps,
            load=loads.get(f"cdn_{cdn}", 0.3),
        )
        for cdn, capacity_gbps in CAPACITY_GBPS.items()
    ]


def anomaly(isp: int, phase: Phase, minute: int) -> Anomaly:
    cell = {"cdn": "7", "isp": str(isp)}
    cause = Cause(cell=cell, score=0.9, excess_viewers=890, explained=0.9, contrast="only on 7")
    return Anomaly(
        id=f"{isp}-{phase}",
        time_ms=START_MS + minute * 60_000,
        subject=f"cdn=7,isp={isp}",
        series=f"cdn=7,isp={isp}/stalled_ratio",
        phase=phase,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.CRITICAL,
        score=0.99,
        confidence=0.99,
        metric="stalled_ratio",
        value=0.31,
        baseline=0.01,
        cell=cell,
        causes=[cause] if phase is Phase.START else [],
        impact_viewers=890,
        origin_ms=int(time.time() * 1_000),
    )


class Loop:
    """One run under a prefix of its own."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self.prefix = prefix
        self.client = {"bootstrap.servers": brokers}
        TopicsAdmin(self.client).create(wanted(ALL, prefix))
        self._producer = Producer(
            {**self.client, "partitioner": "murmur2_random", "linger.ms": 0, "enable.idempotence": True}
        )

    def send_twice(self, spec: AnySpec, records: Iterable[Record]) -> None:
        for record in records:
            for _ in range(2):
                key, value = spec.key_of(record).encode(), spec.encode(record)
                self._producer.produce(spec.full_name(self.prefix), key=key, value=value)
        assert self._producer.flush(30) == 0

    def read(self, spec: AnySpec) -> list[Any]:
        messages = read_to_end(self.client, spec.full_name(self.prefix))
        return [spec.decode(message.value()) for message in messages]

    def newest(self, spec: AnySpec) -> dict[str, Any]:
        return {spec.key_of(record): record for record in self.read(spec)}

    def latencies_ms(self) -> list[int]:
        """From an anomaly, by our clock, to the answer it led to, by the broker's."""
        messages = read_to_end(self.client, STEERING.full_name(self.prefix))
        answers = [(message.timestamp()[1], STEERING.decode(message.value())) for message in messages]
        return [at_ms - answer.origin_ms for at_ms, answer in answers if answer.origin_ms is not None]

    def wait_for(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not reached():
            assert time.monotonic() < deadline, f"not reached: {what}; dead: {self.read(DEAD_LETTERS)}"
            time.sleep(0.2)


def statuses(outcomes: Iterable[Any]) -> dict[OutcomeStatus, int]:
    counts: dict[OutcomeStatus, int] = {}
    for outcome in outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    return counts


def ids_are_unique(records: list[Any]) -> bool:
    return len(records) == len({record.id for record in records})


def test_anomalies_steer_their_audience_away_and_their_end_brings_it_back(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    loop = Loop(kafka.brokers, topic_prefix)
    loop.send_twice(POLICIES, policies())
    loop.send_twice(CDN_NODES, nodes(0))
    # A busy machine's actor may take its time to obey.
    returning = {"PLAYHEAD_POLICY__RETURN_DWELL_S": "0.2", "PLAYHEAD_POLICY__OBEY_WITHIN_S": "60"}
    with WorkerProcess(kafka.brokers, loop.prefix, tmp_path, AGENTS, **returning) as worker:
        worker.wait_until_ready()
        for isp in range(AUDIENCES):
            loop.send_twice(ANOMALIES, [anomaly(isp, Phase.START, 1)])
        loop.wait_for(lambda: len(loop.newest(STEERING)) == AUDIENCES, "an answer for each audience")
        # All but the control have left: only a CDN that is seen to have room for them gets them back.
        loop.send_twice(CDN_NODES, nodes(2, cdn_7=0.03))

        answers = loop.newest(STEERING)
        assert set(answers) == {f"isp={isp}" for isp in range(AUDIENCES)}
        assert all(each.pathway_priority[-1] == "7" for each in answers.values())
        most = 1 - load({}).settings.policy.control_share
        assert all(0 < each.share <= most for each in answers.values())
        took_ms = np.array(loop.latencies_ms())
        assert len(took_ms) == AUDIENCES
        p50_ms, p99_ms = np.percentile(took_ms, (50, 99))
        told = measured(loop.client, loop.prefix)
        assert [each.count for each in told] == [AUDIENCES] * 3
        assert all(0 < each.p50_s <= each.p99_s < TIMEOUT_S for each in told)
        print(f"\nalert to steering: p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms")

        loop.send_twice(ANOMALIES, [anomaly(isp, Phase.END, 3) for isp in range(AUDIENCES)])
        loop.wait_for(
            lambda: all(not each.pathway_priority for each in loop.newest(STEERING).values()),
            "the default order for each audience",
        )
        loop.wait_for(lambda: len(loop.read(OUTCOMES)) >= 3 * AUDIENCES, "an outcome of each command")

    assert all(each.state is IncidentState.RESOLVED for each in loop.newest(INCIDENTS).values())
    assert statuses(loop.read(OUTCOMES)) == {
        OutcomeStatus.APPLIED: 2 * AUDIENCES,
        OutcomeStatus.UNDONE: AUDIENCES,
    }
    assert ids_are_unique(loop.read(INCIDENTS))
    for spec, changes in ((COMMANDS, 3), (STEERING, 3)):
        records = loop.read(spec)
        assert len(records) == changes * AUDIENCES, spec.name
        assert ids_are_unique(records), spec.name
    assert loop.read(DEAD_LETTERS) == []


def test_a_failed_pipeline_is_left_for_its_twin_once(kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    loop = Loop(kafka.brokers, topic_prefix)
    loop.send_twice(POLICIES, policies())
    with WorkerProcess(kafka.brokers, loop.prefix, tmp_path, AGENTS) as worker:
        worker.wait_until_ready()
        for sequence in range(60):
            failing = 20 <= sequence < 24
            loop.send_twice(
                SEGMENTS,
                [
                    Segment(
                        id=f"{pipeline}-{sequence}",
                        time_ms=START_MS + sequence * 2_000,
                        stream="final",
                        pipeline=pipeline,
                        sequence=sequence,
                        duration_ms=2_000,
                        status=SegmentStatus.PUBLISHED,
                    )
                    for pipeline in ("A", "B")
                    if not (failing and pipeline == "A")
                ],
            )
        loop.wait_for(
            lambda: OutcomeStatus.UNDONE in statuses(loop.read(OUTCOMES)),
            "the end of the fail-over's incident",
        )

    (selection,) = loop.read(SELECTION)
    assert (selection.pipeline, selection.from_sequence) == ("B", 23)
    assert statuses(loop.read(OUTCOMES)) == {OutcomeStatus.APPLIED: 1, OutcomeStatus.UNDONE: 1}
    assert [each.phase for each in loop.read(ANOMALIES)] == [Phase.START, Phase.END]
    assert loop.read(STEERING) == []
    assert loop.read(DEAD_LETTERS) == []


@pytest.mark.parametrize(
    ("renew_for_s", "ended"), [("0", {OutcomeStatus.EXPIRED: 1}), ("3600", {})], ids=["runs out", "goes on"]
)
def test_a_lease_ends_unless_its_incident_goes_on(
    kafka: Any, topic_prefix: str, tmp_path: Path, renew_for_s: str, ended: dict[OutcomeStatus, int]
) -> None:
    loop = Loop(kafka.brokers, topic_prefix)
    loop.send_twice(POLICIES, policies(lease_s=4.0))
    loop.send_twice(CDN_NODES, nodes(0))
    renewing = {"PLAYHEAD_POLICY__RENEW_FOR_S": renew_for_s, "PLAYHEAD_ACTORS__LEASE_CHECK_S": "0.2"}
    with WorkerProcess(
        kafka.brokers, loop.prefix, tmp_path, AGENTS, PLAYHEAD_ACTORS__SIGNING_KEY="a secret", **renewing
    ) as worker:
        worker.wait_until_ready()
        loop.send_twice(ANOMALIES, [anomaly(1, Phase.START, 1)])
        outcomes = 2 if ended else 3
        loop.wait_for(lambda: len(loop.read(OUTCOMES)) >= outcomes, "what becomes of the lease")
        served = loop.newest(STEERING)["isp=1"]

    counts = statuses(loop.read(OUTCOMES))
    applied = counts.pop(OutcomeStatus.APPLIED)
    assert counts == ended
    assert applied == 1 if ended else applied >= 3
    assert bool(served.pathway_priority) is not bool(ended)
    assert ids_are_unique(loop.read(STEERING))
