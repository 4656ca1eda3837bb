"""Nobody is sent to a CDN without a node that is up; once one is, viewers come back in steps."""

from __future__ import annotations

from config import load
from models.dead_cdns import DeadCdns
from topics.cdn import NodeReport

SETTINGS = load({}).settings
DWELL_MS = int(1_000 * SETTINGS.policy.return_dwell_s)
DWELLS_BACK = len(SETTINGS.policy.return_shares)
GROUPS = range(200)


def node(name: str, cdn: str, time_ms: int, healthy: bool) -> NodeReport:
    return NodeReport(time_ms=time_ms, node=name, cdn=cdn, capacity_gbps=100, load=0.3, healthy=healthy)


def kept_off(dead: DeadCdns, now_ms: int) -> float:
    return sum("a" in dead.of(group, now_ms) for group in GROUPS) / len(GROUPS)


def test_a_cdn_with_a_node_that_is_up_or_without_a_recent_word_is_not_dead() -> None:
    dead = DeadCdns(SETTINGS)
    old_ms = int(1_000 * SETTINGS.policy.max_report_age_s) + 1

    dead.see([node("1", "a", 0, False), node("2", "a", 0, True)], 1_000)
    dead.see([node("3", "b", 0, False)], old_ms)

    assert dead.of(1, old_ms) == []


def test_viewers_come_back_in_steps_after_a_dwell() -> None:
    dead = DeadCdns(SETTINGS)
    dead.see([node("1", "a", 0, False)], 0)
    assert kept_off(dead, 10 * DWELL_MS) == 1, "for as long as it is down"

    dead.see([node("1", "a", 1_000, True)], 1_000)
    shares = [kept_off(dead, 1_000 + at * DWELL_MS) for at in range(2 + DWELLS_BACK)]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert 0.2 < shares[2] < 0.8
    assert shares[-1] == 0


def test_one_that_dies_again_on_the_way_back_is_dead_for_all() -> None:
    dead = DeadCdns(SETTINGS)
    dead.see([node("1", "a", 0, False)], 0)
    dead.see([node("1", "a", 1_000, True)], 1_000)
    dead.see([node("1", "a", 2 * DWELL_MS, False)], 2 * DWELL_MS)

    assert kept_off(dead, 3 * DWELL_MS) == 1
