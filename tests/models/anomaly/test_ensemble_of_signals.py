"""Signals, their tails, and the ensemble they make."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from config import load
from models.anomaly import build
from models.anomaly.base import ALARM_SCORE
from models.anomaly.discord import Discord
from models.anomaly.ensemble import PerSeriesEnsemble
from models.anomaly.signals import Calm, Change, Departure, SeasonalResidual
from models.anomaly.state import SnapshotError
from models.anomaly.tail import TailHistograms

LOADED = load({}).settings
MINUTE_MS = 60_000
DAY_MINUTES = 1440


def fresh() -> PerSeriesEnsemble:
    return build.ensemble(LOADED.ensemble, LOADED.detection)


def five_minutely(days: float, seed: int = 6) -> list[tuple[int, float]]:
    """Return a daily wave between 50 and 150 with a little noise."""
    rng = random.Random(seed)
    return [
        (minute * MINUTE_MS, 100.0 + 50.0 * math.sin(minute * math.tau / DAY_MINUTES) + rng.gauss(0.0, 2.0))
        for minute in range(0, int(days * DAY_MINUTES), 5)
    ]


def scores_of(detector: PerSeriesEnsemble, samples: list[tuple[int, float]]) -> list[float]:
    scores = []
    for time_ms, value in samples:
        scores.append(detector.score_one(time_ms, value))
        detector.learn_one(time_ms, value)
    return scores


def test_a_value_usual_by_day_is_anomalous_by_night() -> None:
    detector = fresh()
    scores_of(detector, five_minutely(10.75))
    night_ms = int(10.75 * DAY_MINUTES) * MINUTE_MS

    assert detector.score_one(night_ms, 50.0) < ALARM_SCORE < detector.score_one(night_ms, 150.0)


def test_an_episode_alerts_at_its_start_and_not_all_along() -> None:
    samples = five_minutely(12.0)
    start = 10 * DAY_MINUTES // 5
    outage = [(time_ms, 0.0) for time_ms, _ in samples[start : start + 40]]

    scores = scores_of(fresh(), [*samples[:start], *outage])[start:]

    alarms = [at for at, score in enumerate(scores) if score >= ALARM_SCORE]
    assert alarms, "the outage is seen"
    assert alarms[0] < 3
    assert len(alarms) <= 4


def test_fewer_than_two_healthy_samples_in_a_thousand_alarm() -> None:
    scores = scores_of(fresh(), five_minutely(20.0))

    assert sum(score >= ALARM_SCORE for score in scores) < 0.002 * len(scores)


def test_the_future_cannot_change_a_score() -> None:
    samples = five_minutely(3.0)

    assert scores_of(fresh(), samples)[:500] == scores_of(fresh(), samples[:500])


def test_a_score_does_not_depend_on_the_metric_s_unit() -> None:
    samples = five_minutely(3.0)
    scaled = [(time_ms, value * 1024.0) for time_ms, value in samples]

    assert scores_of(fresh(), scaled) == pytest.approx(scores_of(fresh(), samples), abs=1e-6)


def test_signals_in_another_order_refuse_the_snapshot() -> None:
    def two(*signals: Change | Departure) -> PerSeriesEnsemble:
        return PerSeriesEnsemble(
            signals, 0.01, 0.01, bins=64, bins_per_octave=4, scoring_samples=5,
            hold_samples=5, hold_decay=0.9, most_nats=50.0, high_nats=10.0, critical_nats=20.0,
        )  # fmt: skip

    with pytest.raises(SnapshotError, match="Change"):
        two(Departure(0.1), Change()).restore(two(Change(), Departure(0.1)).snapshot())


# -- signals --------------------------------------------------------------------------------------------


def nearest_by_hand(values: list[float], length: int, history: int) -> float:
    subsequences = sliding_window_view(np.array(values), length)
    past = subsequences[: len(subsequences) - length][-history:]
    return float(np.sqrt(((past - subsequences[-1]) ** 2).sum(axis=1).min()))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-100.0, 100.0), min_size=30, max_size=200), st.integers(2, 6))
def test_the_discord_is_the_distance_to_the_nearest_earlier_subsequence(
    values: list[float], length: int
) -> None:
    signal = Discord(length=length, history=50)
    for value in values[:-1]:
        signal.learn_one(0, value)

    assert signal.measure_one(0, values[-1]) == pytest.approx(
        nearest_by_hand(values, length, history=50), abs=1e-5
    )


def test_rounding_from_a_huge_value_passes_from_the_discord() -> None:
    signal = Discord(length=4, history=60)
    for at, value in enumerate([1e12, *[float(at % 4) for at in range(300)]]):
        signal.learn_one(at, value)

    assert signal.measure_one(0, 0.0) == pytest.approx(0.0, abs=1e-9)


def test_calm_is_stranger_than_noise() -> None:
    signal = Calm(samples=10)
    for value in (1.0, 5.0, 2.0, 7.0, 3.0, 6.0, 1.0, 4.0, 2.0):
        signal.learn_one(0, value)
    noisy = signal.measure_one(0, 5.0)
    for _ in range(9):
        signal.learn_one(0, 5.0)

    assert signal.measure_one(0, 5.0) > 100.0 * noisy


def test_seasons_before_the_epoch_have_buckets_too() -> None:
    signal = SeasonalResidual(period_ms=86_400_000, buckets=24, rate=0.5)
    signal.learn_one(-3_600_000, 10.0)

    assert signal.measure_one(23 * 3_600_000, 4.0) == 6.0


# -- tails ----------------------------------------------------------------------------------------------


def tails_of(values: list[float], rate: float = 1e-6) -> TailHistograms:
    tails = TailHistograms(measures=1, rate=rate, bins=512, bins_per_octave=16)
    for value in values:
        tails.learn(np.array([value]))
    return tails


def surprise(tails: TailHistograms, value: float) -> float:
    return float(tails.surprise(np.array([value]))[0])


@pytest.mark.parametrize("value", [0.5, 1.0, 3.0, 20.0])
def test_surprise_is_the_negative_logarithm_of_the_tail(value: float) -> None:
    rng = random.Random(1)
    past = [rng.expovariate(1.0) for _ in range(5000)]
    share = (sum(each >= value for each in past) + 1) / (len(past) + 1)

    assert surprise(tails_of(past), value) == pytest.approx(-math.log(share), abs=0.08)


def test_what_is_always_the_same_surprises_nobody() -> None:
    assert surprise(tails_of([0.0] * 100), 0.0) == 0.0
    assert surprise(tails_of([7.5] * 100), 7.5) == 0.0


def test_a_far_greater_value_makes_room_and_merges_only_the_lowest_bins() -> None:
    tails = tails_of([1.0] * 50 + [1e3] * 50 + [1e6])

    assert surprise(tails, 1e3) == pytest.approx(-math.log(52 / 102), abs=0.01)
    assert surprise(tails_of([1.0] * 100 + [1e300]), 1e300) == pytest.approx(-math.log(2 / 102), abs=0.001)


def test_old_samples_fade() -> None:
    tails = tails_of([100.0] * 50 + [1.0] * 5000, rate=0.01)

    assert surprise(tails, 100.0) > 4.0


def test_counting_for_ever_stays_finite() -> None:
    tails = tails_of([1.0, 2.0] * 3000, rate=0.02)

    assert surprise(tails, 2.0) == pytest.approx(math.log(2.0), abs=0.05)
    assert np.isfinite(tails._counts).all()
