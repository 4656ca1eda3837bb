"""What is told at a bound is what a reader of the rows would count, and the chosen bound keeps its word."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anomaly.base import graded
from models.tuning import WEEK_MS, Scored, choose, strength_of, tell

HOUR_MS = 3_600_000
CLEAR_AFTER = 2

scores = st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 0.9]), min_size=5, max_size=120)


def scored(values: list[float], windows: list[tuple[int, int]] | None = None) -> Scored:
    times = np.arange(len(values), dtype=np.int64) * HOUR_MS
    return Scored(times, np.array(values), windows or [], np.ones(len(values), dtype=bool))


def episodes_by_hand(values: list[float], bound: float) -> list[int]:
    starts, since = [], CLEAR_AFTER + 1
    for at, value in enumerate(values):
        if value >= bound:
            if since > CLEAR_AFTER:
                starts.append(at)
            since = 1
        else:
            since += 1
    return starts


@given(scores, st.sampled_from([0.2, 0.6, 0.9]))
def test_episodes_are_those_that_a_reader_counts(values: list[float], bound: float) -> None:
    window = (3 * HOUR_MS, 6 * HOUR_MS)

    told = tell([scored(values, [window])], bound, CLEAR_AFTER, choosing=True)

    starts = episodes_by_hand(values, bound)
    assert told.episodes == len(starts)
    assert told.false_episodes == sum(not 3 <= at <= 6 for at in starts)
    assert told.windows_seen == any(3 <= at <= 6 for at in starts)


@given(scores, st.floats(0.0, 200.0))
def test_the_chosen_bound_keeps_within_the_budget(values: list[float], false_per_week: float) -> None:
    series = [scored(values, [(3 * HOUR_MS, 6 * HOUR_MS)])]

    bound = choose(series, CLEAR_AFTER, false_per_week)

    assert tell(series, bound, CLEAR_AFTER, choosing=True).false_per_week <= false_per_week


@given(scores)
def test_no_other_bound_within_the_budget_sees_more(values: list[float]) -> None:
    series = [scored(values, [(3 * HOUR_MS, 6 * HOUR_MS), (20 * HOUR_MS, 22 * HOUR_MS)])]

    bound = choose(series, CLEAR_AFTER, 50.0)

    seen = tell(series, bound, CLEAR_AFTER, choosing=True).windows_seen
    for other in (0.2, 0.4, 0.6, 0.8, 0.9):
        told = tell(series, other, CLEAR_AFTER, choosing=True)
        assert told.false_per_week > 50.0 or told.windows_seen <= seen


def test_a_detector_that_only_errs_is_given_no_bound() -> None:
    noisy = scored([0.0, 0.9] * 50, [(200 * HOUR_MS, 201 * HOUR_MS)])

    assert choose([noisy], CLEAR_AFTER, 0.0) == math.inf


def test_a_bound_so_low_that_the_alarm_is_always_on_sees_nothing() -> None:
    always = scored([0.4] * 50, [(30 * HOUR_MS, 35 * HOUR_MS)])

    assert tell([always], 0.3, CLEAR_AFTER, choosing=True).windows_seen == 0
    assert choose([always], CLEAR_AFTER, 1000.0) == math.inf


def test_rows_that_are_chosen_on_are_not_told_of() -> None:
    values = [0.0] * 10 + [0.9] + [0.0] * 9
    half = np.arange(20) < 10
    series = [Scored(np.arange(20, dtype=np.int64) * WEEK_MS, np.array(values), [], half)]

    assert tell(series, 0.5, CLEAR_AFTER, choosing=True).episodes == 0
    assert tell(series, 0.5, CLEAR_AFTER, choosing=False).episodes == 1


@given(st.floats(0.1, 50.0), st.floats(0.5, 20.0), st.floats(1.1, 4.0))
def test_a_score_tells_the_strength_it_was_given_for(strength: float, high: float, ratio: float) -> None:
    score = graded(strength, high, high * ratio)

    assert strength_of(score, high, high * ratio) == pytest.approx(strength, rel=1e-6)
