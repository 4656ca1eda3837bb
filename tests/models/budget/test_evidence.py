"""p-values of episodes hold on healthy series of many kinds, and fall with what is worse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from config import load
from models.anomaly import build
from models.anomaly.bank import EpisodePhase, Limits

FIGURES = build.bank_figures(load({}).settings.detection).evidence
Floats = npt.NDArray[np.float64]
Kind = Callable[[np.random.Generator, int], Floats]

SERIES, STEPS = 400, 3000


def gaussian(rng: np.random.Generator, _: int) -> Floats:
    return rng.standard_normal(SERIES)


def heavy_tailed(rng: np.random.Generator, _: int) -> Floats:
    return rng.standard_t(3, SERIES)


def skewed(rng: np.random.Generator, _: int) -> Floats:
    return np.exp(rng.standard_normal(SERIES))


def counts(rng: np.random.Generator, _: int) -> Floats:
    return rng.poisson(0.5, SERIES).astype(np.float64)


def daily_wave(rng: np.random.Generator, step: int) -> Floats:
    return 10.0 + 5.0 * np.sin(2 * np.pi * (step / 1440 + np.arange(SERIES) / SERIES)) + gaussian(rng, step)


@pytest.mark.parametrize("kind", [gaussian, heavy_tailed, skewed, counts, daily_wave])
def test_p_values_of_healthy_episodes_are_no_smaller_than_they_should_be(kind: Kind) -> None:
    rng = np.random.default_rng(11)
    bank = build.series_bank(load({}).settings.detection)
    slots, times = np.arange(SERIES, dtype=np.int32), np.full(SERIES, FIGURES.acquaintance_ms)
    for slot in range(SERIES):
        bank.open(slot, Limits(), time_ms=0)
    paged = {1e-4: 0, 1e-6: 0}

    for level in paged:
        for step in range(STEPS):
            verdicts = bank.step_many(slots, times, kind(rng, step), float(np.log(level)))
            paged[level] += int((verdicts.pages == 1).sum())

    tests = SERIES * STEPS
    assert paged[1e-4] <= 1.5 * 1e-4 * tests
    assert paged[1e-6] <= 7  # 1.2 expected: a Poisson number exceeds 7 once in 9,000


def test_more_evidence_is_rarer() -> None:
    log_p = [FIGURES.log10_p(50_000, 20, 4.0, evidence) for evidence in (1.0, 1.5, 3.0, 10.0, 100.0)]

    assert log_p == sorted(log_p, reverse=True)
    assert log_p[0] > -4.0


def test_the_same_evidence_says_less_of_a_series_with_large_episodes() -> None:
    calm = FIGURES.log10_p(50_000, 20, 2.0, evidence=20.0)
    wild = FIGURES.log10_p(50_000, 20, 40.0, evidence=20.0)

    assert calm < wild - 3.0


def test_a_young_series_is_not_held_to_be_rare() -> None:
    assert FIGURES.log10_p(100, 0, 0.0, evidence=1e6) >= -FIGURES.reach * np.log10(101)


def test_until_it_has_been_known_for_a_while_nothing_learned_of_a_series_is_rare() -> None:
    def log_p(known_ms: int) -> float:
        return FIGURES.log_p(known_ms, 50_000, 20, 4.0, 100.0, 0.0, False)

    assert log_p(FIGURES.acquaintance_ms - 1) == 0.0
    assert log_p(FIGURES.acquaintance_ms) < np.log(1e-8)


def test_a_critical_bound_speaks_for_a_young_series_until_it_is_crossed_in_health() -> None:
    def log_p(static_episodes: float) -> float:
        return FIGURES.log_p(0, 100, static_episodes, 0.5 * static_episodes, 10.0, static_episodes, True)

    assert log_p(0.0) < np.log(1e-8)
    assert log_p(0.0) < log_p(1.0) < log_p(20.0)


def test_an_array_is_judged_as_its_elements_to_the_last_bit() -> None:
    rng = np.random.default_rng(5)
    a, b, c, d, e = (rng.uniform(1.0, 1e4, 101) for _ in range(5))
    crossed = rng.random(101) < 0.5
    known_ms = rng.integers(0, 2 * FIGURES.acquaintance_ms, 101)

    at_once = FIGURES.log_p(known_ms, a, b, c, d, e, crossed)

    columns = (known_ms, a, b, c, d, e, crossed)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    singly = [FIGURES.log_p(*row) for row in rows]
    assert at_once.tolist() == singly


def test_an_outage_pages_and_one_wild_sample_does_not() -> None:
    rng = np.random.default_rng(3)
    bank = build.series_bank(load({}).settings.detection)
    bank.open(0, Limits(worse=1), time_ms=0)
    bank.open(1, Limits(worse=1), time_ms=0)
    slots, times = np.array([0, 1], dtype=np.int32), np.full(2, FIGURES.acquaintance_ms)
    for _ in range(20_000):
        bank.step_many(slots, times, rng.normal(100.0, 5.0, 2), -18.0)
    phases = []

    for minute in range(10):
        verdicts = bank.step_many(slots, times, np.array([150.0, 1e9 if minute == 0 else 100.0]), -18.0)
        phases += [
            (minute, int(slot), EpisodePhase(phase).name)
            for slot, phase, pages in zip(verdicts.event, verdicts.phase, verdicts.pages, strict=True)
            if pages == 1
        ]

    assert [slot for _, slot, _ in phases] == [0]
    assert phases[0][0] <= 6
