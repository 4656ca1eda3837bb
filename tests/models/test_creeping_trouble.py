"""Trouble that creeps in must not be learned as usual before it is told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from config import load
from models.cohort_stats import Proportion

SIGMAS = load({}).settings.qoe.learn_sigmas
VIEWERS, HEALTHY = 28_000, 0.004
ALPHA = 1 - 0.5 ** (1 / 30)


def healthy(windows: int, most_sigmas: float, seed: int = 1) -> Proportion:
    rng, usual = np.random.default_rng(seed), Proportion()
    for bad in rng.binomial(VIEWERS, HEALTHY, windows):
        usual.learn(float(bad), VIEWERS, ALPHA, most_sigmas=most_sigmas)
    return usual


def told_at(most_sigmas: float) -> float | None:
    """The share of viewers who stall when it is told, while one more in two hundred does each window."""
    usual = healthy(60, most_sigmas)
    rng = np.random.default_rng(2)
    for step in range(60):
        share = HEALTHY * 1.15**step if step < 20 else HEALTHY * 1.15**20 + 0.005 * (step - 20)
        bad = float(rng.binomial(VIEWERS, share))
        departure = usual.departure("stalled_ratio", bad, VIEWERS, HEALTHY)
        if departure.sigmas >= 5 and departure.rise >= 0.01:
            return share
        usual.learn(bad, VIEWERS, ALPHA, most_sigmas=most_sigmas)
    return None


def test_a_slow_rise_is_told_while_it_is_small() -> None:
    share = told_at(SIGMAS)

    assert share is not None
    assert share < 0.05


def test_learned_as_it_is_a_slow_rise_would_never_be_told() -> None:
    assert told_at(math.inf) is None


@pytest.mark.parametrize("seed", range(3))
def test_healthy_windows_are_learned_as_they_are(seed: int) -> None:
    bounded, whole = healthy(200, SIGMAS, seed), healthy(200, math.inf, seed)

    assert bounded.rate(0.0) == pytest.approx(whole.rate(0.0), rel=0.02)
    assert bounded.rate(0.0) == pytest.approx(HEALTHY, rel=0.05)


def test_a_better_window_is_learned_in_full() -> None:
    bounded, whole = healthy(50, SIGMAS), healthy(50, math.inf)
    for each in (bounded, whole):
        each.learn(0.0, VIEWERS, ALPHA, most_sigmas=SIGMAS if each is bounded else math.inf)

    assert bounded.rate(0.0) == pytest.approx(whole.rate(0.0), rel=0.02)
