"""The always-valid interval: what it promises, by formula and by simulation with peeking."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.confidence_sequence import Moments, NormalMixture

ALPHA = 0.05
SIZE = 2_000
REPETITIONS = 400
PEEK_EVERY = 10
MIXTURE = NormalMixture(alpha=ALPHA, tightest_at=SIZE / 2, warmup=30)

Draw = Callable[[np.random.Generator, float], NDArray[np.float64]]

sizes = st.integers(30, 100_000)
means = st.floats(-1e6, 1e6)
variances = st.floats(1e-3, 1e6)
moments = st.builds(Moments, sizes, means, variances)


@given(moments, moments)
def test_the_interval_holds_the_difference_and_agrees_with_its_p_value(
    control: Moments, treatment: Moments
) -> None:
    interval = MIXTURE.of_difference(control, treatment)

    assert interval is not None
    assert interval.low < treatment.mean - control.mean < interval.high
    assert 0 <= interval.p_value <= 1
    if not math.isclose(interval.p_value, ALPHA, rel_tol=1e-6):
        assert (interval.p_value < ALPHA) == (interval.low > 0 or interval.high < 0)


@given(moments, moments)
def test_exchanging_the_arms_turns_the_interval_round(control: Moments, treatment: Moments) -> None:
    there = MIXTURE.of_difference(control, treatment)
    back = MIXTURE.of_difference(treatment, control)

    assert there is not None
    assert back is not None
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p_value == pytest.approx(there.p_value)


def test_the_margin_is_the_published_one() -> None:
    """Against the one-sample form of the paper, which a huge control makes of the two-sample one."""
    n, variance, rho2 = 500, 2.0, (-2 * math.log(ALPHA) + math.log(1 - 2 * math.log(ALPHA))) / 1_000
    t = n / 2
    published = math.sqrt(2 * (t * rho2 + 1) / (t * t * rho2) * math.log(math.sqrt(t * rho2 + 1) / ALPHA))

    interval = MIXTURE.of_difference(Moments(n // 2, 0.0, variance), Moments(n // 2, 0.0, variance))

    assert interval is not None
    assert interval.high == pytest.approx(published * math.sqrt(2 * variance))


def test_the_interval_is_tightest_against_a_fixed_one_where_it_was_asked_to_be() -> None:
    def excess(size: int) -> float:
        interval = MIXTURE.of_difference(Moments(size, 0.0, 1.0), Moments(size, 0.0, 1.0))
        assert interval is not None
        return interval.high / math.sqrt(2 / size)

    at = int(MIXTURE.tightest_at)

    assert excess(at) < excess(at // 3)
    assert excess(at) < excess(at * 3)


def test_there_is_no_interval_before_the_warm_up_or_without_variance() -> None:
    enough = Moments(30, 1.0, 1.0)

    assert MIXTURE.of_difference(Moments(29, 1.0, 1.0), enough) is None
    assert MIXTURE.of_difference(enough, Moments(29, 1.0, 1.0)) is None
    assert MIXTURE.of_difference(Moments(30, 1.0, 0.0), Moments(30, 2.0, 0.0)) is None
    assert MIXTURE.of_difference(enough, enough) is not None


def peeks(values: NDArray[np.float64]) -> list[Moments]:
    """Moments of the first 30, 40, 50... values."""
    size = np.arange(30, len(values) + 1, PEEK_EVERY)
    total, squares = values.cumsum()[size - 1], (values**2).cumsum()[size - 1]
    variance = (squares - total**2 / size) / (size - 1)
    return [
        Moments(*each) for each in zip(size.tolist(), (total / size).tolist(), variance.tolist(), strict=True)
    ]


def draw_plays(rng: np.random.Generator, lift: float) -> NDArray[np.float64]:
    return rng.poisson(2.0 + lift, SIZE).astype(float)


def draw_watched(rng: np.random.Generator, lift: float) -> NDArray[np.float64]:
    watched: NDArray[np.float64] = (rng.random(SIZE) < 0.4) * rng.gamma(0.5, 2.0 + lift, SIZE)
    return watched


@pytest.mark.parametrize(("draw", "lift", "moved"), [(draw_plays, 0.2, 0.2), (draw_watched, 0.5, 0.1)])
def test_looked_at_again_and_again_the_interval_misses_the_truth_less_often_than_it_says(
    draw: Draw, lift: float, moved: float
) -> None:
    rng = np.random.default_rng(20261122)
    false_positives = misses = found = 0
    for _ in range(REPETITIONS):
        control, same, better = (peeks(draw(rng, each)) for each in (0.0, 0.0, lift))
        no_lift = [MIXTURE.of_difference(*each) for each in zip(control, same, strict=True)]
        a_lift = [MIXTURE.of_difference(*each) for each in zip(control, better, strict=True)]
        false_positives += any(each and not each.low <= 0 <= each.high for each in no_lift)
        misses += any(each and not each.low <= moved <= each.high for each in a_lift)
        found += any(each and each.low > 0 for each in a_lift)

    # With 400 repetitions a true rate of alpha would be met or passed every other time.
    assert false_positives / REPETITIONS <= ALPHA
    assert misses / REPETITIONS <= ALPHA
    assert found / REPETITIONS > 0.5


def test_a_fixed_interval_looked_at_in_the_same_way_misses_far_more_often() -> None:
    rng = np.random.default_rng(20261122)
    misses = 0
    for _ in range(REPETITIONS):
        control, same = peeks(draw_plays(rng, 0.0)), peeks(draw_plays(rng, 0.0))
        misses += any(
            abs(two.mean - one.mean) > 1.96 * math.sqrt((one.variance + two.variance) / one.size)
            for one, two in zip(control, same, strict=True)
        )

    assert misses / REPETITIONS > 5 * ALPHA


def test_viewers_whose_values_grow_while_they_are_watched_do_not_mislead_it() -> None:
    """Viewers arrive all along and play at rates of their own: old values change while new ones come."""
    viewers, steps, repetitions = 2 * SIZE, 50, 200
    rng = np.random.default_rng(20261122)
    false_positives = 0
    for _ in range(repetitions):
        treated = rng.random(viewers) < 0.5
        arrival = rng.integers(0, steps, viewers)
        rate = rng.gamma(1.0, 0.5, viewers)
        plays = np.zeros(viewers)
        for step in range(steps):
            there = arrival <= step
            plays[there] += rng.poisson(rate[there])
            interval = MIXTURE.of_difference(
                *(moments_of(plays[there & (treated == arm)]) for arm in (False, True))
            )
            if interval and not interval.low <= 0 <= interval.high:
                false_positives += 1
                break

    assert false_positives / repetitions <= ALPHA


def moments_of(values: NDArray[np.float64]) -> Moments:
    return Moments(len(values), float(values.mean()), float(values.var(ddof=1)))
