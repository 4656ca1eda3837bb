"""The brain over simulated fleets: two of each kind of fault here, a thousand by `playhead lab fleets`."""

from __future__ import annotations

import os
from collections import defaultdict

import msgspec
import numpy as np
import pytest
from command_line import CommandLine

from config import load
from playhead.lab.fleets import FleetResult, run_fleet, run_fleets
from playhead.lab.fleets_judged import judge
from playhead.lab.fleets_picture import draw as draw_picture
from playhead.lab.world import FaultStory, World, draw

SETTINGS = load({}).settings.fleets
OF_EACH = 2
PROPERTIES = [
    "no oscillation",
    "flapping is damped",
    "no CDN is driven over its capacity by our moves",
    "availability in an ISP outage",
    "failover success",
    "recovery",
    "everybody is back at the end",
]


def seeds() -> list[int]:
    """The first seeds of each kind of fault."""
    found: dict[FaultStory, list[int]] = defaultdict(list)
    for seed in range(1, 200):
        found[draw(seed).story].append(seed)
    return sorted(seed for of in found.values() for seed in of[:OF_EACH])


@pytest.fixture(scope="module")
def results() -> list[FleetResult]:
    return run_fleets(seeds(), min(os.cpu_count() or 1, 4))


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_demand_holds_of_the_fleets(results: list[FleetResult], name: str) -> None:
    judgement = judge(results, SETTINGS)

    assert [each.name for each in judgement.properties] == PROPERTIES
    (found,) = (each for each in judgement.properties if each.name == name)
    assert found.holds, f"{found.demanded}, found {found.found}; seed {found.worst_seed}"


def test_every_kind_of_fault_was_met_and_answered(results: list[FleetResult]) -> None:
    assert {each.story for each in results} == set(FaultStory)
    assert all(each.commands > 0 for each in results)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"turns": 1}, "no oscillation"),
        ({"overload_s": 1}, "no CDN is driven over its capacity by our moves"),
        ({"availability": 0.9994}, "availability in an ISP outage"),
        ({"failover_success": 0.97}, "failover success"),
        ({"recovery_s": 46.0}, "recovery"),
        ({"recovery_s": None}, "recovery"),
        ({"returned": False}, "everybody is back at the end"),
    ],
)
def test_one_bad_fleet_is_found_and_named(given: dict[str, object], name: str) -> None:
    good = FleetResult(
        seed=1,
        story=FaultStory.ISP_OUTAGE,
        viewers=1_000.0,
        affected=100.0,
        room=2.0,
        availability=0.9999,
        failover_success=1.0,
        recovery_s=10.0,
        overload_s=0,
        turns=0,
        commands=3,
        returned=True,
    )
    bad = msgspec.structs.replace(good, seed=2, **given)

    assert judge([good], SETTINGS).holds
    failed = [each for each in judge([good, bad], SETTINGS).properties if not each.holds]
    assert [(each.name, each.worst_seed) for each in failed] == [(name, 2)]


def test_where_there_is_no_room_for_all_nobody_is_asked_to_hold_them_but_no_cdn_may_be_overloaded() -> None:
    full = FleetResult(
        seed=3,
        story=FaultStory.HARDWARE,
        viewers=1_000.0,
        affected=500.0,
        room=0.9,
        availability=0.9,
        failover_success=0.85,
        recovery_s=None,
        overload_s=0,
        turns=0,
        commands=3,
        returned=True,
    )

    judgement = judge([full], SETTINGS)
    overloaded = judge([msgspec.structs.replace(full, overload_s=1)], SETTINGS)

    assert (judgement.holds, judgement.without_room) == (True, 1)
    assert not overloaded.holds


def test_room_is_what_the_others_can_take_over_what_the_fault_displaces() -> None:
    seed = next(seed for seed in range(1, 200) if draw(seed).story is FaultStory.HARDWARE)
    world = World(draw(seed), np.random.default_rng(0))
    fleet = world.fleet
    load = world.load_gbps

    others = sum(
        0.8 * capacity - carried
        for cdn, (capacity, carried) in enumerate(zip(fleet.capacity_gbps, load, strict=True))
        if cdn != fleet.cdn
    )
    displaced = load[fleet.cdn] - fleet.capacity_gbps[fleet.cdn] * (1 - fleet.depth)
    assert world.room(0.8) == pytest.approx(others / displaced)


def test_a_fleet_follows_from_its_seed_and_left_alone_it_fares_worse() -> None:
    seed = next(seed for seed in range(1, 200) if draw(seed).story is FaultStory.HARDWARE)

    once, again, alone = run_fleet(seed), run_fleet(seed), run_fleet(seed, steered=False)

    assert once == again
    assert alone.availability < once.availability
    assert alone.commands == 0


def test_the_command_tells_what_holds_and_draws_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fleets")

    result = CommandLine({})(
        "lab",
        "fleets",
        "--fleets",
        "1",
        "--seed",
        "2",
        "--workers",
        "1",
        "--picture",
        str(folder / "f.svg"),
        "--json",
    )

    told = msgspec.json.decode(result.stdout)
    assert (result.exit_code, told["fleets"], told["holds"]) == (0, 1, True)
    drawn = (folder / "f.svg").read_text()
    assert drawn.startswith("<svg")
    assert "polyline" in drawn


def test_the_picture_has_a_mark_for_each_fleet_in_both_plots(results: list[FleetResult]) -> None:
    drawn = draw_picture(results, judge(results, SETTINGS), 0.9995, 45.0)

    assert drawn.count("<circle") == 2 * len(results)
