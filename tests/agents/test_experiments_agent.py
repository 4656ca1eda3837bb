"""The experiments agents without Kafka: observing, and summing up what any number of workers observed."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from fake_batch import FakeBatch
from structlog.testing import capture_logs

from agents.experiments import Accountant, Observer
from config import load
from models.exposure import Participation
from topics import EXPERIMENT_PARTS, EXPERIMENT_RESULTS
from topics.emission import Emission
from topics.experiments import Experiment, ExperimentResult, ExperimentStatus, Variant
from topics.viewing import Action, ViewerAction

FIGURES = load({}).settings.experiments
LATE_MS = 4_000_000_000_000


class FakeView(dict):  # type: ignore[type-arg]
    """Records by key, as `agents.ports.View` has them."""


def experiment(name: str, **changed: object) -> Experiment:
    given: dict[str, object] = {
        "traffic": 1.0,
        "control": "as-today",
        "variants": [Variant(name="as-today", share=0.5), Variant(name="by-taste", share=0.5)],
        "metrics": ["plays", "watched_ms"],
        "status": ExperimentStatus.ACTIVE,
    }
    return Experiment(time_ms=0, experiment=name, **(given | changed))  # type: ignore[arg-type]


EXPERIMENTS = FakeView({name: experiment(name) for name in ("row-order", "autoplay")})


def viewing(viewers: int, actions: int) -> list[ViewerAction]:
    rng = np.random.default_rng(11)
    return [
        ViewerAction(
            time_ms=1_000 * number,
            viewer=f"v-{rng.integers(viewers)}",
            action=Action.PLAY if rng.random() < 0.5 else Action.STOP,
            watched_ms=int(rng.integers(1, 10**7)),
        )
        for number in range(actions)
    ]


def observe(actions: Sequence[ViewerAction], experiments: FakeView = EXPERIMENTS) -> list[Emission]:
    """What one worker makes of `actions`."""
    observer = Observer(experiments)
    states: dict[str, Participation] = {}
    emissions = []
    for action in actions:
        states[action.viewer], new = observer.step(states.get(action.viewer), action)
        emissions += new
    return emissions


def batch(emissions: Sequence[Emission], time_ms: int = LATE_MS) -> FakeBatch:
    return FakeBatch(
        EXPERIMENT_PARTS.name,
        0,
        [(each.key.encode(), EXPERIMENT_PARTS.encode(each.record), time_ms, False) for each in emissions],
    )


def standing(emissions: Sequence[Emission]) -> dict[tuple[str, str], ExperimentResult]:
    """The last result of each experiment and metric."""
    results = [each.record for each in emissions if each.spec is EXPERIMENT_RESULTS]
    return {(each.experiment, each.metric): each for each in results if isinstance(each, ExperimentResult)}


def test_several_workers_come_to_the_same_figures_as_one() -> None:
    actions = viewing(viewers=200, actions=2_000)
    one = Accountant(FIGURES)
    alone = one.process(batch(observe(actions))) + one.idle()

    workers = [[each for each in actions if hash_of(each.viewer) % 3 == worker] for worker in range(3)]
    shuffler = random.Random(5)
    parts = [observe(own) for own in workers]
    interleaved = []
    while any(parts):
        interleaved.append(shuffler.choice([own for own in parts if own]).pop(0))
    many = Accountant(FIGURES)
    together = many.process(batch(interleaved)) + many.idle()

    assert len(standing(alone)) == 4
    for key, result in standing(alone).items():
        assert standing(together)[key].variants == result.variants


def hash_of(viewer: str) -> int:
    return int(viewer.removeprefix("v-"))


def test_the_figures_are_those_of_the_viewers_by_hand() -> None:
    actions = viewing(viewers=200, actions=2_000)
    accountant = Accountant(FIGURES)

    results = standing(accountant.process(batch(observe(actions))) + accountant.idle())

    assigned = Observer(EXPERIMENTS)
    watched: dict[str, int] = {}
    for action in actions:
        watched[action.viewer] = watched.get(action.viewer, 0) + (action.watched_ms or 0)
    arms: dict[str, list[int]] = {"as-today": [], "by-taste": []}
    for viewer, value in watched.items():
        first = ViewerAction(time_ms=0, viewer=viewer, action=Action.SEARCH)
        arms[assigned.step(None, first)[0].exposures["row-order"].variant].append(value)
    for result in results["row-order", "watched_ms"].variants:
        values = np.array(arms[result.variant], dtype=float)
        assert (result.count, result.mean) == (len(values), pytest.approx(values.mean()))
        assert result.variance == pytest.approx(values.var(ddof=1))


def test_where_a_batch_ends_makes_no_difference() -> None:
    parts = observe(viewing(viewers=50, actions=300))
    whole, pieces = Accountant(FIGURES), Accountant(FIGURES)

    at_once = whole.process(batch(parts))
    one_by_one = [emission for each in parts for emission in pieces.process(batch([each]))]

    assert one_by_one == at_once


def test_an_accountant_that_takes_over_a_snapshot_goes_on_with_the_same_results() -> None:
    parts = observe(viewing(viewers=50, actions=300))
    first, second = Accountant(FIGURES), Accountant(FIGURES)
    first.process(batch(parts[:150]))

    second.restore(first.snapshot())

    assert second.process(batch(parts[100:])) == first.process(batch(parts[150:]))
    assert second.idle() == first.idle()


def test_results_are_told_at_most_once_an_interval_of_event_time() -> None:
    parts = observe(viewing(viewers=50, actions=300), FakeView(trial=experiment("trial", metrics=["plays"])))

    results = Accountant(FIGURES).process(batch(parts))

    times = [each.record.time_ms // int(FIGURES.result_interval_s * 1000) for each in results]
    assert len(results) > 10
    assert len(set(times)) == len(times)


def test_an_action_dated_in_the_future_does_not_hold_results_back() -> None:
    trial = FakeView(trial=experiment("trial", metrics=["plays"]))
    future = ViewerAction(time_ms=LATE_MS, viewer="v-0", action=Action.PLAY)
    accountant = Accountant(FIGURES)

    accountant.process(batch(observe([future], trial), time_ms=1_000))
    results = accountant.process(batch(observe(viewing(50, 300), trial), time_ms=300_000))

    assert len(results) > 10


def test_a_part_that_is_none_is_refused_and_the_others_count() -> None:
    given = batch(observe([ViewerAction(time_ms=0, viewer="v-1", action=Action.PLAY)]))
    given.values[0] = b'{"time_ms": 0, "experiment": "row-order"}'

    results = Accountant(FIGURES).process(given)

    assert [(index, "variant" in reason) for index, reason, _ in given.refusals] == [(0, True)]
    assert given.processed == 1
    assert {key.decode() for key in given.keys[1:] if key} == {each.key for each in results}


def test_an_experiment_that_starts_pauses_or_changes_is_followed() -> None:
    experiments = FakeView()
    observer = Observer(experiments)
    play = ViewerAction(time_ms=0, viewer="v-1", action=Action.PLAY)

    state, before = observer.step(None, play)
    experiments["trial"] = experiment("trial")
    state, during = observer.step(state, play)
    experiments["trial"] = experiment("trial", status=ExperimentStatus.PAUSED)
    state, after = observer.step(state, play)

    assert (len(before), len(during), len(after)) == (0, 1, 0)


def test_what_is_wrong_with_experiments_is_told_once() -> None:
    observer = Observer(FakeView(trial=experiment("trial", metrics=["stalls"])))
    play = ViewerAction(time_ms=0, viewer="v-1", action=Action.PLAY)

    with capture_logs() as logs:
        for _ in range(3):
            observer.step(None, play)

    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "metric stalls is not measured" in logs[0]["reason"]
