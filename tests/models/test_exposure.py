"""Who is exposed to which experiment, and what each action changes from then on."""

from __future__ import annotations

import msgspec
import pytest

from models.exposure import METRICS, Exposure, Participation, Roster
from topics.experiments import Experiment, ExperimentPart, ExperimentStatus, MetricChange, Variant
from topics.viewing import Action, ViewerAction


def experiment(name: str = "trial", **changed: object) -> Experiment:
    given: dict[str, object] = {
        "time_ms": 0,
        "experiment": name,
        "traffic": 1.0,
        "control": "a",
        "variants": [Variant(name="a", share=0.5), Variant(name="b", share=0.5)],
        "metrics": ["plays", "watched_ms"],
        "status": ExperimentStatus.ACTIVE,
    }
    return msgspec.convert(msgspec.to_builtins(given | changed), Experiment)


def roster(*experiments: Experiment) -> Roster:
    return Roster({each.experiment: each for each in experiments})


def act(action: Action, viewer: str = "v-1", watched_ms: int | None = None) -> ViewerAction:
    return ViewerAction(time_ms=5, viewer=viewer, action=action, watched_ms=watched_ms)


def take(
    history: list[ViewerAction], using: Roster, before: Participation | None = None
) -> tuple[Participation | None, list[ExperimentPart]]:
    parts = []
    for action in history:
        before, new = using.take(before, action)
        parts += new
    return before, parts


def test_the_first_action_exposes_and_counts_in_every_metric() -> None:
    _, (part,) = take([act(Action.PLAY)], roster(experiment()))

    assert part.changes == [
        MetricChange(metric="plays", before=None, after=1),
        MetricChange(metric="watched_ms", before=None, after=0),
    ]
    assert (part.experiment, part.control, part.minimum_sample, part.time_ms) == ("trial", "a", 1000, 5)
    assert part.variant in ("a", "b")


def test_later_actions_tell_only_what_they_change() -> None:
    history = [act(Action.PLAY), act(Action.LIKE), act(Action.STOP, watched_ms=700), act(Action.PLAY)]

    _, parts = take(history, roster(experiment()))

    assert [part.changes for part in parts[1:]] == [
        [MetricChange(metric="watched_ms", before=0, after=700)],
        [MetricChange(metric="plays", before=1, after=2)],
    ]


@pytest.mark.parametrize(
    ("metric", "action"),
    [
        ("plays", Action.PLAY),
        ("completions", Action.COMPLETE),
        ("likes", Action.LIKE),
        ("ratings", Action.RATE),
        ("shares", Action.SHARE),
        ("searches", Action.SEARCH),
        ("list_additions", Action.ADD_TO_LIST),
    ],
)
def test_a_metric_counts_its_own_action_and_no_other(metric: str, action: Action) -> None:
    counted = {each: METRICS[metric](act(each)) for each in Action}

    assert counted == {each: int(each is action) for each in Action}


def test_a_viewer_whom_no_experiment_admits_changes_nothing() -> None:
    participation, parts = take([act(Action.PLAY)], roster(experiment(traffic=0.0)))

    assert parts == []
    assert participation == Participation({}, 1)


def test_ids_are_the_same_when_the_same_actions_are_taken_again() -> None:
    history = [act(Action.PLAY), act(Action.PLAY)]

    _, once = take(history, roster(experiment()))
    _, again = take(history, roster(experiment()))

    assert [part.id for part in once] == [part.id for part in again]
    assert len({part.id for part in once}) == 2


def test_a_viewer_keeps_the_variant_of_the_exposure_when_shares_change() -> None:
    exposed, (first,) = take([act(Action.PLAY)], roster(experiment()))
    other = "b" if first.variant == "a" else "a"
    turned = [{"name": first.variant, "share": 0.0}, {"name": other, "share": 1.0}]

    _, (later,) = take([act(Action.PLAY)], roster(experiment(variants=turned)), exposed)

    assert later.variant == first.variant


def test_a_viewer_of_one_experiment_never_enters_another_of_its_layer() -> None:
    exposed, _ = take([act(Action.PLAY)], roster(experiment("z", layer="page")))

    both = roster(experiment("a", layer="page"), experiment("z", layer="page"))
    after, parts = take([act(Action.PLAY)], both, exposed)

    assert after is not None
    assert set(after.exposures) == {"z"}
    assert [part.experiment for part in parts] == ["z"]


def test_a_paused_experiment_exposes_and_counts_nothing_and_goes_on_where_it_was() -> None:
    exposed, (first,) = take([act(Action.PLAY)], roster(experiment()))

    paused = roster(experiment(status="paused"))
    held, none = take([act(Action.PLAY)], paused, exposed)
    newcomer, nobody = take([act(Action.PLAY, viewer="v-2")], paused)
    _, (later,) = take([act(Action.PLAY)], roster(experiment()), held)

    assert none == nobody == []
    assert newcomer == Participation({}, 1)
    assert later.changes == [MetricChange(metric="plays", before=1, after=2)]
    assert later.variant == first.variant


@pytest.mark.parametrize("left", [[], [experiment(status="completed")]], ids=["deleted", "completed"])
def test_what_a_viewer_did_in_an_experiment_that_is_over_is_forgotten(left: list[Experiment]) -> None:
    exposed, _ = take([act(Action.PLAY)], roster(experiment()))

    after, parts = take([act(Action.PLAY)], roster(*left), exposed)

    assert (after, parts) == (Participation({}, 2), [])


def test_a_metric_that_comes_later_counts_from_then_on() -> None:
    exposed, _ = take([act(Action.PLAY)], roster(experiment(metrics=["plays"])))

    _, (part,) = take([act(Action.LIKE)], roster(experiment(metrics=["plays", "likes"])), exposed)

    assert part.changes == [MetricChange(metric="likes", before=None, after=1)]


def test_a_metric_that_nobody_measures_is_told_of_and_passed_over() -> None:
    with_it = roster(experiment(metrics=["plays", "stalls"]))

    _, (part,) = take([act(Action.PLAY)], with_it)

    assert [change.metric for change in part.changes] == ["plays"]
    (trouble,) = with_it.troubles()
    assert trouble.startswith("experiment trial: metric stalls is not measured; there are plays, completions")


def test_experiments_that_want_the_same_viewers_are_told_of() -> None:
    (trouble,) = roster(
        experiment("a", layer="page", traffic=0.5), experiment("b", layer="page", traffic=0.25)
    ).troubles()

    assert trouble == (
        "experiments a and b of layer page both want 25.0% of the viewers: a has them; "
        "change layer_start of one"
    )


def test_taking_an_action_leaves_the_state_before_it_as_it_was() -> None:
    before = Participation({"trial": Exposure("a", {"plays": 1, "watched_ms": 0})}, 1)
    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=Participation)

    roster(experiment()).take(before, act(Action.PLAY))

    assert before == copy
