"""What every detector of one series must do: one check to a promise, run against each of them."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import pytest

from models.anomaly.base import ALARM_SCORE, Detector
from models.anomaly.state import SnapshotError

Factory = Callable[[], Detector]
Check = Callable[[Factory], None]

MINUTE_MS: Final = 60_000
START_MS: Final = 1_700_000_000_000
EXTREMES: Final = (0.0, 1e308, -1e308, 5e-324, -5e-324, 1.0, 1.7976931348623157e308, 2.2e-308, 1e150, -1e200)


def check_detector(factory: Factory) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name of each check and a call that runs it on detectors of `factory`; assertions fail it."""
    for check in CHECKS:
        yield check.__name__, partial(check, factory)


def healthy(samples: int, seed: int = 11) -> list[tuple[int, float]]:
    """Return samples a minute apart around 100: a little noise on a daily wave."""
    rng = random.Random(seed)
    return [
        (
            START_MS + minute * MINUTE_MS,
            100.0 + 3.0 * math.sin(minute * math.tau / 1440) + rng.gauss(0.0, 2.0),
        )
        for minute in range(samples)
    ]


def run(detector: Detector, samples: list[tuple[int, float]]) -> list[float]:
    """Score each sample, then learn it; return the scores."""
    scores = []
    for time_ms, value in samples:
        scores.append(detector.score_one(time_ms, value))
        detector.learn_one(time_ms, value)
    return scores


def scoring_changes_nothing(factory: Factory) -> None:
    detector = factory()
    run(detector, healthy(600))
    before = detector.snapshot()

    for value in (100.0, 1e6, -1e6):
        once = detector.score_one(START_MS, value)
        assert detector.score_one(START_MS, value) == once

    assert detector.snapshot() == before


def learning_returns_nothing(factory: Factory) -> None:
    detector: Any = factory()

    assert [detector.learn_one(*sample) for sample in healthy(200)] == [None] * 200


def inputs_are_unharmed(factory: Factory) -> None:
    values = np.array([value for _, value in healthy(400)])
    as_given = values.copy()
    samples = [(START_MS + at * MINUTE_MS, value) for at, value in enumerate(values)]

    scores = run(factory(), samples)

    assert np.array_equal(values, as_given)
    assert scores == run(factory(), [(time_ms, float(value)) for time_ms, value in samples])


def scores_lie_between_0_and_1(factory: Factory) -> None:
    young, grown = factory(), factory()
    run(grown, healthy(600))

    for detector in (young, grown):
        for value in EXTREMES * 3:
            score = detector.score_one(START_MS, value)
            assert type(score) is float
            assert 0.0 <= score <= 1.0, f"{score} for {value}"
            detector.learn_one(START_MS, value)


def the_same_seed_gives_the_same_scores(factory: Factory) -> None:
    samples = healthy(700)

    assert run(factory(), samples) == run(factory(), samples)


def pickles_survive(factory: Factory) -> None:
    samples = healthy(800)
    detector = factory()
    run(detector, samples[:400])

    twin = pickle.loads(pickle.dumps(detector))

    assert run(twin, samples[400:]) == run(detector, samples[400:])


def a_snapshot_restored_mid_stream_scores_the_same(factory: Factory) -> None:
    samples = healthy(1300)
    samples[450] = (samples[450][0], 400.0)
    for at in (1, 30, 451, 900):
        detector, restored = factory(), factory()
        run(detector, samples[:at])
        run(restored, samples[700:760])

        restored.restore(detector.snapshot())

        assert restored.snapshot() == detector.snapshot()
        assert run(restored, samples[at:]) == run(detector, samples[at:])


def a_snapshot_of_another_model_is_refused(factory: Factory) -> None:
    detector = factory()
    samples = healthy(300)
    run(detector, samples[:200])
    before = detector.snapshot()

    for foreign in (b"", b"junk", before[: len(before) // 2], b"\x93\xa5Other\x80\x80"):
        with pytest.raises(SnapshotError):
            detector.restore(foreign)

    assert detector.snapshot() == before


def an_unseen_series_is_scored_from_its_first_sample(factory: Factory) -> None:
    known, unseen = factory(), factory()
    knows_nothing = unseen.snapshot()

    run(known, healthy(600))

    assert unseen.snapshot() == knows_nothing, "what one series teaches is not known of another"
    assert 0.0 <= unseen.score_one(START_MS, 100.0) < ALARM_SCORE


def a_constant_series_never_alarms(factory: Factory) -> None:
    for level in (0.0, 0.1, 45.0, -1e-12):
        constant = [(START_MS + minute * MINUTE_MS, level) for minute in range(1500)]
        assert max(run(factory(), constant)) < ALARM_SCORE, f"alarms at a constant {level}"


def what_is_not_finite_is_refused_and_not_learned(factory: Factory) -> None:
    detector = factory()
    run(detector, healthy(300))
    before = detector.snapshot()

    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="not finite"):
            detector.score_one(START_MS, value)
        with pytest.raises(ValueError, match="not finite"):
            detector.learn_one(START_MS, value)

    assert detector.snapshot() == before


def memory_is_bounded(factory: Factory) -> None:
    detector = factory()
    run(detector, healthy(4500))
    once = len(detector.snapshot())

    run(detector, healthy(4500, seed=12))

    assert len(detector.snapshot()) <= once + 64


def a_gross_anomaly_is_above_the_bound_and_normal_samples_are_not(factory: Factory) -> None:
    detector = factory()
    run(detector, healthy(1000))

    assert detector.score_one(START_MS + 1000 * MINUTE_MS, 97.5) < ALARM_SCORE
    assert detector.score_one(START_MS + 1000 * MINUTE_MS, 900.0) >= ALARM_SCORE


def times_may_repeat_and_go_back(factory: Factory) -> None:
    detector = factory()
    run(detector, healthy(100))

    for time_ms in (START_MS, START_MS, 0, -MINUTE_MS):
        assert 0.0 <= detector.score_one(time_ms, 100.0) <= 1.0
        detector.learn_one(time_ms, 100.0)


CHECKS: Final[tuple[Check, ...]] = (
    scoring_changes_nothing,
    learning_returns_nothing,
    inputs_are_unharmed,
    scores_lie_between_0_and_1,
    the_same_seed_gives_the_same_scores,
    pickles_survive,
    a_snapshot_restored_mid_stream_scores_the_same,
    a_snapshot_of_another_model_is_refused,
    an_unseen_series_is_scored_from_its_first_sample,
    a_constant_series_never_alarms,
    what_is_not_finite_is_refused_and_not_learned,
    memory_is_bounded,
    a_gross_anomaly_is_above_the_bound_and_normal_samples_are_not,
    times_may_repeat_and_go_back,
)
