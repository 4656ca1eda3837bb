"""Requests find their node: near, well, holding the title, with room; and backups that may be ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steady import steady

from config import load
from models.routing import Nodes, Router, distance_km

SETTINGS = load({}).settings.routing
BERLIN, NEW_YORK, SYDNEY = (52.52, 13.40), (40.71, -74.01), (-33.87, 151.21)


def nodes(
    *places: tuple[float, float], health: list[float] | None = None, load: list[float] | None = None
) -> Nodes:
    return Nodes(
        [f"n{number}" for number in range(len(places))],
        np.array([place[0] for place in places]),
        np.array([place[1] for place in places]),
        np.array(health or [1.0] * len(places)),
        np.array(load or [0.2] * len(places)),
    )


def test_distances_are_those_of_the_globe() -> None:
    found = distance_km(*BERLIN, nodes(BERLIN, NEW_YORK, SYDNEY))

    assert found == pytest.approx([0, 6_385, 16_090], rel=0.005, abs=1e-6)


def test_the_weights_are_those_specified() -> None:
    weights = (
        SETTINGS.weight_proximity,
        SETTINGS.weight_health,
        SETTINGS.weight_content,
        SETTINGS.weight_headroom,
    )

    assert weights == (0.40, 0.25, 0.20, 0.15)
    best = Router(SETTINGS).scores(nodes(BERLIN, load=[0.0]), np.zeros(1), np.ones(1))
    assert best == pytest.approx([1.0])


def test_each_of_the_four_parts_decides_when_the_others_are_equal() -> None:
    router, ones = Router(SETTINGS), np.ones(2)

    assert router.route(nodes(NEW_YORK, BERLIN), BERLIN, ones, 5_000).node == "n1"
    assert router.route(nodes(BERLIN, BERLIN, health=[0.6, 1.0]), BERLIN, ones, 5_000).node == "n1"
    assert router.route(nodes(BERLIN, BERLIN), BERLIN, np.array([0.0, 1.0]), 5_000).node == "n1"
    assert router.route(nodes(BERLIN, BERLIN, load=[0.7, 0.1]), BERLIN, ones, 5_000).node == "n1"


def test_backups_are_the_nearest_that_are_well_and_below_the_bound() -> None:
    around = nodes(
        BERLIN,
        (52.4, 13.0),
        (51.3, 12.4),
        (48.1, 11.6),
        NEW_YORK,
        health=[1, 1, 0.2, 1, 1],
        load=[0.1, 0.75, 0.1, 0.69, 0.1],
    )

    route = Router(SETTINGS).route(around, BERLIN, np.ones(5), 5_000)

    assert (route.node, route.backups) == ("n0", ["n3", "n4"])


def test_a_full_node_takes_nothing_while_another_can() -> None:
    route = Router(SETTINGS).route(nodes(BERLIN, SYDNEY, load=[0.85, 0.1]), BERLIN, np.ones(2), 5_000)

    assert (route.node, route.backups) == ("n1", [])


def test_with_nothing_well_the_least_bad_is_named() -> None:
    route = Router(SETTINGS).route(nodes(NEW_YORK, BERLIN, health=[0, 0]), BERLIN, np.ones(2), 5_000)

    assert (route.node, route.backups) == ("n1", [])


def test_without_nodes_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="no nodes"):
        Router(SETTINGS).route(nodes(), BERLIN, np.ones(0), 5_000)


@settings(steady)
@given(
    km=st.floats(0, 20_000),
    load_ratio=st.floats(0, 1),
    throughput_kbps=st.floats(100, 100_000),
    more=st.floats(1.01, 3),
)
def test_a_start_takes_longer_from_afar_from_a_fuller_node_and_over_a_slower_line(
    km: float, load_ratio: float, throughput_kbps: float, more: float
) -> None:
    startup = Router(SETTINGS).startup_ms
    usual = startup(km, load_ratio, throughput_kbps)

    assert startup(km * more + 1, load_ratio, throughput_kbps) > usual > 0
    assert startup(km, min(load_ratio * more, 1), throughput_kbps) >= usual
    assert startup(km, load_ratio, throughput_kbps / more) > usual


@settings(steady)
@given(data=st.data(), count=st.integers(1, 12))
def test_a_route_never_backs_up_with_itself_nor_with_what_may_not_take_traffic(
    data: st.DataObject, count: int
) -> None:
    def column(least: float, most: float) -> list[float]:
        return data.draw(st.lists(st.floats(least, most), min_size=count, max_size=count))

    places = list(zip(column(-80, 80), column(-180, 180), strict=True))
    around = nodes(*places, health=column(0, 1), load=column(0, 1))

    route = Router(SETTINGS).route(around, BERLIN, np.array(column(0, 1)), 5_000)

    assert route.node not in route.backups
    assert len(route.backups) == len(set(route.backups)) <= SETTINGS.backups
    at = {name: number for number, name in enumerate(around.names)}
    for name in route.backups:
        assert around.load[at[name]] < SETTINGS.backup_max_load
        assert around.health[at[name]] >= SETTINGS.least_health
    alive = around.health >= SETTINGS.least_health
    if alive.any():
        assert alive[at[route.node]]
    if (alive & (around.load < SETTINGS.target_max_load)).any():
        assert around.load[at[route.node]] < SETTINGS.target_max_load
