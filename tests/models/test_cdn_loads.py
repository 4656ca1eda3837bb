"""How much may come to a CDN's neighbours, and how much room they have for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import load
from models.cdn_loads import CdnLoad, backups, cdn_loads
from models.pulse import pulse_of
from models.window_merge import MergedWindow
from topics.cdn import NodeReport
from topics.cohorts import MEASURES
from topics.steering import SteeringAnswer
from topics.verifications import PULSE, Pulse

SETTINGS = load({}).settings.policy
NOW_MS, MAX_AGE_MS = 20_000, 60_000


def node(cdn: str, load: float, *, healthy: bool = True, time_ms: int = NOW_MS) -> NodeReport:
    return NodeReport(
        time_ms=time_ms, node=f"{cdn}-{healthy}", cdn=cdn, capacity_gbps=100, load=load, healthy=healthy
    )


def pulse(window_end_ms: int = NOW_MS, **viewers: float) -> Pulse:
    return Pulse(
        time_ms=window_end_ms,
        agent="verify",
        window_end_ms=window_end_ms,
        viewers=sum(viewers.values()),
        viewers_by_cdn=viewers,
    )


def demand(nodes: list[NodeReport], told: Pulse | None, margin: float = 1.0) -> float:
    return cdn_loads(nodes, NOW_MS, MAX_AGE_MS, told, margin)["a"].demand_gbps


DEAD = [node("a", 0.0, healthy=False), node("b", 0.5), node("c", 0.3)]


def test_of_a_dead_cdn_all_it_could_carry_may_come_where_nobody_was_counted() -> None:
    assert demand(DEAD, None) == 100


def test_who_has_fled_by_himself_comes_no_more() -> None:
    # 800 viewers bring b and c to 80 Gb/s: a tenth each.
    assert demand(DEAD, pulse(a=200, b=500, c=300)) == pytest.approx(20)


def test_viewers_may_ask_for_more_than_their_neighbours_do() -> None:
    assert demand(DEAD, pulse(a=200, b=500, c=300), margin=1.1) == pytest.approx(22)


@pytest.mark.parametrize(
    "told",
    [
        pulse(window_end_ms=NOW_MS + 1, a=200, b=500, c=300),
        pulse(window_end_ms=NOW_MS - MAX_AGE_MS - 1, a=200, b=500, c=300),
        pulse(a=200),
        pulse(),
    ],
    ids=["after the nodes spoke", "long ago", "nobody elsewhere", "of no CDN"],
)
def test_a_count_that_proves_nothing_is_not_used(told: Pulse) -> None:
    assert demand(DEAD, told) == 100


@given(
    load=st.floats(0, 1),
    viewers=st.dictionaries(st.sampled_from("abc"), st.floats(0, 1e6)),
    margin=st.floats(1, 3),
)
def test_a_count_only_ever_lowers_what_may_come_and_never_below_what_is_carried(
    load: float, viewers: dict[str, float], margin: float
) -> None:
    nodes = [node("a", load), *DEAD]

    found = demand(nodes, pulse(**viewers), margin)

    assert load * 100 <= found * (1 + 1e-9)
    assert found <= demand(nodes, None)


def test_an_audience_needs_room_for_itself_and_not_for_all_of_its_cdn() -> None:
    loads = cdn_loads([node("a", 0.9), node("b", 0.65)], NOW_MS, MAX_AGE_MS)

    all_of_it = backups(loads, "a", 1.0, 0.8, [], SETTINGS)
    few = backups(loads, "a", 1.0, 0.8, [], SETTINGS, most_gbps=12)

    assert all_of_it.share == pytest.approx(15 / 90)
    assert few.share == 1.0


def test_room_promised_to_an_audience_is_what_it_asks_for() -> None:
    loads = {
        "a": CdnLoad("a", 100, 90, 90, oldest_ms=NOW_MS),
        "b": CdnLoad("b", 100, 50, 50, oldest_ms=NOW_MS),
    }
    other = SteeringAnswer(
        time_ms=NOW_MS,
        audience="isp=2",
        cell={"isp": "2"},
        pathway_priority=["b", "a"],
        away_from="c",
        ttl_s=5,
        generation=1,
        command_id="c1",
        demand_gbps=20.0,
    )
    loads["c"] = CdnLoad("c", 100, 60, 60, oldest_ms=NOW_MS)

    found = backups(loads, "a", 1.0, 0.8, [other], SETTINGS, most_gbps=30.0)

    assert found.share * 30 == pytest.approx(80 - 50 - 20)


def test_a_pulse_tells_where_viewers_are() -> None:
    sums = np.zeros((3, len(MEASURES)))
    sums[:, MEASURES.index("viewers")] = [10, 20, 5]
    window = MergedWindow(
        start_ms=0,
        window_ms=2_000,
        dimensions=("isp", "cdn"),
        cells=[("1", "a"), ("1", "b"), ("2", "a")],
        sums=sums,
        origin_ms=None,
    )

    told = pulse_of(window, "verify")

    assert (told.window_end_ms, told.viewers) == (2_000, 35)
    assert told.viewers_by_cdn == {"a": 15, "b": 20}


def test_viewers_whose_cdn_is_not_known_are_somewhere() -> None:
    window = MergedWindow(
        start_ms=0,
        window_ms=2_000,
        dimensions=("cdn",),
        cells=[("a",), ("",)],
        sums=np.ones((2, len(MEASURES))),
        origin_ms=None,
    )

    told = PULSE.decode(PULSE.encode(pulse_of(window, "verify")))

    assert (told.viewers, told.viewers_by_cdn) == (2, {"a": 1})


def test_a_pulse_of_beats_that_name_no_cdn_tells_no_place() -> None:
    window = MergedWindow(
        start_ms=0,
        window_ms=2_000,
        dimensions=("isp",),
        cells=[("1",)],
        sums=np.ones((1, len(MEASURES))),
        origin_ms=None,
    )

    assert pulse_of(window, "verify").viewers_by_cdn == {}
