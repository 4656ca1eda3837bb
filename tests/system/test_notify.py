"""Incidents reach people's tools over a real Kafka, and an Alertmanager's alerts become incidents."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from alertmanager_process import AlertmanagerProcess
from command_line import CommandLine
from eventually import eventually
from playhead_process import PlayheadProcess
from receiving_server import ReceivingServer
from topic_tools import TopicTools
from worker_process import WorkerProcess

from playhead.engine.local_server import free_port
from playhead.newest import newest
from playhead.notify.fields import iso
from playhead.notify.signing import is_ours
from topics import ALL, ANOMALIES, DELIVERIES, INCIDENTS, SPENDING
from topics.anomalies import AnomalyKind, Phase, Severity
from topics.deliveries import DeliveryStatus
from topics.incidents import Incident, IncidentState

QUICK = {
    "PLAYHEAD_NOTIFY__BACKOFF_FIRST_S": "0.1",
    "PLAYHEAD_NOTIFY__BACKOFF_MOST_S": "0.2",
    "PLAYHEAD_NOTIFY__LOOK_EVERY_S": "0.1",
}


def incident(name: str, **given: Any) -> Incident:
    now_ms = int(time.time() * 1_000)
    fields: dict[str, Any] = {
        "time_ms": now_ms,
        "incident": name,
        "subject": f"cdn={name}",
        "state": IncidentState.OPEN,
        "kind": AnomalyKind.STREAMING_QUALITY_DROP,
        "severity": Severity.HIGH,
        "summary": "viewers stall",
        "cause": {"cdn": name},
        "contrast": "all others are fine",
        "opened_ms": now_ms - 1_000,
        "firing": ["stalled_ratio"],
        "paging": True,
        "pages": 1,
    }
    return Incident(**{**fields, **given})


def over(name: str) -> Incident:
    return incident(
        name, state=IncidentState.RESOLVED, paging=False, firing=[], resolved_ms=int(time.time() * 1_000)
    )


def now_iso() -> str:
    return iso(int(time.time() * 1_000))


def receivers(**given: dict[str, Any]) -> dict[str, str]:
    return QUICK | {"PLAYHEAD_NOTIFY__RECEIVERS": json.dumps(given)}


def test_each_notice_is_taken_once_over_failures_dead_receivers_and_a_restart(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    topics = TopicTools(kafka.brokers, topic_prefix)
    topics.create(*ALL)
    topics.send(INCIDENTS, [over("old")])
    topics.send(INCIDENTS, [incident("a"), incident("b")])
    with ReceivingServer(lambda count: 503 if count < 2 else 200) as shaky, ReceivingServer() as well:
        settings = receivers(
            dead={"url": f"http://127.0.0.1:{free_port()}/"},
            shaky={"url": shaky.url, "template": "pagerduty", "key": "R0"},
            well={"url": well.url, "secret": "a secret"},
        )

        def stands(receiver: str, name: str, status: DeliveryStatus) -> bool:
            told = newest(topics.client, topic_prefix, DELIVERIES).get(f"{receiver}/{name}")
            return told is not None and told.status is status

        with WorkerProcess(kafka.brokers, topic_prefix, tmp_path, ("notify",), **settings) as worker:
            worker.wait_until_ready()
            eventually(lambda: len(well.taken) == 3 and len(shaky.taken) == 3, "three notices each")
            eventually(lambda: stands("dead", "old", DeliveryStatus.FAILING), "the dead one's failure")
            eventually(lambda: stands("well", "b", DeliveryStatus.DELIVERED), "the last delivery")
            eventually(lambda: stands("shaky", "b", DeliveryStatus.DELIVERED), "the last delivery")
            worker.kill()
            topics.send(INCIDENTS, [over("a")])
            worker.start()
            worker.wait_until_ready()
            eventually(lambda: len(well.taken) == 4 and len(shaky.taken) == 4, "the end of a, and that alone")
            eventually(lambda: stands("well", "a", DeliveryStatus.DELIVERED), "the delivery of the end")

        told = [(each.json["incident"], each.json["event"]) for each in well.taken]
        assert set(told[:3]) == {("old", "resolved"), ("a", "page"), ("b", "page")}
        assert told[3:] == [("a", "resolved")]
        first = well.taken[0]
        assert is_ours(first.headers, first.body, "a secret", int(time.time()))
        assert first.headers["Idempotency-Key"] == first.json["id"]
        keys = [each.headers["Idempotency-Key"] for each in shaky.posted]
        assert len(set(keys)) == 4
        assert len(keys) == 6
        assert {each.json["dedup_key"] for each in shaky.taken} == {"old", "a", "b"}
        call = CommandLine(settings)
        assert [each["taken"] for each in call.json("notify", "test", "well")] == [True, True]
        assert call("notify", "test", "dead").exit_code == 1


def test_an_alertmanager_is_told_of_incidents_and_tells_its_own_alerts(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    topics = TopicTools(kafka.brokers, topic_prefix)
    topics.create(*ALL)
    port = free_port()
    environment = {"PLAYHEAD_BROKERS": kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix}
    gateway = PlayheadProcess(
        "gateway", "--parts", "alerts", "--port", str(port), environment=environment, folder=tmp_path
    )
    manager = AlertmanagerProcess(tmp_path, f"http://127.0.0.1:{port}/v1/alertmanager")
    with gateway, manager:
        settings = receivers(manager={"url": manager.url, "kind": "alertmanager"})
        settings |= {"PLAYHEAD_NOTIFY__RENEW_S": "0.5", "PLAYHEAD_NOTIFY__LAPSE_S": "3"}
        agents = ("notify", "incidents", "foreign")
        with WorkerProcess(kafka.brokers, topic_prefix, tmp_path, agents, **settings) as worker:
            worker.wait_until_ready()
            topics.send(INCIDENTS, [incident("a")])
            (alert,) = eventually(manager.alerts, "an alert")
            assert alert["labels"]["cdn"] == "a"
            assert alert["annotations"]["contrast"] == "all others are fine"
            ends_at = alert["endsAt"]
            eventually(lambda: [each for each in manager.alerts() if each["endsAt"] > ends_at], "a renewal")
            topics.send(INCIDENTS, [over("a")])
            eventually(lambda: not manager.alerts(), "the end of the alert")

            labels = {"alertname": "HighErrors", "service": "payment", "severity": "critical"}
            began = {"labels": labels, "startsAt": now_iso(), "annotations": {"summary": "payments fail"}}
            manager.post(began)

            def payment(state: IncidentState) -> Incident | None:
                known = newest(topics.client, topic_prefix, INCIDENTS).values()
                found = [each for each in known if each.subject == "payment" and each.state is state]
                return found[0] if found else None

            opened = eventually(lambda: payment(IncidentState.OPEN), "an incident of the alert")
            manager.post({**began, "endsAt": now_iso()})
            eventually(lambda: payment(IncidentState.RESOLVED), "the end of the incident")
            spent = eventually(lambda: topics.read(SPENDING), "the page in the ledger of the budget")

    assert opened is not None
    assert (opened.summary, opened.severity) == ("payment: payments fail", Severity.CRITICAL)
    assert [(each.detector.rpartition("/")[0], each.pages) for each in spent] == [("foreign/HighErrors", 1)]
    told = topics.read(ANOMALIES)
    assert {each.subject for each in told} == {"payment"}, "our own alerts do not come back"
    assert [each.phase for each in told] == [Phase.START, Phase.END]
