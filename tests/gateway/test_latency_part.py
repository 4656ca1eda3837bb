"""The latency budget over HTTP, with what was measured beside it."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from config import load
from models.latency_budget import budget
from playhead.brokers import BrokerUnavailableError
from playhead.gateway import latency
from playhead.gateway.app import assemble
from playhead.gateway.latency import LatencyPart, page
from playhead.gateway.parts import Surroundings
from playhead.latency_measured import Measured

SEEN = [Measured("... to the answer", 12, 0.4, 0.9)]


def client_of(monkeypatch: pytest.MonkeyPatch, answers: list[list[Measured] | Exception]) -> TestClient:
    def measured(*_: object) -> list[Measured]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(latency, "measured", measured)
    part = LatencyPart(Surroundings(load({}).settings, {}))
    return TestClient(assemble({"latency": part}))


def test_the_budget_is_told_as_json_with_what_was_measured_once_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with client_of(monkeypatch, [SEEN]) as client:
        first, again = (
            client.get("/v1/latency-budget").json(),
            client.get("/v1/latency-budget?live=true").json(),
        )

    assert first["budget"]["stages"][0]["name"] == "beat"
    assert first["measured"] == [{"name": "... to the answer", "count": 12, "p50_s": 0.4, "p99_s": 0.9}]
    assert again["measured"] == first["measured"]
    assert again["budget"]["audience"] == "live"


def test_a_page_tells_it_to_people(monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(monkeypatch, [SEEN]) as client:
        answer = client.get("/latency-budget")

    assert answer.headers["content-type"].startswith("text/html")
    assert "steering.calm_ttl_s" in answer.text
    assert "0.90 s, of 12" in answer.text


def test_with_kafka_away_the_budget_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(monkeypatch, [BrokerUnavailableError("Kafka is away")]) as client:
        answer = client.get("/v1/latency-budget")

    assert answer.status_code == 200
    assert answer.json()["measured"] == []


def test_what_is_too_long_is_told_with_the_settings_to_change() -> None:
    slow = budget(load({"PLAYHEAD_QOE__WINDOW_S": "60", "PLAYHEAD_LATENCY__TARGET_P95_S": "30"}).settings)
    quick = budget(load({"PLAYHEAD_LATENCY__TARGET_P95_S": "1000"}).settings)

    assert "cannot be met" in page(slow, [])
    assert "<code>qoe.window_s</code>" in page(slow, [])
    assert "can be met" in page(quick, [])
    assert "no incident yet" in page(quick, [])
