"""People's hands on the brain, over a real Kafka: they approve, explain, freeze and undo."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command_line import CommandLine
from confluent_kafka import Producer
from worker_process import WorkerProcess

from playhead.topics_admin import TopicsAdmin, wanted
from topics import ALL, CDN_NODES, INCIDENTS, POLICIES
from topics.anomalies import AnomalyKind, Cause, Severity
from topics.cdn import NodeReport
from topics.commands import CommandKind
from topics.fields import Record
from topics.incidents import Incident, IncidentState
from topics.policies import Policy
from topics.spec import AnySpec

AGENTS = ("policy", "cdn")
TIMEOUT_S = 60.0


def incident(isp: str, now_ms: int) -> Incident:
    cell = {"cdn": "7", "isp": isp}
    return Incident(
        time_ms=now_ms,
        id=f"change-{isp}",
        incident=f"incident-{isp}",
        subject=f"cdn=7,isp={isp}",
        state=IncidentState.OPEN,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.HIGH,
        summary=f"cdn=7,isp={isp}: 4 % of viewers stall",
        cause=cell,
        causes=[Cause(cell=cell, score=0.9, excess_viewers=890, explained=0.9, contrast="only on 7")],
        impact_viewers=890.0,
        opened_ms=now_ms,
    )


class Hands:
    """Sends records, and speaks by the command line."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self._client = {"bootstrap.servers": brokers}
        self._prefix = prefix
        TopicsAdmin(self._client).create(wanted(ALL, prefix))
        self.steer = CommandLine({"PLAYHEAD_BROKERS": brokers, "PLAYHEAD_PREFIX": prefix})

    def send(self, spec: AnySpec, *records: Record) -> None:
        producer = Producer({**self._client, "partitioner": "murmur2_random", "enable.idempotence": True})
        for record in records:
            key = spec.key_of(record).encode()
            producer.produce(spec.full_name(self._prefix), key=key, value=spec.encode(record))
        assert producer.flush(30) == 0

    def status(self) -> dict[str, Any]:
        (found,) = self.steer.json("steer", "status")
        return dict(found)

    def wait_for(self, reached: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_S
        while not reached(status := self.status()):
            assert time.monotonic() < deadline, f"not reached: {what}; {status}"
            time.sleep(0.3)
        return status


def test_people_approve_explain_freeze_and_undo(kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    now_ms = int(time.time() * 1_000)
    hands = Hands(kafka.brokers, topic_prefix)
    hands.send(
        POLICIES,
        Policy(
            time_ms=now_ms,
            policy="careful",
            allows=CommandKind.STEER,
            dry_run=False,
            approval_over_viewers=400.0,
        ),
    )
    hands.send(
        CDN_NODES,
        *(
            NodeReport(time_ms=now_ms, node=cdn, cdn=cdn, capacity_gbps=1_000.0, load=0.3)
            for cdn in ("5", "6", "7")
        ),
    )
    quick = {"PLAYHEAD_POLICY__RETRY_AFTER_S": "0.5", "PLAYHEAD_ACTORS__LEASE_CHECK_S": "0.2"}
    with WorkerProcess(kafka.brokers, topic_prefix, tmp_path, AGENTS, **quick) as worker:
        worker.wait_until_ready()
        hands.send(INCIDENTS, incident("3", now_ms))
        status = hands.wait_for(
            lambda each: any(waiting["approvable"] for waiting in each["waiting"]), "a proposal"
        )
        assert status["audiences"] == []

        said = hands.steer("steer", "approve", "incident-3", "--by", "ada", "--reason", "the match begins")
        assert said.exit_code == 0, said.output
        status = hands.wait_for(lambda each: bool(each["audiences"]), "an answer once it is approved")
        (audience,) = status["audiences"]
        assert (audience["audience"], audience["incident"]) == ("isp=3", "incident-3")

        (record,) = hands.steer.json("steer", "explain", "isp=3")
        kinds = [(each["command"]["dry_run"], each["outcomes"][0]["status"]) for each in record["decisions"]]
        assert kinds == [(True, "dry_run"), (False, "applied")]
        assert [control["by"] for control in record["said"]] == ["ada"]
        shown = hands.steer("steer", "explain", "incident-3")
        assert "only on 7" in shown.stdout
        assert "the match begins" in shown.stdout

        hands.steer("steer", "freeze", "--by", "bob", "--reason", "maintenance", "--for", "30m")
        hands.wait_for(lambda each: "frozen by bob: maintenance" in each["hands_off"], "the freeze")
        hands.send(INCIDENTS, incident("4", now_ms + 1))
        status = hands.wait_for(
            lambda each: any("frozen by bob" in waiting["why"] for waiting in each["waiting"]), "a reason"
        )
        assert [each["audience"] for each in status["audiences"]] == ["isp=3"], "what is in force goes on"

        (trial,) = hands.steer.json("steer", "dry-run", "incident-4")
        assert trial["commands"] == []
        assert "frozen by bob" in trial["held"][0]

        undone = hands.steer("steer", "undo", "isp=3", "--by", "ada", "--reason", "the other CDN complains")
        assert undone.exit_code == 0, undone.output
        hands.wait_for(lambda each: each["audiences"] == [], "the default order")
        hands.steer("steer", "unfreeze", "--by", "bob")
        hands.wait_for(lambda each: each["hands_off"] == "", "the end of the freeze")

    silent = hands.steer("steer", "freeze", "--by", "bob", "--reason", " ")
    assert silent.exit_code == 2
    assert "say why" in silent.stderr
    unknown = hands.steer("steer", "approve", "nobody", "--reason", "x")
    assert unknown.exit_code == 2
    assert "is no incident" in unknown.stderr
