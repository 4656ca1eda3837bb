"""The levels at which a detector tests add up to its part of the budget, however the stream is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.budget.spending import WEEK_MS, PageBudget

MINUTE_MS = 60_000
START_MS = 1_781_980_020_000


def budget(pages_per_week: float = 0.5) -> PageBudget:
    return PageBudget(pages_per_week=pages_per_week, memory_ms=86_400_000, period_ms=MINUTE_MS)


def test_a_week_of_tests_spends_the_part_of_the_budget_and_no_more() -> None:
    model = budget()

    for minute in range(10_080):
        model.spend(np.full(100, START_MS + minute * MINUTE_MS))

    assert model.spent == pytest.approx(0.5, rel=0.01)
    assert model.spent <= 0.5


def test_twice_the_tests_must_be_twice_as_sure() -> None:
    slow, fast = budget(), budget()
    for minute in range(60):
        at = START_MS + minute * MINUTE_MS
        slow.spend(np.full(50, at))
        fast.spend(np.full(100, at))

    assert fast.level == pytest.approx(slow.level / 2)
    assert fast.level == pytest.approx(0.5 / (100 * WEEK_MS / MINUTE_MS), rel=0.03)


def test_nothing_pages_before_there_is_a_pace() -> None:
    model = budget()

    levels = model.spend(np.full(10, START_MS))

    assert set(levels.tolist()) == {-math.inf}
    assert model.spent == 0.0


def test_a_pace_that_rises_is_overspent_for_no_longer_than_it_is_remembered() -> None:
    model = budget()
    for minute in range(2 * 1440):
        model.spend(np.full(10, START_MS + minute * MINUTE_MS))
    for minute in range(2 * 1440, 2 * 1440 + 10_080):
        model.spend(np.full(1000, START_MS + minute * MINUTE_MS))

    assert model.spent < 2 * 0.5
    assert model.level == pytest.approx(0.5 / (1000 * 10_080), rel=0.05)


@settings(deadline=None, max_examples=40)
@given(
    gaps_ms=st.lists(st.integers(-5_000, 40_000), min_size=2, max_size=80),
    cuts=st.lists(st.integers(1, 79), max_size=6),
)
def test_how_the_stream_is_cut_changes_no_level(gaps_ms: list[int], cuts: list[int]) -> None:
    times = START_MS + np.cumsum(gaps_ms)
    whole, cut = budget(), budget()
    pieces = [piece for piece in np.split(times, sorted(set(cuts))) if len(piece)]

    levels = whole.spend(times)

    np.testing.assert_array_equal(np.concatenate([cut.spend(piece) for piece in pieces]), levels)
    assert cut.tests == whole.tests


def test_a_restored_ledger_goes_on_the_same() -> None:
    model, other = budget(), budget()
    model.spend(START_MS + np.arange(300) * 1000)
    model.record(episodes=3, pages=1, static_pages=1)

    other.restore(model.snapshot())

    later = START_MS + 400_000 + np.arange(300) * 1000
    np.testing.assert_array_equal(model.spend(later), other.spend(later))
    assert (other.episodes, other.pages, other.static_pages) == (3, 1, 1)
