"""Episodes, severities and what an anomaly teaches, one series at a time."""

from __future__ import annotations

import math
import random

import pytest

from config import load
from models.anomaly import build
from models.anomaly.bank import BankDetector, EpisodePhase, Limits, Verdict
from topics.anomalies import Severity

FIGURES = build.bank_figures(load({}).settings.detection)


def trained(limits: Limits | None = None, samples: int = 200) -> BankDetector:
    """Return a detector that knows a series around 100 with a deviation of 2."""
    detector = BankDetector(FIGURES, limits or Limits())
    rng = random.Random(4)
    for _ in range(samples):
        detector.learn_one(0, rng.gauss(100.0, 2.0))
    return detector


def steps(detector: BankDetector, *values: float) -> list[Verdict]:
    return [detector.step_one(0, value) for value in values]


def changes(verdicts: list[Verdict]) -> list[EpisodePhase]:
    return [verdict.phase for verdict in verdicts]


NONE, STARTED, WORSENED, ENDED = EpisodePhase


def test_over_three_deviations_is_high_and_over_five_critical() -> None:
    detector = trained()
    sigma = math.sqrt(detector.variance)

    severities = [
        detector.judge_one(0, detector.mean + sigmas * sigma).severity
        for sigmas in (2.9, 3.1, -3.1, 4.9, 5.1)
    ]

    assert severities == [0, Severity.HIGH, Severity.HIGH, Severity.HIGH, Severity.CRITICAL]


def test_nothing_deviates_before_fifty_samples_and_severity_is_lower_before_a_hundred() -> None:
    assert trained(samples=49).judge_one(0, 1e6).severity == 0
    assert trained(samples=50).judge_one(0, 1e6).severity == Severity.MEDIUM
    assert trained(samples=99).judge_one(0, 108.0).severity == Severity.LOW
    assert trained(samples=100).judge_one(0, 1e6).severity == Severity.CRITICAL


def test_static_bounds_hold_from_the_first_sample() -> None:
    detector = BankDetector(FIGURES, Limits(worse=1, warn=2000.0, critical=5000.0))

    judged = [detector.judge_one(0, value) for value in (1999.0, 2000.0, 5000.0)]

    assert [verdict.severity for verdict in judged] == [0, Severity.MEDIUM, Severity.CRITICAL]
    assert [verdict.score for verdict in judged] == [0.0, 0.5, 0.75]
    assert math.isnan(judged[0].bound)
    assert [verdict.bound for verdict in judged[1:]] == [2000.0, 5000.0]


@pytest.mark.parametrize(("worse", "flagged"), [(1, [True, False]), (-1, [False, True]), (0, [True, True])])
def test_only_the_worse_side_is_flagged(worse: int, flagged: list[bool]) -> None:
    detector = trained(Limits(worse=worse))

    assert [detector.judge_one(0, value).severity > 0 for value in (150.0, 50.0)] == flagged


def test_a_verdict_tells_baseline_and_signed_deviation() -> None:
    detector = trained()

    verdict = detector.judge_one(0, 80.0)

    assert verdict.baseline == detector.mean == pytest.approx(100.0, abs=1.0)
    assert verdict.deviation_sigmas == pytest.approx((80.0 - detector.mean) / math.sqrt(detector.variance))


def test_deviations_within_the_noise_floor_are_not_flagged() -> None:
    quiet = BankDetector(FIGURES, Limits(worse=1, noise=0.0005))
    for _ in range(200):
        quiet.learn_one(0, 0.0)

    assert quiet.judge_one(0, 0.001).severity == 0
    assert quiet.judge_one(0, 0.003).severity == Severity.CRITICAL


def test_one_critical_sample_starts_an_episode_and_one_high_sample_does_not() -> None:
    sigma = math.sqrt(trained().variance)

    assert changes(steps(trained(), 100.0 + 20.0 * sigma)) == [STARTED]
    assert changes(steps(trained(), 100.0 + 4.0 * sigma, 100.0)) == [NONE, NONE]
    assert changes(steps(trained(), 100.0 + 4.0 * sigma, 100.0 + 4.0 * sigma)) == [NONE, STARTED]


def test_an_episode_has_one_start_an_update_when_worse_and_one_end() -> None:
    detector = trained(Limits(worse=1, warn=105.0, critical=300.0))

    phases = changes(steps(detector, *[106.0] * 4, *[400.0] * 4, *[106.0] * 2, *[100.0] * 7))

    assert phases == [NONE, STARTED, *[NONE] * 2, WORSENED, *[NONE] * 9, ENDED, *[NONE] * 2]


def test_an_episode_outlasts_a_few_normal_samples() -> None:
    phases = changes(steps(trained(), 200.0, *[100.0] * 4, 200.0, *[100.0] * 5))

    assert phases == [STARTED, *[NONE] * 9, ENDED]


def test_an_end_is_told_with_no_severity() -> None:
    end = steps(trained(), 200.0, *[100.0] * 5)[-1]

    assert (end.phase, end.severity) == (ENDED, 0)


def test_a_spike_hardly_moves_the_baseline() -> None:
    detector = trained()
    before = detector.mean

    detector.learn_one(0, 1e9)

    assert abs(detector.mean - before) < 0.01
    assert detector.judge_one(0, 130.0).severity == Severity.CRITICAL


def test_a_level_that_lasts_becomes_the_new_normal() -> None:
    detector = trained()
    rng = random.Random(8)

    verdicts = steps(detector, *(rng.gauss(300.0, 2.0) for _ in range(FIGURES.relearn_after + 60)))

    assert [at for at, verdict in enumerate(verdicts) if verdict.phase == STARTED] == [0]
    assert [at for at, verdict in enumerate(verdicts) if verdict.phase == ENDED] == [
        FIGURES.relearn_after + FIGURES.clear_after - 1
    ]
    assert detector.mean == pytest.approx(300.0, abs=1.0)
    assert detector.judge_one(0, 100.0).severity > 0


def test_a_bound_crossed_for_good_stays_an_episode() -> None:
    detector = trained(Limits(worse=1, warn=200.0, critical=400.0))

    verdicts = steps(detector, *[250.0] * (2 * FIGURES.relearn_after))

    assert changes(verdicts).count(STARTED) == 1
    assert changes(verdicts).count(ENDED) == 0
    assert verdicts[-1].severity == Severity.MEDIUM
