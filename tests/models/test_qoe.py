from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from steady import steady as steady_examples

import config
from models.cohort_stats import Proportion
from models.cohort_windows import BucketCounts
from models.localisation import Cause as FoundCause
from models.localisation import Localiser
from models.log_buckets import duration_buckets
from models.qoe import QoeJudge
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, AnomalyKind, Phase, Severity
from topics.cohorts import MEASURES

SETTINGS = config.load({}).settings
WINDOW_MS = 60_000
BUCKETS = duration_buckets(SETTINGS.qoe)
DIMENSIONS = ("title", "cdn", "isp", "region", "device", "platform", "bitrate_kbps", "p2p", "app_version")
AT = {name: column for column, name in enumerate(MEASURES)}
Rates = Mapping[tuple[str, str], float]


def judge() -> QoeJudge:
    return QoeJudge(SETTINGS)


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
    exits: Rates | None = None,
    plays_failed: float = 0.0,
    stall_ms: float = 100.0,
    durations: dict[str, Callable[[str, str], float]] | None = None,
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
            row[AT["stall_ms"]] = round(viewers * rate) * stall_ms
            row[AT["ended_plays"]] = viewers / 10
            row[AT["playback_failures"]] = round(viewers / 10 * plays_failed)
            row[AT["exits_before_start"]] = round(viewers * (exits or {}).get((cdn, isp), 0.01))
            row[AT["start_failures"]] = round(viewers * start_failures)
            row[AT["startup_ms"]] = viewers * startup_ms
            row[AT["bitrate_ms"]] = viewers * 50_000
            row[AT["bitrate_kbps_ms"]] = viewers * 50_000 * bitrate_kbps
            cells.append((title, cdn, isp, "", "", "", "", "", ""))
            rows.append(row)
    sketches = {
        name: BucketCounts(
            np.arange(len(cells)),
            BUCKETS.of(np.array([of(cell[1], cell[2]) for cell in cells])),
            np.full(len(cells), float(viewers)),
        )
        for name, of in (durations or {}).items()
    }
    return MergedWindow(number * WINDOW_MS, WINDOW_MS, DIMENSIONS, cells, np.array(rows), None, sketches)


def said(model: QoeJudge, *windows: MergedWindow) -> list[Anomaly]:
    return [anomaly for each in windows for anomaly in model.judge(each)[1]]


def learned(count: int = 5) -> QoeJudge:
    model = judge()
    assert said(model, *(window(number, {}) for number in range(count))) == []
    return model


@pytest.mark.parametrize(
    ("stall", "cell", "of_cdn"),
    [
        ({("b", "*"): 0.2}, {"cdn": "b"}, 1.0),
        ({("*", "y"): 0.2}, {"isp": "y"}, None),
        ({("b", "y"): 0.2}, {"cdn": "b", "isp": "y"}, 1 / 3),
    ],
)
def test_an_episode_starts_with_the_combination_that_stalls(
    stall: Rates, cell: dict[str, str], of_cdn: float | None
) -> None:
    [anomaly] = said(learned(), window(5, stall))

    assert (anomaly.phase, anomaly.severity) == (Phase.START, Severity.CRITICAL)
    assert anomaly.cell == cell
    assert anomaly.metric == "stalled_ratio"
    assert anomaly.value == pytest.approx(0.2)
    assert anomaly.baseline == pytest.approx(0.02, abs=0.005)
    assert anomaly.impact_viewers > 100
    assert "rest" in anomaly.causes[0].contrast
    assert anomaly.causes[0].of_cdn == of_cdn


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


def in_time(_cdn: str, _isp: str) -> float:
    return 1_200.0


def test_a_slow_start_is_told_by_its_percentile_and_the_share_that_is_slow_names_the_cause() -> None:
    model = judge()
    assert said(model, *(window(n, {}, durations={"startup_ms": in_time}) for n in range(5))) == []

    [anomaly] = said(
        model, window(5, {}, durations={"startup_ms": lambda cdn, _: 9_000.0 if cdn == "b" else 1_200.0})
    )

    assert (anomaly.metric, anomaly.kind) == ("startup_p95_ms", AnomalyKind.LATENCY_SPIKE)
    assert anomaly.cell == {"cdn": "b"}
    assert anomaly.value == pytest.approx(9_000, rel=0.05)
    assert anomaly.baseline == pytest.approx(1_200, rel=0.05)
    assert anomaly.bound == SETTINGS.qoe.startup_warn_ms
    assert anomaly.impact_viewers == pytest.approx(3_000, rel=0.01)
    assert "of starts on cdn=b are slow" in anomaly.causes[0].contrast


def test_a_slow_start_is_over_when_its_percentile_is_as_ever() -> None:
    model = judge()
    said(model, *(window(n, {}, durations={"startup_ms": in_time}) for n in range(5)))
    said(model, window(5, {}, durations={"startup_ms": lambda _cdn, _isp: 9_000.0}))

    [end] = said(model, window(6, {}, durations={"startup_ms": in_time}))

    assert (end.phase, end.metric) == (Phase.END, "startup_p95_ms")


def test_viewers_who_fall_behind_live_are_found_by_what_is_usual() -> None:
    def far_away(_cdn: str, isp: str) -> float:
        return 30_000.0 if isp == "z" else 6_000.0

    model = judge()
    assert said(model, *(window(n, {}, durations={"live_latency_ms": far_away}) for n in range(6))) == []

    [anomaly] = said(
        model,
        window(6, {}, durations={"live_latency_ms": lambda c, i: 45_000.0 if c == "a" else far_away(c, i)}),
    )

    assert (anomaly.metric, anomaly.cell["cdn"]) == ("live_latency_p95_ms", "a")


@pytest.mark.parametrize(
    ("change", "metric", "kind"),
    [
        ({"plays_failed": 0.1}, "playback_failure_ratio", AnomalyKind.ERROR_RATE_INCREASE),
        ({"start_failures": 0.05}, "start_failure_ratio", AnomalyKind.ERROR_RATE_INCREASE),
        (
            {"exits": {(cdn, isp): 0.3 for cdn in "abc" for isp in "xyz"}},
            "exit_before_start_ratio",
            AnomalyKind.STREAMING_QUALITY_DROP,
        ),
        ({"stall_ms": 30_000.0}, "rebuffering_ratio", AnomalyKind.STREAMING_QUALITY_DROP),
    ],
)
def test_failures_exits_and_stalled_time_are_watched_and_counted_in_viewers(
    change: dict[str, Any], metric: str, kind: AnomalyKind
) -> None:
    [anomaly] = said(learned(), window(5, {}, **change))

    assert (anomaly.metric, anomaly.kind) == (metric, kind)
    assert SETTINGS.qoe.min_impact_viewers <= anomaly.impact_viewers <= 9_000
    assert anomaly.cell == {}
    assert anomaly.causes[0].owner == "unknown or external"


def test_causes_that_act_at_once_are_an_episode_each_and_end_each_by_itself() -> None:
    model = learned()
    both = {("b", "x"): 0.3, ("b", "y"): 0.3, ("b", "z"): 0.3, ("a", "y"): 0.25, ("c", "y"): 0.25}

    starts = said(model, window(5, both))
    ends = said(model, window(6, {("b", "*"): 0.3}))

    assert {(each.phase, tuple(each.cell.items())) for each in starts} == {
        (Phase.START, (("cdn", "b"),)),
        (Phase.START, (("isp", "y"),)),
    }
    assert all(each.causes[0].cell == each.cell for each in starts)
    assert [(each.phase, each.cell) for each in ends] == [(Phase.END, {"isp": "y"})]


def test_what_looked_like_everyones_is_blamed_on_who_suffers_once_others_are_well() -> None:
    model, everyone, one = learned(), {("*", "*"): 0.2}, {("b", "*"): 0.3}

    start, *rest = said(model, window(5, everyone), window(6, everyone), window(7, one), window(8, one))

    assert (start.phase, start.causes[0].cell) == (Phase.START, {})
    assert [(each.phase, each.causes[0].cell) for each in rest] == [(Phase.UPDATE, {"cdn": "b"})]
    assert rest[0].time_ms == 8 * WINDOW_MS, "told once others are well, and once"


def test_what_is_explained_at_last_lasts_as_long_as_its_cause() -> None:
    model, everyone, one = learned(), {("*", "*"): 0.2}, {("b", "*"): 0.3}
    faint = {("b", "*"): 0.033}  # of everyone 0.4 points more than usual: that is no trouble any more
    said(model, window(5, everyone), window(6, one))

    assert not said(model, *(window(number, faint) for number in range(7, 15)))
    (end,) = said(model, *(window(number, {}) for number in range(15, 20)))

    assert (end.phase, end.cell, end.subject) == (Phase.END, {"cdn": "b"}, "t: everyone")


def test_where_one_cdn_serves_all_who_suffer_it_is_named() -> None:
    def on_one(number: int, stall: Rates) -> MergedWindow:
        found = window(number, stall)
        at = [row for row, cell in enumerate(found.cells) if cell[1] == "a"]
        return msgspec.structs.replace(
            found, cells=[found.cells[row] for row in at], sums=found.sums[at], sketches={}
        )

    model = judge()
    said(model, *(on_one(number, {}) for number in range(5)))
    alone = said(model, on_one(5, {("*", "*"): 0.2}))
    among = said(learned(), window(5, {("*", "*"): 0.2}))

    assert [each.only_cdn for each in alone] == ["a"]
    assert [each.only_cdn for each in among] == [""]


def test_what_no_dimension_explains_says_so() -> None:
    model = judge()
    for number in range(5):
        said(model, window(number, {}, durations={}))

    [anomaly] = said(model, window(5, {}, bitrate_kbps=1_000))

    assert anomaly.causes == []
    assert anomaly.detail.endswith("unknown or external")


def test_what_is_hardly_worse_than_usual_is_nobodys_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    thin = FoundCause(
        cell={"cdn": "c"},
        score=0.9,
        excess_viewers=2.0,
        explained=0.9,
        rate=0.0205,
        expected_rate=0.02,
        rest_rate=0.02,
        contrast="2.05 % of viewers on cdn=c stall, expected 2 %",
        acts=True,
    )
    model = learned()
    monkeypatch.setattr(Localiser, "explain", lambda *_: [thin])

    [anomaly] = said(model, window(5, {("b", "y"): 0.2}))

    assert anomaly.causes == []
    assert anomaly.cell == {"cdn": "b", "isp": "y"}


def test_what_hurts_next_to_nobody_is_no_trouble() -> None:
    few = {"viewers": 60}
    model = judge()
    said(model, *(window(number, {}, base=0.0, **few) for number in range(9)))  # type: ignore[arg-type]

    assert said(model, window(9, {("b", "y"): 0.05}, base=0.0, **few)) == []  # type: ignore[arg-type]


def test_each_test_spends_from_the_budget_and_what_is_not_rare_enough_does_not_page() -> None:
    model = learned()

    [sure] = said(model, window(5, {("b", "*"): 0.3}))
    [end, unsure] = said(model, window(6, {("c", "y"): 0.048}))

    assert (sure.pages, end.pages, unsure.pages) == (True, True, False)
    assert sure.p_value is not None
    assert sure.page_level is not None
    assert sure.p_value <= sure.page_level
    assert (model.budget.episodes, model.budget.pages) == (2, 1)
    assert model.budget.tests > 0
    weeks = model.budget.tests * model.budget.level
    assert model.budget.spent == pytest.approx(weeks, rel=0.5)


def test_an_episode_that_grows_rare_enough_pages_at_last() -> None:
    model = learned()
    [first] = said(model, window(5, {("c", "y"): 0.048}))

    [second] = said(model, window(6, {("c", "y"): 0.4}))

    assert (first.pages, second.pages, second.phase) == (False, True, Phase.UPDATE)


def test_healthy_cohorts_make_no_page_in_hours() -> None:
    rng = np.random.default_rng(7)
    model = judge()
    told = []
    for number in range(500):
        healthy = window(number, {}, viewers=200)
        stalled = rng.binomial(200, 0.02, len(healthy.cells))
        healthy.sums[:, AT["stalled_viewers"]] = stalled
        healthy.sums[:, AT["stall_ms"]] = 100 * stalled
        healthy.sums[:, AT["start_failures"]] = rng.binomial(200, 0.004, len(healthy.cells))
        told += said(model, healthy)

    assert [each for each in told if each.pages] == []
    assert len({each.series for each in told}) <= 2


def test_a_percentage_of_few_is_no_proof() -> None:
    usual = Proportion(bad=200.0, total=10_000.0, windows=9)

    of_three = usual.departure("stalled_ratio", 1, 3, 0.02)

    assert of_three.value == pytest.approx(1 / 3)
    assert math.exp(of_three.log_p) > 0.01


@settings(steady_examples)
@given(st.integers(1, 300), st.integers(0, 300), st.floats(0.001, 0.5))
def test_the_chance_told_is_never_less_than_the_exact_one(total: int, bad: int, rate: float) -> None:
    bad = min(bad, total)
    known = Proportion(bad=rate * 1e9, total=1e9, windows=50)

    log_p = known.departure("stalled_ratio", bad, total, rate).log_p

    assert math.exp(log_p) >= binom.sf(bad - 1, total, rate) * (1 - 1e-6)


def test_percentiles_ratios_and_the_share_are_told_of_each_cohort() -> None:
    spread = {"startup_ms": lambda cdn, _: 8_000.0 if cdn == "b" else 1_000.0, "live_latency_ms": in_time}

    cohorts, _ = judge().judge(window(0, {}, plays_failed=0.1, durations=spread))

    told = {cohort.cohort: cohort for cohort in cohorts}["title=t"]
    of_b = {cohort.cohort: cohort for cohort in cohorts}["cdn=b,title=t"]
    assert told.startup_p50_ms == pytest.approx(1_000, rel=0.05)
    assert told.startup_p95_ms == pytest.approx(8_000, rel=0.05)
    assert of_b.startup_p50_ms == pytest.approx(8_000, rel=0.05)
    assert told.live_latency_p95_ms == pytest.approx(1_200, rel=0.05)
    assert told.playback_failure_ratio == pytest.approx(0.1)
    assert told.exit_before_start_ratio == pytest.approx(0.01)
    assert (told.share, of_b.share) == (1.0, pytest.approx(1 / 3))


def test_small_cohorts_of_several_dimensions_are_not_told() -> None:
    cohorts, _ = judge().judge(window(0, {}, viewers=9))

    cells = [set(cohort.cell) - {"title"} for cohort in cohorts]
    assert {"cdn"} in cells
    assert {"cdn", "isp"} not in cells


def test_titles_can_be_a_dimension_and_the_cause() -> None:
    together = SETTINGS.qoe.model_copy(update={"scope": "", "cohorts": (("title",), ("cdn",))})
    model = QoeJudge(SETTINGS.model_copy(update={"qoe": together}))

    def both(number: int, bad: float) -> MergedWindow:
        one, other = window(number, {}), window(number, {("*", "*"): bad}, title="u")
        sums = np.concatenate([one.sums, other.sums])
        return MergedWindow(one.start_ms, WINDOW_MS, DIMENSIONS, one.cells + other.cells, sums, None)

    assert said(model, *(both(number, 0.02) for number in range(5))) == []
    [anomaly] = said(model, both(5, 0.3))

    assert (anomaly.cell, anomaly.scope) == ({"title": "u"}, {})
    assert anomaly.causes[0].owner == "content and packaging of u"
    assert "no delivery lever mends it" in anomaly.causes[0].lever
