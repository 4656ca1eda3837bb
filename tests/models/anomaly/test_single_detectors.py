"""What sets each scalar detector apart: its bounds, and what an anomaly teaches it."""

from __future__ import annotations

import random

import pytest

from config import load
from models.anomaly import build
from models.anomaly.base import ALARM_SCORE, CRITICAL_SCORE, Detector
from models.anomaly.thresholds import StaticThreshold

DETECTION = load({}).settings.detection


def taught(detector: Detector, values: list[float]) -> Detector:
    for value in values:
        detector.learn_one(0, value)
    return detector


def noise(samples: int, level: float = 100.0, seed: int = 2) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(level, 2.0) for _ in range(samples)]


@pytest.mark.parametrize(
    ("metric", "warn", "critical"),
    [
        ("error_rate", 0.01, 0.05),
        ("error_percent", 1.0, 5.0),
        ("latency_p99_ms", 2000.0, 5000.0),
        ("latency_p99_seconds", 2.0, 5.0),
        ("cpu", 80.0, 95.0),
        ("cpu_ratio", 0.80, 0.95),
        ("memory_percent", 85.0, 95.0),
        ("streaming_failures", 0.005, 0.02),
        ("stream_failure_percent", 0.5, 2.0),
    ],
)
def test_static_bounds_are_in_the_unit_of_the_metric(metric: str, warn: float, critical: float) -> None:
    detector = build.static_threshold(DETECTION, metric)

    assert detector is not None
    assert (detector.warn, detector.critical) == (pytest.approx(warn), pytest.approx(critical))


def test_a_metric_without_static_bounds_has_no_static_detector() -> None:
    assert build.static_threshold(DETECTION, "concurrent_streams") is None


def test_static_bounds_that_do_not_say_which_way_is_worse_are_refused() -> None:
    with pytest.raises(ValueError, match="which way is worse"):
        StaticThreshold(warn=5.0, critical=5.0)


def test_zscore_crosses_its_bounds_at_three_and_five_deviations() -> None:
    detector = taught(build.zscore(DETECTION), [99.0, 101.0] * 300)

    assert detector.score_one(0, 103.0) == pytest.approx(ALARM_SCORE)
    assert detector.score_one(0, 95.0) == pytest.approx(CRITICAL_SCORE)


@pytest.mark.parametrize(
    "detector", [build.zscore(DETECTION), build.interquartile_range(DETECTION)], ids=["z", "iqr"]
)
def test_nothing_scores_before_fifty_samples(detector: Detector) -> None:
    taught(detector, noise(49))
    assert detector.score_one(0, 1e9) == 0.0

    taught(detector, [100.0])
    assert detector.score_one(0, 1e9) > CRITICAL_SCORE


def test_zscore_is_not_blinded_by_a_spike() -> None:
    detector = taught(build.zscore(DETECTION), [*noise(300), 1e9])

    assert detector.score_one(0, 130.0) > CRITICAL_SCORE


@pytest.mark.parametrize("name", ["zscore", "interquartile_range", "forecast_error"])
def test_a_new_level_is_absorbed_within_a_window_and_a_half(name: str) -> None:
    detector: Detector = getattr(build, name)(DETECTION)
    taught(detector, noise(500))
    assert detector.score_one(0, 300.0) > CRITICAL_SCORE

    taught(detector, noise(DETECTION.window_samples * 3 // 2, level=300.0))

    assert detector.score_one(0, 300.0) < ALARM_SCORE


def test_quartiles_bear_a_fifth_of_the_window_being_wrong() -> None:
    detector = taught(build.interquartile_range(DETECTION), noise(800) + [1e6] * 200)

    assert detector.score_one(0, 100.0) < ALARM_SCORE < detector.score_one(0, 200.0)


def test_a_steady_climb_is_forecast() -> None:
    climbing = [float(minute) for minute in range(400)]
    detector = taught(build.forecast_error(DETECTION), climbing)

    assert detector.score_one(0, 400.0) < ALARM_SCORE < detector.score_one(0, 420.0)


def test_a_forecast_is_not_dragged_by_a_spike() -> None:
    detector = taught(build.forecast_error(DETECTION), [*noise(300), 1e9])

    assert detector.score_one(0, 100.0) < ALARM_SCORE < detector.score_one(0, 150.0)


def test_half_space_trees_learn_windows_even_where_they_are_flagged() -> None:
    forest = build.half_space_trees(DETECTION, seed=1)
    taught(forest, noise(600))
    before = forest.score_one(0, 180.0)

    taught(forest, noise(1000, level=180.0))

    assert forest.score_one(0, 180.0) < ALARM_SCORE < before


def test_forests_of_different_seeds_differ() -> None:
    scores = [
        taught(build.half_space_trees(DETECTION, seed), noise(600)).score_one(0, 107.0) for seed in (1, 2)
    ]

    assert scores[0] != scores[1]
