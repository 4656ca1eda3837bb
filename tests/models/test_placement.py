"""Titles are kept where they are asked for and fit, popular ones at more sites, filled when it is quiet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steady import steady

from config import load
from models.placement import Fill, Placement

SETTINGS = load({}).settings.placement


def test_the_weights_are_those_specified() -> None:
    assert (SETTINGS.weight_demand, SETTINGS.weight_headroom, SETTINGS.weight_latency) == (0.5, 0.3, 0.2)
    assert SETTINGS.sites == 3

    scores = Placement(SETTINGS).scores(np.array([[10.0, 5.0]]), np.array([0.5, 1.0]), np.array([1.0, 0.0]))

    assert scores[0] == pytest.approx([0.5 + 0.15 + 0.2, 0.25 + 0.3])


def test_a_popular_title_goes_to_more_sites() -> None:
    demand = np.array([[1.0] * 8, [1.0] * 8, [1.0] * 8, [16.0] * 8])

    copies = Placement(SETTINGS).copies(demand, sites=8)

    assert copies.tolist() == [3, 3, 3, 4]


def test_full_sites_take_nothing_new() -> None:
    demand = np.array([[9.0, 5.0, 1.0, 1.0]])

    (sites,) = Placement(SETTINGS).sites(demand, np.array([0.0, 1.0, 1.0, 1.0]), np.ones(4))

    assert 0 not in sites.tolist()
    assert sites[0] == 1


def test_only_what_a_site_lacks_is_filled_in_its_quietest_hour() -> None:
    hours = np.ones((2, 24))
    hours[0, 4], hours[1, 3] = 0.1, 0.2

    fills = Placement(SETTINGS).fills(["t"], ["ber", "muc"], [np.array([0, 1])], [{0}], hours)

    assert fills == [Fill("t", "muc", 3)]


@settings(steady)
@given(
    demand=st.lists(st.lists(st.floats(0, 1e6), min_size=5, max_size=5), min_size=1, max_size=6),
    headroom=st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
def test_no_title_is_at_a_site_twice_nor_at_a_full_one_nor_at_fewer_than_fit(
    demand: list[list[float]], headroom: list[float]
) -> None:
    placement, rooms = Placement(SETTINGS), np.array(headroom)

    found = placement.sites(np.array(demand), rooms, np.ones(5))

    copies = placement.copies(np.array(demand), 5)
    open_sites = int((rooms > 0).sum())
    for title, sites in enumerate(found):
        assert len(set(sites.tolist())) == len(sites) == min(copies[title], open_sites)
        assert (rooms[sites] > 0).all()
