"""Ratios, sparse counts, counters, silences, change points and services: each judged as what it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from config import load
from models.anomaly import build
from models.anomaly.base import ALARM_SCORE, Detector
from models.anomaly.counters import CounterRate
from models.anomaly.seasons import LearnedPeriodResidual
from models.anomaly.shapes import Shape

LOADED = load({}).settings
FIGURES, DETECTION = LOADED.detectors, LOADED.detection
MINUTE_MS = 60_000


def test_one_of_three_is_no_outage_and_a_hundred_of_three_hundred_is_one() -> None:
    model = build.ratio_of_counts(FIGURES)
    rng = np.random.default_rng(1)
    for _ in range(500):
        model.learn(float(rng.binomial(300, 0.005)), 300.0)

    assert model.score(1.0, 3.0) < ALARM_SCORE
    assert model.score(3.0, 3.0) < model.score(20.0, 300.0)
    assert model.score(100.0, 300.0) > ALARM_SCORE


def test_a_young_ratio_rests_on_what_is_believed_beforehand() -> None:
    model = build.ratio_of_counts(FIGURES)

    assert model.score(2.0, 4.0) < ALARM_SCORE < model.score(60.0, 120.0)


@settings(deadline=None)
@given(bad=st.integers(0, 50), more=st.integers(1, 20), trials=st.integers(0, 200))
def test_more_bad_ones_of_as_many_are_never_less_rare(bad: int, more: int, trials: int) -> None:
    model = build.ratio_of_counts(FIGURES)
    for _ in range(50):
        model.learn(1.0, 100.0)
    total = float(bad + more + trials)

    assert model.nats(float(bad), total) <= model.nats(float(bad + more), total) + 1e-9


def test_p_values_of_ratios_hold_where_minutes_differ_more_than_chance_would_have_it() -> None:
    model = build.ratio_of_counts(FIGURES)
    rng = np.random.default_rng(3)
    rare = 0
    for minute in range(6000):
        bad = float(rng.binomial(400, rng.beta(2.0, 198.0)))
        if minute >= 1000:
            rare += model.nats(bad, 400.0) >= -math.log(1e-3)
        model.learn(bad, 400.0)

    assert model.overdispersion > 1.5
    assert rare <= 15  # 5 expected of 5,000


def test_an_outage_does_not_become_the_usual_share() -> None:
    model = build.ratio_of_counts(FIGURES)
    for _ in range(300):
        model.learn(1.0, 200.0)
    for _ in range(60):
        model.learn(120.0, 200.0)

    assert model.share == pytest.approx(0.005, rel=0.25)


def test_ratios_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="bad ones of 3"):
        build.ratio_of_counts(FIGURES).nats(4.0, 3.0)


def test_a_sparse_series_alarms_at_a_burst_and_not_at_a_single_event() -> None:
    model = build.sparse_count(FIGURES)
    rng = np.random.default_rng(2)
    scores = []
    for minute in range(3000):
        count = float(rng.poisson(0.05))
        scores.append(model.score_one(minute * MINUTE_MS, count))
        model.learn_one(minute * MINUTE_MS, count)

    assert max(scores) < ALARM_SCORE
    assert model.score_one(0, 1.0) < ALARM_SCORE < model.score_one(0, 8.0)


def test_too_long_without_an_event_is_told() -> None:
    model = build.sparse_count(FIGURES)
    for minute in range(2000):
        model.learn_one(minute * MINUTE_MS, float(minute % 3))
    quiet = 0
    while model.score_one(0, 0.0) < ALARM_SCORE:
        model.learn_one(0, 0.0)
        quiet += 1

    assert 8 <= quiet <= 30


def test_a_counter_that_resets_is_no_anomaly_and_one_that_stalls_is() -> None:
    model = build.shaped_detector(build.zscore(DETECTION), FIGURES)
    rng = np.random.default_rng(4)
    total, at = 0.0, 0
    scores = []
    for _ in range(800):
        total = 0.0 if at == 500 else total + float(rng.normal(600.0, 20.0))
        scores.append(model.score_one(at * MINUTE_MS, total + 580.0 * (at == 500)))
        model.learn_one(at * MINUTE_MS, total + 580.0 * (at == 500))
        at += 1

    assert model.shape is Shape.COUNTER
    assert scores[500] < ALARM_SCORE
    assert (
        model.score_one(at * MINUTE_MS, total + 600.0) < ALARM_SCORE < model.score_one(at * MINUTE_MS, total)
    )


def test_readings_of_a_counter_that_are_late_or_overdue_have_no_rate() -> None:
    counter = CounterRate(longest_gap_ms=300_000)
    counter.step(600_000, 50.0)

    assert counter.step(540_000, 20.0) is None
    assert counter.step(660_000, 110.0) == 1.0
    assert counter.step(1_660_000, 900.0) is None


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (np.cumsum(np.full(100, 3.0)), Shape.COUNTER),
        (np.tile([0.0, 0.0, 0.0, 2.0], 25), Shape.COUNTS),
        (np.tile([0.2, 0.0, 0.9], 34), Shape.GAUGE),
        (np.full(100, 7.0), Shape.GAUGE),
        (np.zeros(100), Shape.GAUGE),
    ],
)
def test_the_shape_of_a_series_is_learned_from_its_first_samples(values: np.ndarray, shape: Shape) -> None:
    model = build.shaped_detector(build.zscore(DETECTION), FIGURES)

    for minute, value in enumerate(values.tolist()[:100]):
        model.learn_one(minute * MINUTE_MS, value)

    assert model.shape is shape


def test_the_configuration_says_a_shape_by_the_name_of_the_metric() -> None:
    watched = build.watched_metrics(DETECTION)

    assert watched.shape_of("segments_served_total") is Shape.COUNTER
    assert watched.shape_of("latency_p99_ms") is Shape.UNKNOWN


def test_a_silence_is_as_rare_as_the_beats_were_regular() -> None:
    rng = np.random.default_rng(5)
    regular, bursty = build.interval(FIGURES), build.interval(FIGURES)
    at = 0
    for minute in range(200):
        regular.learn_one(minute * MINUTE_MS)
        bursty.learn_one(at)
        at += int(rng.exponential(MINUTE_MS))

    silent = 5 * MINUTE_MS
    assert regular.nats(199 * MINUTE_MS + silent) > 20.0
    assert bursty.nats(at + silent) < 10.0
    assert regular.nats(199 * MINUTE_MS + MINUTE_MS) < 2.0


def test_a_cold_series_is_not_missed_and_late_samples_teach_no_gap() -> None:
    model = build.interval(FIGURES)
    for minute in range(5):
        model.learn_one(minute * MINUTE_MS)

    assert model.nats(10**9) == 0.0
    model.learn_one(0)
    assert model.nats(10**9) == 0.0


@pytest.mark.parametrize("name", ["page_hinkley", "adwin", "bayesian_change_point"])
def test_a_change_that_lasts_is_told_soon_and_a_steady_series_rarely(name: str) -> None:
    make: dict[str, Callable[[], Detector]] = {
        "page_hinkley": lambda: build.page_hinkley(FIGURES, DETECTION),
        "adwin": lambda: build.adwin(FIGURES),
        "bayesian_change_point": lambda: build.bayesian_change_point(FIGURES, DETECTION),
    }
    rng = np.random.default_rng(6)
    model, scores = make[name](), []
    for minute, value in enumerate([*rng.normal(100.0, 5.0, 2000), *rng.normal(115.0, 5.0, 100)]):
        scores.append(model.score_one(minute * MINUTE_MS, float(value)))
        model.learn_one(minute * MINUTE_MS, float(value))

    told = [minute for minute, score in enumerate(scores) if score >= ALARM_SCORE]
    assert sum(minute < 2000 for minute in told) <= 4
    assert 2000 <= min(minute for minute in told if minute >= 2000) <= 2040


def test_adwin_keeps_the_window_that_rivers_keeps() -> None:
    rng = np.random.default_rng(7)
    ours, theirs = build.adwin(FIGURES), drift.ADWIN(delta=FIGURES.adwin_delta)

    for value in [*rng.normal(0.0, 1.0, 3000), *rng.normal(3.0, 1.0, 1000)]:
        ours.learn_one(0, float(value))
        theirs.update(float(value))

    assert ours.width == pytest.approx(theirs.width, abs=128)
    assert 900 <= ours.width <= 1100


def test_a_window_of_adwin_is_bounded() -> None:
    model = build.adwin(FIGURES)
    before = len(model.snapshot())
    for n in range(5000):
        model.learn_one(n, float(n % 2))

    assert model.width == 5000
    assert len(model.snapshot()) < before + 100


def test_a_period_is_learned_and_its_breaking_is_told() -> None:
    signal = LearnedPeriodResidual(history=900, least=0.5, refresh=100)
    rng = np.random.default_rng(8)

    def wave(n: int) -> float:
        return 50.0 + 40.0 * math.sin(2 * math.pi * n / 77) + float(rng.normal(0.0, 2.0))

    for n in range(1000):
        signal.learn_one(n * MINUTE_MS, wave(n))

    assert signal.period == 77
    assert signal.measure_one(1000 * MINUTE_MS, wave(1000)) < 10.0
    assert signal.measure_one(1000 * MINUTE_MS, wave(1000 + 20)) > 30.0


def test_noise_has_no_period() -> None:
    signal = LearnedPeriodResidual(history=600, least=0.5, refresh=100)
    rng = np.random.default_rng(9)
    for n in range(1200):
        signal.learn_one(n, float(rng.normal()))

    assert signal.period == 0


def test_metrics_that_part_are_anomalous_together_though_each_is_ordinary() -> None:
    model = build.service_vector(FIGURES, DETECTION, metrics=3)
    rng = np.random.default_rng(10)

    def sample(load: float) -> list[float]:
        noise = rng.normal(0.0, 0.1, 3)
        return [1000.0 * (5 + load + noise[0]), 40.0 + 5 * (load + noise[1]), 0.2 + 0.01 * (load + noise[2])]

    scores = []
    for _ in range(3000):
        values = sample(float(rng.normal()))
        scores.append(model.score_one(*values))
        model.learn_one(*values)
    busy, calm = sample(2.0), sample(-2.0)

    assert sum(score >= ALARM_SCORE for score in scores) <= 3
    assert model.score_one(*busy) < ALARM_SCORE
    assert model.score_one(busy[0], calm[1], calm[2]) > ALARM_SCORE


def test_a_metric_that_is_missing_does_not_make_its_service_anomalous() -> None:
    model = build.service_vector(FIGURES, DETECTION, metrics=2)
    rng = np.random.default_rng(11)
    for _ in range(500):
        load = float(rng.normal())
        model.learn_one(load, load + float(rng.normal(0.0, 0.1)))

    assert model.score_one(0.5, math.nan) < ALARM_SCORE
    with pytest.raises(ValueError, match="expected 2 values"):
        model.score_one(1.0, math.inf)


def test_a_restored_service_vector_scores_the_same() -> None:
    model = build.service_vector(FIGURES, DETECTION, metrics=2)
    other = build.service_vector(FIGURES, DETECTION, metrics=2)
    rng = np.random.default_rng(12)
    for _ in range(300):
        model.learn_one(*rng.normal(0.0, 1.0, 2).tolist())

    other.restore(model.snapshot())

    assert other.score_one(4.0, -4.0) == model.score_one(4.0, -4.0)
