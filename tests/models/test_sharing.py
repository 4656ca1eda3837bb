"""Traffic is shared out level, cheap first, commitments before all, and never above the bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steady import steady

from models.sharing import Vessel, water_fill

MAX_LOAD = 0.8

vessels = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        Vessel,
        capacity_gbps=st.floats(1, 10_000),
        load_gbps=st.floats(0, 10_000),
        committed_gbps=st.floats(0, 10_000),
        cost_per_gb=st.sampled_from([0.0, 1.0, 2.0]),
    ),
    min_size=1,
)


def room(vessel: Vessel) -> float:
    return max(MAX_LOAD * vessel.capacity_gbps - vessel.load_gbps, 0.0)


@settings(steady)
@given(vessels=vessels, demand_gbps=st.floats(0, 50_000))
def test_nobody_is_filled_above_the_bound_and_nothing_is_lost_while_there_is_room(
    vessels: dict[str, Vessel], demand_gbps: float
) -> None:
    taken = water_fill(demand_gbps, vessels, MAX_LOAD)

    assert taken.keys() == vessels.keys()
    for name, vessel in vessels.items():
        assert -1e-9 <= taken[name] <= room(vessel) + 1e-6 * vessel.capacity_gbps
    total = sum(room(vessel) for vessel in vessels.values())
    assert sum(taken.values()) == pytest.approx(min(demand_gbps, total), rel=1e-6, abs=1e-6)


@settings(steady)
@given(vessels=vessels, demand_gbps=st.floats(0, 50_000))
def test_within_a_price_those_who_take_beyond_their_commitment_end_at_one_level(
    vessels: dict[str, Vessel], demand_gbps: float
) -> None:
    vessels = {
        name: Vessel(each.capacity_gbps, each.load_gbps, 0.0, each.cost_per_gb)
        for name, each in vessels.items()
    }

    taken = water_fill(demand_gbps, vessels, MAX_LOAD)

    for cost in {each.cost_per_gb for each in vessels.values()}:
        levels = [
            (each.load_gbps + taken[name]) / each.capacity_gbps
            for name, each in vessels.items()
            if each.cost_per_gb == cost and taken[name] > 1e-6 * each.capacity_gbps
        ]
        assert not levels or max(levels) - min(levels) < 1e-5


@settings(steady)
@given(vessels=vessels, demand_gbps=st.floats(0, 50_000))
def test_a_dear_one_takes_beyond_its_commitment_only_when_the_cheaper_are_full(
    vessels: dict[str, Vessel], demand_gbps: float
) -> None:
    taken = water_fill(demand_gbps, vessels, MAX_LOAD)

    for name, dear in vessels.items():
        committed = max(min(dear.committed_gbps, MAX_LOAD * dear.capacity_gbps) - dear.load_gbps, 0.0)
        if taken[name] > committed + 1e-5 * dear.capacity_gbps:
            for other, cheap in vessels.items():
                if cheap.cost_per_gb < dear.cost_per_gb:
                    assert taken[other] == pytest.approx(room(cheap), rel=1e-5, abs=1e-5)


def test_what_is_committed_is_filled_before_what_is_cheap() -> None:
    vessels = {
        "paid": Vessel(100, load_gbps=10, committed_gbps=40, cost_per_gb=5),
        "cheap": Vessel(100, load_gbps=10, cost_per_gb=1),
    }

    assert water_fill(20, vessels, MAX_LOAD) == pytest.approx({"paid": 20, "cheap": 0})
    assert water_fill(50, vessels, MAX_LOAD) == pytest.approx({"paid": 30, "cheap": 20})
