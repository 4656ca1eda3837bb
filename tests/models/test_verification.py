"""Whether a move helps is told from those moved and those not, at any time, and not before it can be."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from config import load
from models.verification import Arms, Verifier
from models.window_merge import MergedWindow
from topics.cohorts import MEASURES
from topics.commands import RampStep
from topics.steering import SteeringAnswer
from topics.verifications import Verdict, Verification

SETTINGS = load({}).settings.policy
AT = {name: column for column, name in enumerate(MEASURES)}
WINDOW_MS = 10_000
MOVED_MS = 20_000 + int(1_000 * SETTINGS.verify_settle_s)
"""The command's time, one TTL, and what a player may take to be done with what it was fetching."""

STEERED = SteeringAnswer(
    time_ms=10_000,
    audience="isp=3",
    cell={"isp": "3"},
    pathway_priority=["5", "7"],
    away_from="7",
    share=0.5,
    ttl_s=10.0,
    generation=1,
    command_id="c1",
    incident="i1",
    expires_ms=1_000_000,
)


def window(
    start_ms: int, cells: dict[tuple[str, ...], tuple[int, int]], names: tuple[str, ...]
) -> MergedWindow:
    sums = np.zeros((len(cells), len(MEASURES)))
    for row, (viewers, stalled) in enumerate(cells.values()):
        sums[row, AT["viewers"]], sums[row, AT["stalled_viewers"]] = viewers, stalled
    return MergedWindow(
        start_ms=start_ms,
        window_ms=WINDOW_MS,
        dimensions=names,
        cells=list(cells),
        sums=sums,
        origin_ms=None,
    )


def followed(
    moved_ratio: float, control_ratio: float, windows: int, answer: SteeringAnswer = STEERED, seed: int = 1
) -> list[Verification]:
    rng, verifier = np.random.default_rng(seed), Verifier(SETTINGS)
    arms: Arms | None = None
    told = []
    for number in range(windows):
        cells = {
            ("7", "3"): (200, int(rng.binomial(200, control_ratio))),
            ("5", "3"): (200, int(rng.binomial(200, moved_ratio))),
            ("7", "9"): (900, 900),
        }
        found = verifier.step(arms, answer, window(MOVED_MS + number * WINDOW_MS, cells, ("cdn", "isp")))
        assert found is not None
        arms, verification = found
        told.append(verification)
    return told


def test_a_move_that_helps_is_told_so_at_the_first_windows() -> None:
    told = followed(0.005, 0.3, 3)

    assert told[-1].verdict is Verdict.HELPED
    assert told[-1].difference_high is not None
    assert told[-1].difference_high < 0


def test_a_move_that_harms_is_told_so() -> None:
    assert followed(0.3, 0.01, 5)[-1].verdict is Verdict.HARMED


def test_a_move_that_makes_no_difference_is_told_so_after_the_time_a_help_would_take() -> None:
    told = followed(0.2, 0.2, 14)

    waited = [each.window_end_ms - each.since_ms for each in told]
    early = [
        each.verdict for each, ms in zip(told, waited, strict=True) if ms < 1_000 * SETTINGS.verify_within_s
    ]
    assert set(early) == {Verdict.UNKNOWN}
    assert told[-1].verdict is Verdict.NO_EFFECT


def test_those_who_are_well_are_never_moved_back_for_the_comparison() -> None:
    assert followed(0.005, 0.0, 20)[-1].verdict is Verdict.UNKNOWN


def test_looking_at_every_window_finds_no_help_where_there_is_none() -> None:
    wrong = sum(
        any(each.verdict in {Verdict.HELPED, Verdict.HARMED} for each in followed(0.1, 0.1, 40, seed=seed))
        for seed in range(100)
    )

    assert wrong <= 100 * SETTINGS.verify_alpha + 3 * (100 * SETTINGS.verify_alpha) ** 0.5


@pytest.mark.parametrize(
    ("answer", "start_ms"),
    [
        (STEERED, MOVED_MS - 1),
        (
            SteeringAnswer(time_ms=0, audience="isp=3", cell={}, pathway_priority=[], ttl_s=1, generation=2),
            MOVED_MS,
        ),
    ],
    ids=["before players have moved", "under no command"],
)
def test_some_windows_say_nothing(answer: SteeringAnswer, start_ms: int) -> None:
    cells = {("7", "3"): (200, 60), ("5", "3"): (200, 0)}

    assert Verifier(SETTINGS).step(None, answer, window(start_ms, cells, ("cdn", "isp"))) is None


def test_the_way_back_says_nothing() -> None:
    back = msgspec.structs.replace(STEERED, ramp=[RampStep(at_ms=MOVED_MS, share=0.1)])
    cells = {("7", "3"): (200, 60), ("5", "3"): (200, 0)}

    assert Verifier(SETTINGS).step(None, back, window(MOVED_MS, cells, ("cdn", "isp"))) is None


def test_who_is_served_by_nobody_known_is_neither_moved_nor_of_the_control() -> None:
    cells = {("7", "3"): (200, 60), ("5", "3"): (100, 0), ("", "3"): (50, 50)}

    found = Verifier(SETTINGS).step(None, STEERED, window(MOVED_MS, cells, ("cdn", "isp")))

    assert found is not None
    assert (found[1].moved_viewers, found[1].control_viewers) == (100, 200)


def test_of_windows_that_overlap_those_count_that_share_nothing() -> None:
    verifier, cells = Verifier(SETTINGS), {("7", "3"): (200, 60), ("5", "3"): (200, 0)}
    found = verifier.step(None, STEERED, window(MOVED_MS, cells, ("cdn", "isp")))
    assert found is not None

    within = window(MOVED_MS + WINDOW_MS - 1, cells, ("cdn", "isp"))
    after = window(MOVED_MS + WINDOW_MS, cells, ("cdn", "isp"))

    assert verifier.step(found[0], STEERED, within) is None
    assert verifier.step(found[0], STEERED, after) is not None


def test_another_incident_begins_the_count_anew() -> None:
    verifier = Verifier(SETTINGS)
    cells = {("7", "3"): (200, 60), ("5", "3"): (200, 0)}
    found = verifier.step(None, STEERED, window(MOVED_MS, cells, ("cdn", "isp")))
    assert found is not None
    other = msgspec.structs.replace(STEERED, incident="i2", command_id="c2")

    again = verifier.step(found[0], other, window(MOVED_MS + WINDOW_MS, cells, ("cdn", "isp")))

    assert again is not None
    assert (again[1].windows, again[1].since_ms) == (1, MOVED_MS + WINDOW_MS)


@pytest.mark.parametrize(
    ("given", "cells", "names"),
    [
        (
            {"max_bitrate_kbps": 1_750.0},
            {("2000", "3"): (100, 50), ("1750", "3"): (100, 1), ("best", "3"): (50, 0)},
            ("bitrate_kbps", "isp"),
        ),
        ({"p2p": False}, {("1", "3"): (100, 50), ("0", "3"): (150, 1)}, ("p2p", "isp")),
    ],
    ids=["a cap", "off peer-to-peer"],
)
def test_what_is_shed_is_compared_too(
    given: dict[str, object], cells: dict[tuple[str, ...], tuple[int, int]], names: tuple[str, ...]
) -> None:
    shed = msgspec.structs.replace(STEERED, away_from="", pathway_priority=[], **given)

    found = Verifier(SETTINGS).step(None, shed, window(MOVED_MS, cells, names))

    assert found is not None
    verification = found[1]
    assert (verification.moved_viewers, verification.moved_bad) == (150, 1)
    assert (verification.control_viewers, verification.control_bad) == (100, 50)


def test_without_the_dimension_that_tells_them_apart_nothing_is_said() -> None:
    assert Verifier(SETTINGS).step(None, STEERED, window(MOVED_MS, {("3",): (200, 60)}, ("isp",))) is None
