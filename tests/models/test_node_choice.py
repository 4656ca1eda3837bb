"""A start goes to the best node of the CDN that steering names, and to the next where that has none."""

from __future__ import annotations

from typing import Any

from config import load
from models.node_choice import NodeTable, Whereabouts
from topics.cdn import NodeReport

SETTINGS = load({}).settings
BERLIN = Whereabouts(52.5, 13.4, isp="3320", region="eu")


def node(name: str, cdn: str, **more: Any) -> NodeReport:
    stated: dict[str, Any] = {"time_ms": 1_000, "capacity_gbps": 100.0, "load": 0.3, "cache_hit_ratio": 0.97}
    return NodeReport(node=name, cdn=cdn, **stated | more)


def routed(*reports: NodeReport, viewer: Whereabouts = BERLIN, order: tuple[str, ...] = ("a", "b")) -> Any:
    return NodeTable(reports, SETTINGS, 2_000).route(order, "pilot", viewer, 10_000.0)


def test_the_nearest_well_node_of_the_first_cdn_serves_and_the_others_back_it_up() -> None:
    route = routed(
        node("far", "a", latitude_deg=40.7, longitude_deg=-74.0),
        node("near", "a", latitude_deg=52.4, longitude_deg=13.0),
        node("next", "b", latitude_deg=52.5, longitude_deg=13.4),
    )

    assert route.node == "near"
    assert route.backups == ["next", "far"]
    assert 0 < route.startup_ms < 2_000


def test_with_no_place_known_the_same_network_and_region_are_near() -> None:
    viewer = Whereabouts(isp="3320", region="eu")

    route = routed(
        node("elsewhere", "a"), node("region", "a", region="eu"), node("isp", "a", isp="3320"), viewer=viewer
    )

    assert route.node == "isp"
    assert route.backups == ["region", "elsewhere"]


def test_the_next_cdn_serves_where_no_node_of_the_first_can() -> None:
    route = routed(
        node("down", "a", healthy=False), node("full", "a", load=0.9), node("well", "b"), node("other", "z")
    )

    assert route.node == "well"
    assert route.backups == []


def test_a_backup_is_below_the_load_at_which_it_may_still_take_traffic() -> None:
    route = routed(node("one", "a"), node("busy", "a", load=0.75), node("free", "a", load=0.6))

    assert route.node == "one"
    assert route.backups == ["free"]


def test_a_node_that_holds_the_title_is_preferred() -> None:
    route = routed(
        node("without", "a", title_hit_ratios={"pilot": 0.1}),
        node("with", "a", title_hit_ratios={"pilot": 1.0}),
    )

    assert route.node == "with"


def test_with_nothing_well_the_least_bad_node_is_named_and_with_no_reports_none() -> None:
    assert routed(node("down", "a", healthy=False)).node == "down"
    assert routed(node("old", "a", time_ms=0), order=("b",)) is None
    assert routed() is None
