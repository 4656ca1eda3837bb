"""The guarantee: on healthy data whose p-values hold, detectors page as often as the budget says and no more.

Drawn from seeds, so that a failure is a fault and no chance: the bounds are four deviations wide.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import load
from models.budget.spending import WEEK_MS, PageBudget

BUDGET = load({}).settings.budget
START_MS = 1_781_980_020_000
HOUR_MS = 3_600_000
PER_WEEK = 168
PAGES_PER_WEEK = 50.0
"""More than anyone bears, so that a few weeks tell; levels and pages go in proportion."""

Floats = npt.NDArray[np.float64]


def budget(pages_per_week: float = PAGES_PER_WEEK) -> PageBudget:
    return PageBudget(pages_per_week, memory_ms=24 * HOUR_MS, period_ms=HOUR_MS)


def pages_of(model: PageBudget, times: npt.NDArray[np.int64], p_values: Floats) -> int:
    pages = int((np.log(p_values) <= model.spend(times)).sum())
    model.record(episodes=pages, pages=pages, static_pages=0)
    return pages


def hourly(tests: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return times of so many tests in each hour."""
    counts = np.asarray(tests)
    return START_MS // HOUR_MS * HOUR_MS + np.repeat(np.arange(len(counts)) * HOUR_MS, counts)


def test_exact_p_values_page_as_often_as_the_budget_says() -> None:
    weeks, rng = 40, np.random.default_rng(1)
    times = hourly(np.full(weeks * PER_WEEK, 60))

    pages = pages_of(budget(), times, rng.random(len(times)))

    expected = PAGES_PER_WEEK * weeks
    assert pages == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_series_that_all_move_together_page_no_more_often() -> None:
    weeks, together, rng = 40, 5, np.random.default_rng(2)
    times = hourly(np.full(weeks * PER_WEEK, 12 * together))
    p_values = np.repeat(rng.random(len(times) // together), together)

    pages = pages_of(budget(), times, p_values)

    expected = PAGES_PER_WEEK * weeks
    assert pages == pytest.approx(expected, abs=4 * math.sqrt(expected * together))


def test_careful_p_values_page_less() -> None:
    weeks, rng = 20, np.random.default_rng(3)
    times = hourly(np.full(weeks * PER_WEEK, 60))

    pages = pages_of(budget(), times, np.sqrt(rng.random(len(times))))

    assert pages < 0.1 * PAGES_PER_WEEK * weeks


def test_all_detectors_together_keep_within_the_whole() -> None:
    weeks, rng = 20, np.random.default_rng(4)
    shares = BUDGET.shares.model_dump()
    paces = dict(zip(shares, (200, 30, 5, 60), strict=True))
    pages, spent = 0, 0.0

    for name, share in shares.items():
        model = budget(PAGES_PER_WEEK * share)
        times = hourly(rng.poisson(paces[name], weeks * PER_WEEK))
        pages += pages_of(model, times, rng.random(len(times)))
        spent += model.spent

    whole = PAGES_PER_WEEK * sum(shares.values()) * weeks
    assert spent == pytest.approx(whole, rel=0.05)
    assert pages == pytest.approx(whole, abs=4 * math.sqrt(whole))


@settings(deadline=None, max_examples=60)
@given(
    tests=st.lists(st.integers(0, 400), min_size=2, max_size=300).filter(any),
    seed=st.integers(0, 2**32 - 1),
)
def test_whatever_the_pace_pages_are_as_many_as_were_spent(tests: list[int], seed: int) -> None:
    """Pages less what is spent are a martingale; Freedman's inequality (1975) bounds how far it strays."""
    times, model = hourly(tests), budget()

    pages = pages_of(model, times, np.random.default_rng(seed).random(len(times)))

    stray = 20.0  # nats: once in 500 million
    assert pages - model.spent <= math.sqrt(2 * stray * model.spent + (stray / 3) ** 2) + stray / 3


@settings(deadline=None, max_examples=40)
@given(pace=st.integers(1, 300), times_more=st.integers(1, 100), at=st.integers(24, PER_WEEK))
def test_a_pace_that_rises_overspends_by_the_logarithm_of_the_rise(
    pace: int, times_more: int, at: int
) -> None:
    """With memory T, so much more than in T at the new pace; and in the hour before the pace is taken."""
    model = budget()

    model.spend(hourly([pace] * at + [pace * times_more] * (3 * PER_WEEK - at)))

    more = 24 / PER_WEEK * math.log(times_more) + times_more / PER_WEEK
    assert model.spent <= PAGES_PER_WEEK * (3 + more)


def test_a_week_is_a_week() -> None:
    assert WEEK_MS == PER_WEEK * HOUR_MS
