"""The gateway takes alerts in: what it refuses, and what an alert becomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from config import load
from models.foreign_alerts import anomaly_of
from playhead.gateway.app import build
from topics.anomalies import Phase, Severity

SETTINGS = load({"PLAYHEAD_KAFKA__DELIVERY_TIMEOUT_S": "0.3"}).settings
DIMENSIONS = SETTINGS.qoe.dimensions


def alert(**given: Any) -> dict[str, Any]:
    fields = {
        "status": "firing",
        "labels": {"alertname": "HighErrors", "service": "payment", "severity": "critical"},
        "annotations": {"summary": "payments fail"},
        "startsAt": "2026-06-20T18:30:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "c0ffee",
    }
    return {**fields, **given}


def webhook(*alerts: Any) -> dict[str, Any]:
    return {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "p", "alerts": list(alerts)}


@pytest.fixture
def gateway() -> Iterator[TestClient]:
    nobody = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    with TestClient(build(SETTINGS, nobody, ["alerts"])) as client:
        yield client


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        ([], 422, "Expected `object`"),
        ({"version": "4"}, 422, "missing required field `alerts`"),
        (webhook(alert(status="odd")), 422, "$.alerts[0].status"),
        (webhook(alert(), alert(labels={"a": 1})), 422, "$.alerts[1].labels"),
        (webhook(alert(startsAt="yesterday")), 422, "startsAt"),
        (webhook(alert(startsAt="2026-06-20T18:30:00")), 422, "$.alerts[0].startsAt"),
        (webhook(alert(status="resolved", endsAt="0001-01-01T00:00:00Z")), 422, "$.alerts[0].endsAt"),
        (webhook(alert(fingerprint="")), 422, "$.alerts[0].fingerprint"),
    ],
)
def test_a_bad_payload_is_refused_with_the_field(
    gateway: TestClient, body: Any, status: int, said: str
) -> None:
    how = {"content": body} if isinstance(body, bytes) else {"json": body}

    answer = gateway.post("/v1/alertmanager", **how)

    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_alerts_of_our_own_are_passed_over(gateway: TestClient) -> None:
    ours = alert(labels={"alertname": "latency_spike", "playhead_incident": "i1"})

    answer = gateway.post("/v1/alertmanager", json=webhook(ours))

    assert (answer.status_code, answer.json()) == (200, {"taken": 0, "ours": 1})


def test_alerts_that_the_broker_does_not_take_are_asked_for_again(gateway: TestClient) -> None:
    answer = gateway.post("/v1/alertmanager", json=webhook(alert()))

    assert answer.status_code == 503
    assert "again" in answer.json()["error"]


def test_an_alert_told_again_is_the_same_and_its_end_is_another() -> None:
    labels = {"alertname": "HighErrors", "service": "payment", "severity": "critical"}

    first = anomaly_of(labels, "payments fail", "c0ffee", 1_000, None, DIMENSIONS)
    again = anomaly_of(labels, "payments fail", "c0ffee", 1_000, None, DIMENSIONS)
    ended = anomaly_of(labels, "payments fail", "c0ffee", 1_000, 5_000, DIMENSIONS)

    assert first == again
    assert (first.subject, first.phase, first.severity) == ("payment", Phase.START, Severity.CRITICAL)
    assert (ended.series, ended.phase, ended.time_ms) == (first.series, Phase.END, 5_000)
    assert ended.id != first.id


def test_an_alert_about_dimensions_of_playback_has_them_as_its_subject() -> None:
    labels = {"alertname": "CdnDown", "isp": "3", "cdn": "7", "severity": "odd"}

    found = anomaly_of(labels, "", "c0ffee", 1_000, None, DIMENSIONS)

    assert (found.subject, found.cell) == ("cdn=7,isp=3", {"cdn": "7", "isp": "3"})
    assert (found.severity, found.detail) == (Severity.MEDIUM, "CdnDown fires")


@pytest.mark.parametrize("path", ["/v1/alertmanager", "/v1/cmcd/log"])
def test_with_keys_set_a_program_has_to_bring_one(path: str, tmp_path: Path) -> None:
    keys = {
        "PLAYHEAD_GATEWAY__KEYS": '["a key of the last year", "a key of this year"]',
        "PLAYHEAD_DATA_DIR": str(tmp_path),
        "PLAYHEAD_KAFKA__DELIVERY_TIMEOUT_S": "0.3",
    }
    nobody = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    answers = {}
    with TestClient(build(load(keys).settings, nobody, ["alerts", "cmcd"])) as client:
        for given in (
            "",
            "Bearer ",
            "Bearer a key of nobody",
            "a key of this year",
            "Bearer a key of this year",
        ):
            answers[given] = client.post(path, content=b"{", headers={"authorization": given})

    statuses = [answer.status_code for answer in answers.values()]
    assert statuses[:-1] == [401] * 4
    assert statuses[-1] in (400, 422)  # let in, and then read
    refused = answers["Bearer a key of nobody"]
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "gateway.keys" in refused.json()["detail"]
    assert "nobody" not in refused.text
