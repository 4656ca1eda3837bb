"""Titles go to the sites of those who play them, with room, in the quiet hour; and only changes are told."""

from __future__ import annotations

import pytest

from config import load
from playhead.placing import plan
from topics.cdn import NodeReport
from topics.placements import TitlePlacement
from topics.viewing import Action, ViewerAction

SETTINGS = load({}).settings
HOUR_MS = 3_600_000
DAY_MS = 1_781_913_600_000
"""A midnight, UTC."""
SITES = {"ber": "de", "muc": "de", "fra": "de", "par": "fr", "lyo": "fr", "mad": "es"}


def reports(quiet_hour: int = 4, **load_of: float) -> list[NodeReport]:
    """A day of reports of a node per site."""
    return [
        NodeReport(
            time_ms=DAY_MS + hour * HOUR_MS,
            node=f"{site}-1",
            cdn="a",
            site=site,
            region=region,
            capacity_gbps=100.0,
            load=0.05 if hour == quiet_hour else load_of.get(site, 0.4),
        )
        for hour in range(24)
        for site, region in SITES.items()
    ]


def played(title: str, region: str, times: int) -> list[ViewerAction]:
    return [
        ViewerAction(time_ms=DAY_MS, viewer=f"v{number}", action=Action.PLAY, title=title, region=region)
        for number in range(times)
    ]


def planned(
    nodes: list[NodeReport], plays: list[ViewerAction], before: dict[str, TitlePlacement] | None = None
) -> list[TitlePlacement]:
    return plan(nodes, plays, before or {}, DAY_MS + 24 * HOUR_MS, SETTINGS.placement, SETTINGS.routing)


def test_a_title_is_kept_where_it_is_played() -> None:
    (placement,) = planned(reports(), played("film", "de", 50))

    assert set(placement.sites) == {"ber", "muc", "fra"}
    assert placement.plays == 50


def test_what_a_site_lacks_is_copied_in_its_quietest_hour() -> None:
    (placement,) = planned(reports(quiet_hour=3), played("film", "de", 50))

    assert {(fill.site, fill.at_hour) for fill in placement.fills} == {("ber", 3), ("muc", 3), ("fra", 3)}


def test_a_popular_title_is_replicated_wider() -> None:
    plays = [*played("hit", "de", 400), *(each for n in range(7) for each in played(f"t{n}", "de", 10))]

    found = {each.title: each for each in planned(reports(), plays)}

    assert len(found["hit"].sites) > len(found["t0"].sites) == SETTINGS.placement.sites


def test_a_full_site_takes_nothing() -> None:
    (placement,) = planned(reports(ber=0.95), played("film", "de", 50))

    assert "ber" not in placement.sites


def test_only_what_changes_is_told_with_what_is_copied_and_dropped() -> None:
    (first,) = planned(reports(), played("film", "de", 50))

    again = planned(reports(), played("film", "de", 50), {"film": first})
    (moved,) = planned(reports(), [*played("film", "fr", 500), *played("film", "es", 400)], {"film": first})

    assert again == []
    assert {"par", "lyo", "mad"} == set(moved.sites)
    assert {fill.site for fill in moved.fills} == {"par", "lyo", "mad"}
    assert set(moved.drops) == {"ber", "muc", "fra"}


@pytest.mark.parametrize("missing", ["nodes", "plays", "sites"])
def test_without_nodes_plays_or_sites_nothing_is_placed(missing: str) -> None:
    nodes = [] if missing == "nodes" else reports()
    plays = [] if missing == "plays" else played("film", "de", 5)
    if missing == "sites":
        nodes = [NodeReport(time_ms=DAY_MS, node="n", cdn="a", capacity_gbps=1.0, load=0.1)]

    assert planned(nodes, plays) == []
