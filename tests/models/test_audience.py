from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

import config
from models.audience import AudienceJudge
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, AnomalyKind, Phase, Severity
from topics.cohorts import MEASURES

SETTINGS = config.load({}).settings
WINDOW_MS = 60_000
WEEK_MINUTES = 7 * 1440
DIMENSIONS = ("title", "cdn", "isp", "region", "device", "app_version")
AT = {name: column for column, name in enumerate(MEASURES)}
ISPS = {"x": 0.5, "y": 0.3, "z": 0.2}
TITLES = {"t": 0.6, "u": 0.4}


def window(
    number: int,
    viewers: float = 10_000,
    there: Mapping[tuple[str, str], float] | None = None,
    goodbyes: float = 0.0,
    rng: np.random.Generator | None = None,
) -> MergedWindow:
    """Titles by ISPs; `there` says which share of an audience is there, as (title or "*", isp or "*")."""
    cells, rows = [], []
    for title, of_title in TITLES.items():
        for isp, of_isp in ISPS.items():
            count = viewers * of_title * of_isp
            for (t, i), share in (there or {}).items():
                count *= share if t in {title, "*"} and i in {isp, "*"} else 1.0
            row = np.zeros(len(MEASURES))
            row[AT["viewers"]] = rng.poisson(count) if rng is not None else round(count)
            row[AT["ended_plays"]] = count * goodbyes
            if row[AT["viewers"]]:
                cells.append((title, "a", isp, "", "", ""))
                rows.append(row)
    sums = np.array(rows) if rows else np.zeros((0, len(MEASURES)))
    return MergedWindow(number * WINDOW_MS, WINDOW_MS, DIMENSIONS, cells, sums, None)


def said(model: AudienceJudge, *windows: MergedWindow) -> list[Anomaly]:
    return [anomaly for each in windows for anomaly in model.judge(each)]


def learned(windows: int = 20) -> AudienceJudge:
    model, rng = AudienceJudge(SETTINGS), np.random.default_rng(3)
    assert said(model, *(window(number, rng=rng) for number in range(windows))) == []
    return model


def test_an_isp_whose_players_fall_silent_is_missed_by_its_viewers() -> None:
    [anomaly] = said(learned(), window(20, there={("*", "y"): 0.0}))

    assert (anomaly.kind, anomaly.metric, anomaly.phase) == (
        AnomalyKind.TRAFFIC_ANOMALY,
        "viewers",
        Phase.START,
    )
    assert anomaly.cell == {"isp": "y"}
    assert anomaly.severity is Severity.CRITICAL
    assert anomaly.impact_viewers == pytest.approx(3_000, rel=0.1)
    assert anomaly.baseline == pytest.approx(3_000, rel=0.1)
    assert anomaly.value == 0
    assert anomaly.pages
    assert anomaly.causes[0].owner == "ISP y"
    assert "0 said goodbye; the rest is at" in anomaly.causes[0].contrast


def test_the_episode_is_told_once_and_ends_when_they_are_back() -> None:
    model = learned()
    gone = {("*", "y"): 0.1}

    during = said(model, *(window(number, there=gone) for number in range(20, 30)))
    after = said(model, *(window(number) for number in range(30, 40)))

    assert [(each.phase, each.cell) for each in during] == [(Phase.START, {"isp": "y"})]
    assert [(each.phase, each.cell) for each in after] == [(Phase.END, {"isp": "y"})]
    assert after[0].impact_viewers == 0


def test_an_evening_that_ends_for_all_alike_is_no_anomaly() -> None:
    model = learned()

    falling = [window(20 + number, viewers=10_000 * 0.95**number) for number in range(60)]

    assert said(model, *falling) == []


def test_viewers_who_say_goodbye_are_not_missed() -> None:
    model = learned()
    ended = window(20)
    ended.sums[:3, AT["ended_plays"]] = ended.sums[:3, AT["viewers"]] * 0.9  # title t is over

    told = said(model, ended, *(window(number, there={("t", "*"): 0.1}) for number in range(21, 40)))

    assert told == []


def test_the_same_without_a_goodbye_is_told() -> None:
    told = said(learned(), window(20), *(window(number, there={("t", "*"): 0.1}) for number in range(21, 25)))

    assert [(each.phase, each.cell) for each in told] == [(Phase.START, {"title": "t"})]


def test_when_all_are_gone_everyone_is_told_and_nobody_else() -> None:
    [anomaly] = said(learned(), window(20, viewers=500))

    assert (anomaly.cell, anomaly.causes) == ({}, [])
    assert anomaly.impact_viewers == pytest.approx(9_500, rel=0.05)


def test_a_surge_is_told_without_alarm() -> None:
    [anomaly] = said(learned(), window(20, there={("*", "z"): 6.0}))

    assert (anomaly.cell, anomaly.severity) == ({"isp": "z"}, Severity.MEDIUM)
    assert anomaly.impact_viewers == pytest.approx(10_000, rel=0.1)
    assert anomaly.causes == []


def test_two_isps_that_vanish_at_once_are_told_each() -> None:
    told = said(learned(), window(20, there={("*", "y"): 0.0, ("*", "z"): 0.05}))

    assert [each.cell for each in told] == [{"isp": "y"}, {"isp": "z"}]


def test_a_size_that_lasts_is_the_new_normal() -> None:
    model = learned()
    last = 20 + SETTINGS.audience.relearn_after_windows + 5

    told = said(model, *(window(number, there={("*", "y"): 0.4}) for number in range(20, last)))
    after = said(model, *(window(number, there={("*", "y"): 0.4}) for number in range(last, last + 20)))

    assert [each.phase for each in told] == [Phase.START, Phase.END]
    assert told[1].detail == "it is so large now"
    assert after == []


def test_what_was_so_at_this_hour_last_week_is_no_anomaly() -> None:
    def evening(minute: int) -> float:
        return (
            10_000 if minute % WEEK_MINUTES // 60 % 24 >= 20 else 1_500
        )  # everyone comes and goes on the hour

    model = AudienceJudge(SETTINGS)
    weeks = [
        said(model, *(window(minute, evening(minute)) for minute in range(start, start + WEEK_MINUTES, 10)))
        for start in (0, WEEK_MINUTES)
    ]

    started = [[each.cell for each in week if each.phase is Phase.START] for week in weeks]
    assert started == [[{}] * 7, []]


def test_small_audiences_are_not_judged() -> None:
    model, rng = AudienceJudge(SETTINGS), np.random.default_rng(5)
    said(model, *(window(number, viewers=300, rng=rng) for number in range(30)))

    assert said(model, window(30, viewers=300, there={("*", "y"): 0.0})) == []


def test_an_audience_that_wanders_by_day_pages_nobody_in_weeks() -> None:
    model, rng = AudienceJudge(SETTINGS), np.random.default_rng(11)
    wander, told = np.zeros(3), []
    for number in range(3_000):
        wander = 0.98 * wander + rng.normal(0.0, 0.02, 3)
        size = 8_000 * (1.5 + math.sin(2 * math.pi * number / 1440))
        there = {("*", isp): float(math.exp(off)) for isp, off in zip("xyz", wander, strict=True)}
        told += said(model, window(number, size, there, goodbyes=0.02, rng=rng))

    assert [each for each in told if each.pages] == []
    assert model.budget.tests > 10_000
    assert model.budget.spent <= SETTINGS.budget.shares.absence * 3_000 / WEEK_MINUTES * 1.5


@pytest.mark.parametrize("cut", [0, 5, 21, 24])
def test_a_restored_judge_goes_on_the_same(cut: int) -> None:
    rng = np.random.default_rng(9)
    stream = [window(n, there={("*", "y"): 0.0} if 20 <= n < 23 else None, rng=rng) for n in range(30)]
    straight = said(AudienceJudge(SETTINGS), *stream)

    first, second = AudienceJudge(SETTINGS), AudienceJudge(SETTINGS)
    before = said(first, *stream[:cut])
    second.restore(first.snapshot())

    assert before + said(second, *stream[cut:]) == straight
    assert [each.phase for each in straight] == [Phase.START, Phase.END]


def test_audiences_remembered_are_bounded() -> None:
    few = SETTINGS.model_copy(update={"audience": SETTINGS.audience.model_copy(update={"max_audiences": 10})})
    model = AudienceJudge(few)
    for number in range(50):
        each = window(number)
        cells = [(f"{number}-{cell[0]}", *cell[1:]) for cell in each.cells]
        model.judge(MergedWindow(each.start_ms, each.window_ms, DIMENSIONS, cells, each.sums, None))

    assert len(model.snapshot()) < 5_000
