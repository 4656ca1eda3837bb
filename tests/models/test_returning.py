"""The way back is in steps, slower for who flaps, and only into room that is there."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from steady import steady

from config import load
from models.returning import no_room_back, on_the_way_back
from models.steering_order import share_at
from models.surroundings import Surroundings
from topics.anomalies import AnomalyKind, Severity
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind
from topics.incidents import Incident, IncidentState
from topics.steering import SteeringAnswer
from topics.verifications import Pulse, Verification

SETTINGS = load({}).settings.policy
NOW_MS = 1_000_000


def lease(share: float = 0.5) -> Command:
    return Command(
        time_ms=0,
        id="c1",
        kind=CommandKind.STEER,
        target="isp=3",
        generation=1,
        incident="i1",
        owner="policy",
        reason="stalls on 7",
        expires_ms=2_000_000,
        audience={"isp": "3"},
        away_from="7",
        pathway_priority=["5", "7"],
        share=share,
    )


OVER = Incident(
    time_ms=NOW_MS,
    incident="i1",
    subject="s",
    state=IncidentState.RESOLVED,
    kind=AnomalyKind.STREAMING_QUALITY_DROP,
    severity=Severity.HIGH,
    summary="4 % stalled",
    opened_ms=0,
    resolved_ms=NOW_MS,
)


def node(cdn: str, load_ratio: float, **given: object) -> NodeReport:
    fields = {
        "time_ms": NOW_MS,
        "node": f"{cdn}-{given.get('healthy', True)}",
        "cdn": cdn,
        "capacity_gbps": 100.0,
        "load": load_ratio,
    }
    return NodeReport(**{**fields, **given})  # type: ignore[arg-type]


@settings(steady)
@given(share=st.floats(0.01, 1), flaps=st.integers(0, 10))
def test_ever_fewer_stay_moved_and_nobody_after_the_end(share: float, flaps: int) -> None:
    command = on_the_way_back(lease(share), OVER, NOW_MS, flaps, SETTINGS)

    answer = SteeringAnswer(
        time_ms=NOW_MS,
        audience="isp=3",
        cell={"isp": "3"},
        pathway_priority=["5", "7"],
        ttl_s=10,
        generation=2,
        share=command.share,
        ramp=command.ramp,
        expires_ms=command.expires_ms,
    )
    moments = range(NOW_MS, command.expires_ms + 1, 5_000)
    stay = [share_at(answer, now_ms) for now_ms in moments]
    assert stay == sorted(stay, reverse=True)
    assert stay[0] == share
    assert share_at(answer, command.expires_ms) == 0


def test_the_oftener_an_audience_has_flapped_the_slower_it_returns_up_to_a_bound() -> None:
    took = [on_the_way_back(lease(), OVER, 0, flaps, SETTINGS).expires_ms for flaps in range(8)]

    assert took[1] == 2 * took[0]
    assert took[SETTINGS.most_flaps] == 2**SETTINGS.most_flaps * took[0]
    assert took[SETTINGS.most_flaps + 1] == took[SETTINGS.most_flaps]


def test_nobody_returns_where_it_is_not_known_whether_there_is_room() -> None:
    assert "no load report of 7 is recent" in no_room_back(lease(), Surroundings(), NOW_MS, SETTINGS)


def test_nobody_returns_while_nodes_are_down() -> None:
    around = Surroundings(nodes=[node("7", 0.2), node("7", 0.0, healthy=False)])

    assert "100 Gb/s are down still" in no_room_back(lease(), around, NOW_MS, SETTINGS)


def test_those_who_return_are_counted_from_those_who_stayed() -> None:
    half_full, fuller = Surroundings(nodes=[node("7", 0.39)]), Surroundings(nodes=[node("7", 0.42)])

    assert no_room_back(lease(0.5), half_full, NOW_MS, SETTINGS) == ""
    assert "84 % of its capacity" in no_room_back(lease(0.5), fuller, NOW_MS, SETTINGS)


def test_a_small_audience_is_known_to_be_small_from_those_counted() -> None:
    few = Verification(
        time_ms=NOW_MS,
        audience="isp=3",
        incident="i1",
        since_ms=0,
        window_end_ms=NOW_MS,
        windows=10,
        moved_viewers=1_000.0,
        moved_bad=0.0,
        control_viewers=100.0,
        control_bad=0.0,
    )
    around = Surroundings(
        nodes=[node("7", 0.42), node("5", 0.5)],
        verification_of={"isp=3": few}.get,
        pulse=Pulse(time_ms=NOW_MS, agent="verify", window_end_ms=NOW_MS, viewers=10_000.0),
    )

    assert no_room_back(lease(0.9), around, NOW_MS, SETTINGS) == ""
