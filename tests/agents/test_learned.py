"""Learned models over windows: one episode one start, the same after a restart, and nothing judged twice."""

from __future__ import annotations

import random
from typing import Any

import pytest
from fake_batch import FakeBatch
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from agents.learned import WindowScorer
from config.learned import LearnedMetric, Model
from topics import ANOMALIES, SPENDING, TELEMETRY_WINDOWS
from topics.anomalies import Anomaly, Phase
from topics.telemetry_windows import SeriesWindows

SETTINGS = config.load({}).settings
START_MS = 1_700_000_000_000
WINDOW_MS = 10_000
SERIES = "video/concurrent_streams"
HEALTHY, BAD = 420, range(350, 360)


def scorer(model: Model = "forecast", **learned: object) -> WindowScorer:
    rule = LearnedMetric(pattern="*streams*", statistic="mean", model=model)
    changed = SETTINGS.learned.model_copy(update={"metrics": (rule,), **learned})
    return WindowScorer(2, SETTINGS.model_copy(update={"learned": changed}))


def record(number: int, *values: float, series: tuple[str, ...] = (SERIES,)) -> SeriesWindows:
    end_ms = START_MS + number * WINDOW_MS
    return SeriesWindows(
        id=f"w{number}",
        time_ms=end_ms,
        source=0,
        shard=0,
        window_start_ms=end_ms - WINDOW_MS,
        window_ms=WINDOW_MS,
        series=list(series),
        count=[10] * len(values),
        mean=list(values),
        min=list(values),
        max=list(values),
        variance=[0.0] * len(values),
        origin_ms=end_ms + 5_000,
    )


def stream() -> list[SeriesWindows]:
    """Healthy windows but for ten in which a third of the streams is gone and more go on going."""
    rng = random.Random(5)
    values = [rng.gauss(1_000.0, 10.0) for _ in range(HEALTHY)]
    for number in BAD:
        values[number] = 650.0 - 90.0 * (number - BAD.start)
    return [record(number, value) for number, value in enumerate(values)]


def batch(records: list[SeriesWindows], first_offset: int = 0) -> FakeBatch:
    rows = [(b"0", TELEMETRY_WINDOWS.encode(each), each.time_ms, False) for each in records]
    return FakeBatch("telemetry.windows", 2, rows, first_offset)


def anomalies(emissions: list[Any]) -> list[Anomaly]:
    assert all(emission.spec in (ANOMALIES, SPENDING) for emission in emissions)
    return [emission.record for emission in emissions if emission.spec is ANOMALIES]


@pytest.mark.parametrize("model", ["forecast", "half_space_trees"])
def test_one_trouble_is_told_once_and_its_end_once(model: Model) -> None:
    told = anomalies(scorer(model).process(batch(stream())))

    during = [each for each in told if each.time_ms >= START_MS + BAD.start * WINDOW_MS]
    assert [each.phase for each in during if each.phase is not Phase.UPDATE] == [Phase.START, Phase.END]
    start = during[0]
    assert start.detector == f"learned/{model}"
    assert start.subject == "video"
    assert start.window_ms == WINDOW_MS
    assert start.evidence is not None
    assert start.evidence.offset == (start.time_ms - START_MS) // WINDOW_MS
    assert start.origin_ms == start.time_ms + 5_000
    assert start.p_value is not None


def test_only_the_worse_side_of_a_metric_is_trouble() -> None:
    rule = LearnedMetric(pattern="*", statistic="mean", model="forecast")
    learned = SETTINGS.learned.model_copy(update={"metrics": (rule,)})
    model = WindowScorer(0, SETTINGS.model_copy(update={"learned": learned}))
    faster = [
        record(n, 300.0 + n % 5 if n < 200 else 100.0, series=("video/latency_ms",)) for n in range(210)
    ]

    assert anomalies(model.process(batch(faster))) == []


def test_a_window_told_twice_is_judged_once() -> None:
    once, twice = scorer(), scorer()
    rows = stream()

    told = anomalies(once.process(batch(rows)))
    again = anomalies(twice.process(batch([each for each in rows for _ in range(2)])))

    assert [each.id for each in again] == [each.id for each in told]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, HEALTHY))
def test_a_snapshot_restored_mid_stream_tells_the_same(cut: int) -> None:
    rows = stream()
    first, second = scorer(), scorer()

    before = anomalies(first.process(batch(rows[:cut])))
    second.restore(first.snapshot())
    after = anomalies(second.process(batch(rows[cut:], cut)))

    assert before + after == anomalies(scorer().process(batch(rows)))


def test_a_forest_goes_on_from_its_snapshot() -> None:
    rows = stream()
    first, second = scorer("half_space_trees"), scorer("half_space_trees")

    before = anomalies(first.process(batch(rows[:345])))
    second.restore(first.snapshot())
    after = anomalies(second.process(batch(rows[345:], 345)))

    assert before + after == anomalies(scorer("half_space_trees").process(batch(rows)))


def test_other_figures_learn_the_series_anew_and_lose_no_window() -> None:
    first, second = scorer("forecast"), scorer("half_space_trees")
    first.process(batch(stream()[:100]))

    second.restore(first.snapshot())
    data = batch(stream()[100:110], 100)
    second.process(data)

    assert data.processed == 10


def test_more_series_than_there_is_room_for_are_not_judged_and_those_there_are_go_on() -> None:
    model = scorer(max_judged_series=1)
    names = (SERIES, "other/concurrent_streams")
    rows = [record(n, row.mean[0], 1.0, series=names) for n, row in enumerate(stream())]

    told = anomalies(model.process(batch(rows)))

    assert {each.subject for each in told} == {"video"}


def test_a_series_that_falls_silent_is_forgotten_and_its_episode_ended() -> None:
    model = scorer(expire_after_s=3_600.0)
    model.process(batch(stream()[: BAD.stop - 1]))

    told = anomalies(model.process(batch([record(10_000, 5.0, series=("other/concurrent_streams",))])))

    assert [(each.phase, each.detail) for each in told] == [(Phase.END, "the series has fallen silent")]
    assert len(model.snapshot()) < 2_000


def test_what_breaks_the_contract_is_refused_with_its_reason() -> None:
    data = FakeBatch("telemetry.windows", 2, [(b"0", b'{"source": 1}', START_MS, False)])

    assert scorer().process(data) == []

    assert [index for index, _, _ in data.refusals] == [0]


def test_the_ledger_tells_the_share_of_learned_models() -> None:
    emissions = scorer().process(batch(stream()))

    ledgers = [emission.record for emission in emissions if emission.spec is SPENDING]
    assert ledgers
    assert ledgers[-1].detector == "learned/2"
    assert ledgers[-1].share == pytest.approx(SETTINGS.budget.shares.learned / TELEMETRY_WINDOWS.partitions)
    assert ledgers[-1].spent <= ledgers[-1].share * SETTINGS.budget.false_pages_per_week
