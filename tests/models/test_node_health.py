"""Nodes and CDNs are as well as the worst of what they say, what they show and what viewers see."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from record_strategies import records
from steady import steady

from config import load
from models.cdn_loads import backups, cdn_loads
from models.node_health import ailing, health, judged
from topics.anomalies import AnomalyKind, Severity
from topics.cdn import NodeReport
from topics.incidents import Incident, IncidentState

LOADED = load({}).settings
BOUNDS = LOADED.health


def node(**given: object) -> NodeReport:
    fields = {"time_ms": 0, "node": "n", "cdn": "5", "capacity_gbps": 100.0, "load": 0.3}
    return NodeReport(**{**fields, **given})  # type: ignore[arg-type]


def incident(
    cause: dict[str, str], name: str = "other", state: IncidentState = IncidentState.OPEN
) -> Incident:
    return Incident(
        time_ms=0,
        incident=name,
        subject="s",
        state=state,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.HIGH,
        summary="4 % stall",
        cause=cause,
        opened_ms=0,
    )


@pytest.mark.parametrize(
    ("given_", "worth"),
    [
        ({}, 1.0),
        ({"error_rate": 0.01, "latency_p99_ms": 2_000.0, "cache_hit_ratio": 0.95}, 1.0),
        ({"error_rate": 0.02}, 0.5),
        ({"latency_p99_ms": 4_000.0}, 0.5),
        ({"cache_hit_ratio": 0.475}, 0.5),
        ({"error_rate": 0.02, "latency_p99_ms": 4_000.0}, 0.25),
        ({"healthy": False}, 0.0),
        ({"error_rate": 0.05}, 0.0),
    ],
)
def test_a_node_is_worth_less_the_further_it_is_beyond_its_bounds(
    given_: dict[str, object], worth: float
) -> None:
    assert health(node(**given_), BOUNDS) == pytest.approx(worth)


@settings(steady)
@given(report=records(NodeReport))
def test_health_is_a_share_and_only_what_is_worth_nothing_is_called_down(report: NodeReport) -> None:
    worth = health(report, BOUNDS)

    assert 0 <= worth <= 1
    assert judged(report, BOUNDS).healthy == (report.healthy and worth > 0)


def test_a_node_that_fails_requests_and_calls_itself_well_carries_nobody() -> None:
    (load_,) = cdn_loads([judged(node(error_rate=0.4), BOUNDS)], 0, 1_000).values()

    assert load_.capacity_gbps == 0
    assert load_.ratio == 1


@pytest.mark.parametrize(
    ("cause", "ails"),
    [
        ({"cdn": "5"}, True),
        ({"cdn": "5", "isp": "3"}, True),
        ({"cdn": "5", "isp": "9"}, False),
        ({"cdn": "5", "device": "tv"}, True),
        ({"isp": "3"}, False),
    ],
)
def test_viewers_ail_on_a_cdn_for_the_audiences_that_would_meet_them(
    cause: dict[str, str], ails: bool
) -> None:
    assert ("5" in ailing([incident(cause)], {"isp": "3"}, but="mine")) is ails


def test_what_is_resolved_and_what_is_being_answered_is_no_reason() -> None:
    told = [incident({"cdn": "5"}, "mine"), incident({"cdn": "6"}, state=IncidentState.RESOLVED)]

    assert ailing(told, {"isp": "3"}, but="mine") == {}


def test_a_cdn_that_viewers_ail_on_is_no_backup_though_its_nodes_are_well() -> None:
    loads = cdn_loads([node(cdn="7", node="a"), node(), node(cdn="6", node="c", load=0.6)], 0, 1_000)
    ill = ailing([incident({"cdn": "5"})], {"isp": "3"}, but="mine")

    found = backups(loads, "7", 0.2, 0.8, [], LOADED.policy, ill)

    assert list(found.split) == ["6"]
    assert any("viewers ail on it: 4 % stall" in said for said in found.said)
