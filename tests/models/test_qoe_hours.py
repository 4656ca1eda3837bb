"""Measures that follow the hour: an evening as ever is no trouble, a fault in the evening is."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from config import load
from models.cohort_stats import AS_EVER, Factor, Proportion
from models.qoe import QoeJudge
from models.qoe_baselines import Baselines, CohortTests
from models.qoe_cells import CellShapes
from models.qoe_hours import HOUR_MS, Hours, Profile, factor
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, Phase
from topics.cohorts import MEASURES

QOE = load({}).settings.qoe
AT = {name: column for column, name in enumerate(MEASURES)}
DIMENSIONS = ("title", "cdn", "isp")
CELLS = [("t", cdn, isp) for cdn in "abc" for isp in "xyz"]
WINDOW_S = 300
WINDOWS_A_DAY = 86_400 // WINDOW_S
WINDOW_MS = WINDOW_S * 1_000
BY_DAY, IN_THE_EVENING = 0.005, 0.012
"""Shares of their time that viewers spend stalled; `rebuffering_warn` lies between them."""


def evening(hour: float, turning_h: float) -> float:
    """How much of the evening it is, from 0 to 1: from 19 to 23, coming and going within `turning_h`."""

    def risen(at: float) -> float:
        return 0.5 - 0.5 * math.cos(math.pi * min(max((hour - at) / turning_h + 0.5, 0.0), 1.0))

    return risen(19) - risen(23)


def windows(
    days: int,
    *,
    turning_h: float = 0.5,
    viewers: float = 5_000,
    seed: int = 1,
    fault: Callable[[float], bool] = lambda day: False,
) -> list[MergedWindow]:
    """A title's windows; of those on CDN a three times as many stall while there is a `fault`, by day."""
    rng, made = np.random.default_rng(seed), []
    for number in range(days * WINDOWS_A_DAY):
        day = number / WINDOWS_A_DAY
        late = evening(day % 1 * 24, turning_h)
        here = viewers * (1 + late)
        rate = np.full(len(CELLS), BY_DAY + (IN_THE_EVENING - BY_DAY) * late)
        rate[:3] *= 3 if fault(day) else 1
        minutes = here * WINDOW_S / 60
        stalled_minutes = rng.binomial(int(minutes), rate * rng.lognormal(0, 0.03))
        sums = np.zeros((len(CELLS), len(MEASURES)))
        sums[:, AT["viewers"]] = here
        sums[:, AT["stalled_viewers"]] = rng.binomial(int(here), 4 * rate)
        sums[:, AT["stall_ms"]] = stalled_minutes * 60_000
        sums[:, AT["play_ms"]] = (minutes - stalled_minutes) * 60_000
        made.append(MergedWindow(number * WINDOW_MS, WINDOW_MS, DIMENSIONS, CELLS, sums, None))
    return made


def judge(hour_most: float = QOE.hour_most) -> QoeJudge:
    environment = {"PLAYHEAD_QOE__HOUR_MOST": str(hour_most), "PLAYHEAD_QOE__WINDOW_S": str(WINDOW_S)}
    return QoeJudge(load(environment).settings)


def said(model: QoeJudge, made: list[MergedWindow]) -> list[Anomaly]:
    return [anomaly for each in made for anomaly in model.judge(each)[1]]


def starts(model: QoeJudge, made: list[MergedWindow]) -> list[Anomaly]:
    return [each for each in said(model, made) if each.phase is Phase.START]


@cache
def three_days() -> bytes:
    """What a judge knows after three days without a fault."""
    model = judge()
    said(model, windows(3))
    return model.snapshot()


def by_day(found: list[Anomaly], days: int) -> list[int]:
    """Episodes that began, of each day."""
    of = [(each.time_ms - WINDOW_MS) // (WINDOWS_A_DAY * WINDOW_MS) for each in found]
    return [of.count(day) for day in range(days)]


@pytest.mark.parametrize(("turning_h", "viewers", "seed"), [(0.5, 5_000, 1), (1.0, 5_000, 2), (0.5, 500, 3)])
def test_evenings_are_no_trouble_after_two_days(turning_h: float, viewers: float, seed: int) -> None:
    found = starts(judge(), windows(4, turning_h=turning_h, viewers=viewers, seed=seed))

    assert by_day(found, 4)[2:] == [0, 0]


def test_without_the_hour_they_are_trouble_again_and_again() -> None:
    found = starts(judge(hour_most=1.0), windows(4))

    assert all(by_day(found, 4)[2:])


@pytest.mark.parametrize("hour", [10.0, 19.0, 21.0])
def test_a_fault_is_found_whatever_the_hour(hour: float) -> None:
    begin, model = 3 + hour / 24, judge()
    model.restore(three_days())

    told = said(model, windows(4, fault=lambda day: begin <= day < begin + 0.03)[3 * WINDOWS_A_DAY :])

    day_ms = WINDOWS_A_DAY * WINDOW_MS
    start, *_, end = told
    assert (start.phase, start.cell) == (Phase.START, {"cdn": "a"})
    assert begin * day_ms < start.time_ms <= begin * day_ms + 2 * WINDOW_MS
    assert (end.phase, end.series) == (Phase.END, start.series)
    assert end.time_ms <= (begin + 0.03) * day_ms + 4 * WINDOW_MS


def test_the_first_day_is_judged_as_if_there_were_no_hours() -> None:
    day = windows(1, fault=lambda day: 0.5 < day < 0.6)

    assert starts(judge(), day) == starts(judge(hour_most=1.0), day) != []


def test_a_restored_judge_goes_on_the_same() -> None:
    made = windows(3, fault=lambda day: 2.8 < day < 2.85)
    cut = 2 * WINDOWS_A_DAY + 230
    straight, first, second = judge(), judge(), judge()

    whole = starts(straight, made)
    before = starts(first, made[:cut])
    second.restore(first.snapshot())

    assert before + starts(second, made[cut:]) == whole
    assert second.snapshot() == straight.snapshot()


def test_an_hour_that_has_taught_something_moves_no_expectation_by_itself() -> None:
    tester, shapes, known = CohortTests(QOE), CellShapes(QOE), Baselines()
    expected, factors_told = [], set()
    for each in windows(3):
        [leaves] = shapes.split(each, lambda _: None)
        factors = tester.factors(known, each)
        usual = known.proportions.get("rebuffering_ratio@everyone", Proportion())
        times = factors.share("rebuffering_ratio").times
        if 2 * HOUR_MS < each.start_ms % (24 * HOUR_MS) < 16 * HOUR_MS:  # it is steady
            expected.append(times * usual.rate(0.0))
            factors_told.add(times)
        tester.learn(known, leaves, list(shapes.cohorts(leaves)), factors)

    assert expected[10:] == pytest.approx([BY_DAY] * len(expected[10:]), rel=0.06)
    assert min(factors_told) < 0.9, "the factor was learned meanwhile"


# -- profiles ---------------------------------------------------------------------------------------------


def learned(hours: int, rate: Callable[[int], float]) -> Profile:
    profile = Profile()
    for hour in range(hours):
        profile.learn(hour * HOUR_MS, 10_000 * rate(hour), 10_000, QOE.hour_memory)
    return profile


def at(profile: Profile, hour: float) -> Factor:
    return factor(profile, int(hour * HOUR_MS), QOE, QOE.hour_prior_units)


def test_until_a_day_is_known_the_hour_does_nothing() -> None:
    profile = learned(24, lambda hour: 0.02 if hour % 24 > 18 else 0.01)

    assert all(at(profile, hour / 2) == AS_EVER for hour in range(96))


def test_what_was_seen_seldom_moves_little() -> None:
    one, many = (learned(24 * days + 2, lambda hour: 0.02 if hour % 24 > 18 else 0.01) for days in (1, 8))

    assert 1.2 < at(one, 21.5).times < at(many, 21.5).times < 0.02 / (0.01 + 0.01 * 5 / 24)


def test_few_units_move_little() -> None:
    profile = Profile()
    for hour in range(24 * 8):
        profile.learn(hour * HOUR_MS, 0.2 if hour % 24 > 18 else 0.1, 10.0, QOE.hour_memory)

    assert at(profile, 21.5).times == pytest.approx(1.0, abs=0.02)


def test_weekends_are_told_from_other_days_once_some_weeks_are_known() -> None:
    def rate(hour: int) -> float:
        return 0.03 if hour % 168 >= 144 and hour % 24 > 18 else 0.01

    before, after = learned(24 * 13, rate), learned(24 * 29, rate)
    wednesday, sunday = 24 * 2 + 21.5, 24 * 6 + 21.5

    assert at(before, wednesday) == at(before, sunday)
    assert at(after, sunday).times > 1.6 * at(after, wednesday).times


def test_an_outage_of_one_day_moves_its_hour_no_further_than_so_far() -> None:
    calm = learned(24 * 6 + 2, lambda hour: 0.01)
    struck = learned(24 * 6 + 2, lambda hour: 0.5 if hour == 24 * 5 + 12 else 0.01)

    assert at(calm, 24 * 7 + 12.5).times == pytest.approx(1.0)
    assert at(struck, 24 * 7 + 12.5).times < 1.25


def test_a_change_from_one_hour_to_the_next_is_come_to_by_the_minute_and_less_sure() -> None:
    profile = learned(24 * 9, lambda hour: 0.02 if hour % 24 >= 18 else 0.01)

    before, middle, later = (at(profile, hour) for hour in (16.5, 18.0, 21.5))

    assert middle.times == pytest.approx((before.times + later.times) / 2)
    assert before.unsure == later.unsure == 0.0
    assert middle.unsure > 0.2


def test_no_factor_is_beyond_its_bound() -> None:
    often, seldom = (
        learned(24 * 40, lambda hour, well=well: 0.3 if (hour % 24 in {18, 19}) is not well else 0.01)
        for well in (False, True)
    )

    assert at(often, 18.5).times == QOE.hour_most
    assert at(seldom, 18.5).times == 1 / QOE.hour_most


def test_nothing_learned_is_no_factor() -> None:
    assert Hours().factors(0, QOE).share("stalled_ratio") is AS_EVER
