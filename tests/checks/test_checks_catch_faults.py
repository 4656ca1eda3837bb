"""Each check fails for a detector with the fault it is there to catch."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from models.anomaly.base import bounded, graded
from models.anomaly.moments import Moments
from models.anomaly.state import DERIVED, STATE, SnapshotError, Stateful
from tests.checks.detector_checks import CHECKS, check_detector


@dataclass
class Sound(Stateful):
    """A plain detector without a fault: deviation from a forgetful mean."""

    rate: float = 0.01
    _moments: Moments = field(init=False)

    def __post_init__(self) -> None:
        self._moments = Moments(self.rate)

    def score_one(self, time_ms: int, value: float) -> float:
        if self._moments.count < 50:
            bounded(value)
            return 0.0
        return graded(abs(bounded(value) - self._moments.mean) / max(self._moments.deviation, 1.0), 3.0, 5.0)

    def learn_one(self, time_ms: int, value: float) -> None:
        self._moments.learn(bounded(value))


class LearnsWhenScoring(Sound):
    def score_one(self, time_ms: int, value: float) -> float:
        score = super().score_one(time_ms, value)
        self.learn_one(time_ms, value)
        return score


class AnswersWhenLearning(Sound):
    def learn_one(self, time_ms: int, value: float) -> Any:
        super().learn_one(time_ms, value)
        return self


class TakesArraysApart(Sound):
    def score_one(self, time_ms: int, value: float) -> float:
        return super().score_one(
            time_ms, float(np.float32(value)) if isinstance(value, np.floating) else value
        )


class ScoresSigmas(Sound):
    def score_one(self, time_ms: int, value: float) -> float:
        return abs(bounded(value) - self._moments.mean) / max(self._moments.deviation, 1.0)


class Unseeded(Sound):
    def score_one(self, time_ms: int, value: float) -> float:
        return min(super().score_one(time_ms, value) + random.random() * 1e-3, 1.0)


class ForgetsInPickles(Sound):
    def __getstate__(self) -> dict[str, Any]:
        return {"rate": self.rate, "_moments": Moments(self.rate)}


@dataclass
class LeavesStateOutOfSnapshots(Sound):
    _moments: Moments = field(init=False, metadata={"role": DERIVED})


class TakesAnySnapshot(Sound):
    def restore(self, data: bytes) -> None:
        try:
            super().restore(data)
        except SnapshotError:
            self._moments = Moments(self.rate)


class SharesStateBetweenSeries(Sound):
    shared = Moments(0.01)

    def __post_init__(self) -> None:
        self._moments = self.shared


class AlarmsAtRest(Sound):
    def score_one(self, time_ms: int, value: float) -> float:
        return max(super().score_one(time_ms, value), 0.6 if value == self._moments.mean else 0.0)


class TakesWhatIsNotFinite(Sound):
    def learn_one(self, time_ms: int, value: float) -> None:
        self._moments.learn(value)


@dataclass
class RemembersEverything(Sound):
    seen: list[float] = field(default_factory=list, metadata={"role": STATE})

    def learn_one(self, time_ms: int, value: float) -> None:
        super().learn_one(time_ms, value)
        self.seen.append(float(value))


class Blind(Sound):
    def score_one(self, time_ms: int, value: float) -> float:
        return min(super().score_one(time_ms, value), 0.4)


@dataclass
class NeedsTimeToAdvance(Sound):
    _last_ms: int = field(init=False, default=-1)

    def learn_one(self, time_ms: int, value: float) -> None:
        assert time_ms > self._last_ms, "time did not advance"
        super().learn_one(time_ms, value)
        self._last_ms = time_ms


CAUGHT_BY: dict[type[Sound], str] = {
    LearnsWhenScoring: "scoring_changes_nothing",
    AnswersWhenLearning: "learning_returns_nothing",
    TakesArraysApart: "inputs_are_unharmed",
    ScoresSigmas: "scores_lie_between_0_and_1",
    Unseeded: "the_same_seed_gives_the_same_scores",
    ForgetsInPickles: "pickles_survive",
    LeavesStateOutOfSnapshots: "a_snapshot_restored_mid_stream_scores_the_same",
    TakesAnySnapshot: "a_snapshot_of_another_model_is_refused",
    SharesStateBetweenSeries: "an_unseen_series_is_scored_from_its_first_sample",
    AlarmsAtRest: "a_constant_series_never_alarms",
    TakesWhatIsNotFinite: "what_is_not_finite_is_refused_and_not_learned",
    RemembersEverything: "memory_is_bounded",
    Blind: "a_gross_anomaly_is_above_the_bound_and_normal_samples_are_not",
    NeedsTimeToAdvance: "times_may_repeat_and_go_back",
}


def fails(check: Callable[[], None]) -> bool:
    try:
        check()
    except (AssertionError, pytest.fail.Exception):
        return True
    return False


def test_a_sound_detector_passes_all_checks() -> None:
    assert [name for name, check in check_detector(Sound) if fails(check)] == []


@pytest.mark.parametrize(("faulty", "name"), CAUGHT_BY.items(), ids=[kind.__name__ for kind in CAUGHT_BY])
def test_the_check_for_a_fault_catches_it(faulty: type[Sound], name: str) -> None:
    checks = dict(check_detector(faulty))

    assert fails(checks[name])


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert sorted(CAUGHT_BY.values()) == sorted(check.__name__ for check in CHECKS)
