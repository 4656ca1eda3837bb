"""Each kind of fault is recognised by how it shows, and answered with a first step of its own."""

from __future__ import annotations

import msgspec
import pytest

from config import load
from models.faults import FaultKind, recognise
from topics.anomalies import AnomalyKind, Severity
from topics.cdn import NodeReport
from topics.incidents import Incident, IncidentState

SETTINGS = load({}).settings.policy
NOW_MS = 1_000_000
CANARY, MOST = 0.1, 0.9


def node(name: str = "n1", cdn: str = "7", load: float = 0.4, **given: object) -> NodeReport:
    fields = {"time_ms": NOW_MS, "node": name, "cdn": cdn, "capacity_gbps": 100.0, "load": load}
    return NodeReport(**{**fields, **given})  # type: ignore[arg-type]


def incident(
    cause: dict[str, str], severity: Severity = Severity.HIGH, firing: tuple[str, ...] = ()
) -> Incident:
    return Incident(
        time_ms=NOW_MS,
        incident="i1",
        subject="s",
        state=IncidentState.OPEN,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=severity,
        summary="viewers stall",
        cause=cause,
        firing=list(firing),
        opened_ms=NOW_MS,
    )


ON_7 = incident({"cdn": "7"})
ISP_DOWN = incident({"cdn": "7", "isp": "3"}, Severity.CRITICAL)
DARK = incident({"cdn": "7"}, Severity.CRITICAL)
UNPLAYABLE = incident({"cdn": "7"}, firing=("cdn=7/playback_failure_ratio",))


@pytest.mark.parametrize(
    ("what", "nodes", "kind", "first_share", "said"),
    [
        (ISP_DOWN, [node()], FaultKind.ISP_OUTAGE, SETTINGS.hard_first_share, "isp 3 does not reach them"),
        (
            ON_7,
            [node("n1", healthy=False), node("n2")],
            FaultKind.HARDWARE,
            0.5,
            "n1 are down: 50 % of the capacity",
        ),
        (
            ON_7,
            [node("n1", healthy=False)],
            FaultKind.HARDWARE,
            SETTINGS.hard_first_share,
            "100 % of the capacity",
        ),
        (ON_7, [node(load=0.95)], FaultKind.CONGESTION, 1 - 0.8 / 0.95, "well and at 95 %"),
        (
            UNPLAYABLE,
            [node(error_rate=0.0)],
            FaultKind.CORRUPTION,
            SETTINGS.hard_first_share,
            "without an error",
        ),
        (UNPLAYABLE, [node(error_rate=0.02)], FaultKind.DEGRADED, CANARY, "no more is known"),
        (DARK, [node()], FaultKind.UNREACHABLE, SETTINGS.max_step_share, "viewers of all kinds"),
        (ON_7, [node()], FaultKind.DEGRADED, CANARY, "no more is known"),
        (ISP_DOWN, [], FaultKind.DEGRADED, CANARY, "no more is known"),
    ],
    ids=[
        "isp outage",
        "some nodes down",
        "all nodes down",
        "congestion",
        "corruption",
        "nodes see the errors",
        "unreachable",
        "degraded",
        "no reports",
    ],
)
def test_a_fault_is_what_its_signs_say(
    what: Incident, nodes: list[NodeReport], kind: FaultKind, first_share: float, said: str
) -> None:
    fault = recognise(what, nodes, SETTINGS, CANARY, MOST)

    assert fault.kind is kind
    assert fault.first_share == pytest.approx(min(first_share, MOST))
    assert said in fault.said


@pytest.mark.parametrize(
    ("nodes", "kind", "first_share"),
    [
        ([node("n1", healthy=False)], FaultKind.HARDWARE, SETTINGS.hard_first_share),
        ([node(load=0.95)], FaultKind.CONGESTION, 1 - 0.8 / 0.95),
        ([node()], FaultKind.DEGRADED, CANARY),
    ],
    ids=["its nodes are down", "its nodes are full", "its nodes say nothing"],
)
def test_where_nobody_is_on_another_cdn_only_its_nodes_say_more_than_that_a_canary_is_due(
    nodes: list[NodeReport], kind: FaultKind, first_share: float
) -> None:
    everyone = msgspec.structs.replace(incident({"isp": "3"}, Severity.CRITICAL), only_cdn="7")

    fault = recognise(everyone, nodes, SETTINGS, CANARY, MOST)

    assert (fault.kind, fault.first_share) == (kind, pytest.approx(min(first_share, MOST)))


def test_nodes_of_other_cdns_other_regions_and_long_ago_say_nothing() -> None:
    old_ms = NOW_MS - int(1_000 * SETTINGS.max_report_age_s) - 1
    elsewhere = [
        node("a", cdn="5", healthy=False),
        node("b", region="east", healthy=False),
        node("c", time_ms=old_ms, healthy=False),
    ]

    fault = recognise(incident({"cdn": "7", "region": "west"}), elsewhere, SETTINGS, CANARY, MOST)

    assert fault.kind is FaultKind.DEGRADED


def test_no_first_step_goes_beyond_the_most_that_may_be_moved() -> None:
    for what, nodes in ((ISP_DOWN, [node()]), (ON_7, [node(healthy=False)]), (ON_7, [node(load=1.0)])):
        assert recognise(what, nodes, SETTINGS, CANARY, 0.05).first_share <= 0.05
