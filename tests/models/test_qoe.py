from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import config
from models.qoe import QoeJudge
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, Phase, Severity
from topics.cohorts import MEASURES

SETTINGS = config.load({}).settings
WINDOW_MS = 60_000
DIMENSIONS = ("title", "cdn", "isp", "region", "device", "platform", "bitrate_kbps", "p2p", "app_version")
AT = {name: column for column, name in enumerate(MEASURES)}
Rates = Mapping[tuple[str, str], float]


def judge() -> QoeJudge:
    return QoeJudge(SETTINGS.qoe, SETTINGS.localisation)


def window(
    number: int,
    stall: Rates,
    *,
    viewers: int = 1_000,
    base: float = 0.02,
    title: str = "t",
    bitrate_kbps: float = 3_000,
    start_failures: float = 0.0,
    startup_ms: float = 900,
) -> MergedWindow:
    """Three CDNs by three ISPs; `stall` says which of them stall more than `base`."""
    cells, rows = [], []
    for cdn in "abc":
        for isp in "xyz":
            rate = next((rate for (c, i), rate in stall.items() if c in {cdn, "*"} and i in {isp, "*"}), base)
            row = np.zeros(len(MEASURES))
            row[AT["viewers"]] = row[AT["attempts"]] = row[AT["starts"]] = viewers
            row[AT["stalled_viewers"]] = round(viewers * rate)
            row[AT["play_ms"]] = viewers * 50_000
            row[AT["stall_ms"]] = round(viewers * rate) * 100
            row[AT["start_failures"]] = round(viewers * start_failures)
            row[AT["startup_ms"]] = viewers * startup_ms
            row[AT["bitrate_ms"]] = viewers * 50_000
            row[AT["bitrate_kbps_ms"]] = viewers * 50_000 * bitrate_kbps
            cells.append((title, cdn, isp, "", "", "", "", "", ""))
            rows.append(row)
    return MergedWindow(number * WINDOW_MS, WINDOW_MS, DIMENSIONS, cells, np.array(rows), None)


def said(model: QoeJudge, *windows: MergedWindow) -> list[Anomaly]:
    return [anomaly for each in windows for anomaly in model.judge(each)[1]]


def learned(count: int = 5) -> QoeJudge:
    model = judge()
    assert said(model, *(window(number, {}) for number in range(count))) == []
    return model


@pytest.mark.parametrize(
    ("stall", "cell"),
    [
        ({("b", "*"): 0.2}, {"cdn": "b"}),
        ({("*", "y"): 0.2}, {"isp": "y"}),
        ({("b", "y"): 0.2}, {"cdn": "b", "isp": "y"}),
    ],
)
def test_an_episode_starts_with_the_combination_that_stalls(stall: Rates, cell: dict[str, str]) -> None:
    [anomaly] = said(learned(), window(5, stall))

    assert (anomaly.phase, anomaly.severity) == (Phase.START, Severity.CRITICAL)
    assert anomaly.cell == cell
    assert anomaly.metric == "stalled_ratio"
    assert anomaly.value == pytest.approx(0.2)
    assert anomaly.baseline == pytest.approx(0.02, abs=0.005)
    assert anomaly.impact_viewers > 100
    assert "rest" in anomaly.causes[0].contrast


def test_an_episode_is_told_once_while_it_lasts_and_ends_when_its_cell_is_clean() -> None:
    model = learned()
    bad = {("b", "*"): 0.2}

    during = said(model, *(window(number, bad) for number in range(5, 12)))
    after = said(model, *(window(number, {}) for number in range(12, 20)))

    assert [anomaly.phase for anomaly in during] == [Phase.START]
    assert [anomaly.phase for anomaly in after] == [Phase.END]
    assert after[0].subject == during[0].subject


def test_worsening_is_told_as_an_update() -> None:
    model = learned()

    first = said(model, window(5, {("b", "*"): 0.045}))
    second = said(model, window(6, {("b", "*"): 0.3}))

    assert [(a.phase, a.severity) for a in first] == [(Phase.START, Severity.HIGH)]
    assert [(a.phase, a.severity) for a in second] == [(Phase.UPDATE, Severity.CRITICAL)]


def test_trouble_teaches_nothing_so_that_a_return_to_health_is_no_surprise() -> None:
    model = learned()
    said(model, *(window(number, {("b", "*"): 0.2}) for number in range(5, 15)))
    said(model, window(15, {}))

    [again] = said(model, window(16, {("b", "*"): 0.2}))

    assert again.baseline == pytest.approx(0.02, abs=0.005)


def test_few_viewers_prove_nothing() -> None:
    model = judge()
    healthy = [window(number, {}, viewers=3) for number in range(5)]

    assert said(model, *healthy, window(5, {("b", "*"): 1.0}, viewers=3)) == []


@pytest.mark.parametrize(
    ("change", "metric"),
    [
        ({"start_failures": 0.05}, "start_failure_ratio"),
        ({"startup_ms": 9_000}, "startup_mean_ms"),
        ({"bitrate_kbps": 1_000}, "bitrate_mean_kbps"),
    ],
)
def test_startup_failures_and_bitrate_are_watched_too(change: dict[str, float], metric: str) -> None:
    [anomaly] = said(learned(), window(5, {}, **change))  # type: ignore[arg-type]

    assert anomaly.metric == metric


def test_a_better_bitrate_or_a_faster_startup_is_no_anomaly() -> None:
    assert said(learned(), window(5, {}, bitrate_kbps=9_000, startup_ms=100)) == []


def test_titles_are_judged_apart() -> None:
    model = judge()
    for number in range(5):
        said(model, window(number, {}, title="calm"), window(number, {}, base=0.2, title="rough"))

    anomalies = said(model, window(5, {}, title="calm"), window(5, {}, base=0.2, title="rough"))

    assert anomalies == []


def test_an_episode_ends_when_its_title_has_no_viewers_left() -> None:
    model = learned()
    said(model, window(5, {("b", "*"): 0.2}))

    [end] = said(model, window(6, {}, title="another"))

    assert (end.phase, end.detail) == (Phase.END, "no viewers are left")


def test_the_same_windows_make_the_same_ids_and_a_restored_judge_goes_on_the_same() -> None:
    stream = [window(number, {("b", "*"): 0.2} if number in {6, 7, 9} else {}) for number in range(14)]
    straight = said(judge(), *stream)

    for cut in range(len(stream)):
        first, second = judge(), judge()
        before = said(first, *stream[:cut])
        second.restore(first.snapshot())
        assert before + said(second, *stream[cut:]) == straight
    assert len({anomaly.id for anomaly in straight}) == len(straight) == 4


def test_cohorts_carry_ratios_of_sums() -> None:
    cohorts, _ = judge().judge(window(0, {("b", "*"): 0.5}))

    by_cell = {cohort.cohort: cohort for cohort in cohorts}

    assert by_cell["title=t"].measures.viewers == 9_000
    assert by_cell["title=t"].stalled_ratio == pytest.approx((6 * 20 + 3 * 500) / 9_000)
    assert by_cell["cdn=b,title=t"].stalled_ratio == 0.5
    assert by_cell["cdn=b,isp=y,title=t"].bitrate_mean_kbps == 3_000
    assert not any("region" in cohort.cell for cohort in cohorts)
