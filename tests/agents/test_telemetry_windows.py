"""Windows that the telemetry lane tells of chosen series: the same whatever the batches and restarts."""

from __future__ import annotations

import numpy as np
import pytest
from fake_batch import FakeBatch
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from agents.telemetry import SampleScorer
from agents.telemetry_windows import SeriesSummer, shard_of
from topics import TELEMETRY, TELEMETRY_WINDOWS
from topics.telemetry import Sample
from topics.telemetry_windows import SeriesWindows

SETTINGS = config.load({}).settings
START_MS = 1_700_000_000_000
CHOSEN, LEFT = "bandwidth_kbps", "latency_p99_ms"


def scorer(**learned: object) -> SampleScorer:
    changed = SETTINGS.learned.model_copy(update=learned)
    return SampleScorer(1, SETTINGS.model_copy(update={"learned": changed}))


def sample(second: float, value: float, metric: str = CHOSEN, service: str = "video") -> Sample:
    return Sample(time_ms=START_MS + int(second * 1000), service=service, metric=metric, value=value)


def batch(rows: list[Sample], first_offset: int = 0) -> FakeBatch:
    records = [(TELEMETRY.key_of(row).encode(), TELEMETRY.encode(row), row.time_ms, False) for row in rows]
    return FakeBatch("telemetry", 1, records, first_offset)


def windows(model: SampleScorer, rows: list[Sample], first: int = 0) -> list[SeriesWindows]:
    emissions = model.process(batch(rows, first)) if rows else []
    return [emission.record for emission in emissions if emission.spec is TELEMETRY_WINDOWS]


def stream() -> list[Sample]:
    rng = np.random.default_rng(1)
    rows = []
    for second in range(90):
        for service in ("video", "audio", "live"):
            for metric in (CHOSEN, LEFT):
                late_s = 7 if second % 31 == 30 else 0
                rows.append(sample(second - late_s, float(rng.normal(100, 5)), metric, service))
    return rows


def test_a_window_tells_what_each_chosen_series_did_in_it() -> None:
    model = scorer()
    rows = [sample(0, 10.0), sample(1, 14.0), sample(2, 1.0, LEFT), sample(3, 7.0, service="audio")]

    found = windows(model, [*rows, sample(16, 0.0)])

    told = {
        series: (window.count[i], window.mean[i], window.min[i], window.max[i], window.variance[i])
        for window in found
        for i, series in enumerate(window.series)
    }
    assert told == {
        "video/bandwidth_kbps": (2, 12.0, 10.0, 14.0, 4.0),
        "audio/bandwidth_kbps": (1, 7, 7, 7, 0),
    }
    assert {window.time_ms for window in found} == {START_MS + 10_000}
    assert {window.origin_ms for window in found} == {START_MS + 16_000}
    assert all(window.shard == shard_of(window.series[0], SETTINGS.learned.shards) for window in found)


def test_series_that_nothing_chooses_make_no_windows() -> None:
    assert windows(scorer(), [sample(second, 1.0, LEFT) for second in range(60)]) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 200), max_size=8))
def test_where_batches_end_changes_no_window(sizes: list[int]) -> None:
    rows, model, said, at = stream(), scorer(), [], 0
    for size in [*sizes, len(rows)]:
        said += windows(model, rows[at : at + size], at)
        at += size

    assert said == windows(scorer(), rows)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 540))
def test_a_snapshot_restored_mid_stream_tells_the_same_windows(cut: int) -> None:
    rows = stream()
    first, second = scorer(), scorer()

    before = windows(first, rows[:cut])
    second.restore(first.snapshot())

    assert before + windows(second, rows[cut:], cut) == windows(scorer(), rows)


def test_a_snapshot_with_other_windows_begins_them_anew_and_keeps_the_series() -> None:
    model, longer = scorer(), scorer(window_s=20.0, slide_s=20.0)
    windows(model, [sample(second, 1.0) for second in range(12)])

    longer.restore(model.snapshot())
    found = windows(longer, [sample(second, 2.0) for second in (13, 50)])

    assert [(window.window_ms, window.count) for window in found] == [(20_000, [1])]


def test_more_series_than_there_is_room_for_are_left_to_the_bank() -> None:
    model = scorer(max_series=2)

    found = windows(
        model, [*(sample(0, 1.0, service=f"s{n}") for n in range(5)), sample(60, 1.0, service="s0")]
    )

    assert sorted(series for window in found for series in window.series) == [
        "s0/bandwidth_kbps",
        "s1/bandwidth_kbps",
    ]


def test_many_series_of_a_shard_go_in_several_records() -> None:
    model = scorer(series_per_record=3, shards=1)

    found = windows(
        model, [*(sample(0, 1.0, service=f"s{n}") for n in range(8)), sample(60, 1.0, service="s0")]
    )

    assert [len(window.series) for window in found] == [3, 3, 2]
    assert len({window.id for window in found}) == 3


def test_a_slot_given_to_another_series_does_not_mix_the_two() -> None:
    summer = SeriesSummer(0, SETTINGS.learned)
    at = np.array([START_MS])
    summer.open(0, "old/bandwidth", "bandwidth")
    summer.take(np.array([0], dtype=np.int32), at, np.array([1.0]), at)

    summer.forget(0)
    summer.open(0, "new/bandwidth", "bandwidth")
    later = at + 60_000
    emissions = summer.take(np.array([0], dtype=np.int32), later, np.array([5.0]), later)
    emissions += summer.take(np.array([0], dtype=np.int32), later * 1 + 60_000, np.array([5.0]), later)

    assert [emission.record.series for emission in emissions] == [["old/bandwidth"], ["new/bandwidth"]]


@pytest.mark.parametrize("shards", [1, 16])
def test_the_shard_of_a_series_is_one_of_them(shards: int) -> None:
    assert {shard_of(f"s{number}/bandwidth", shards) for number in range(500)} == set(range(shards))
