"""Popularity: what ratings are worth, and counting them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.popularity import PopularityTallies, Tally, bayesian_average
from topics.viewing import Action, ViewerAction


def act(action: Action, title: str, rating: float | None = None, name: str = "") -> ViewerAction:
    return ViewerAction(time_ms=0, id=name, viewer="v", action=action, title=title, rating=rating)


@given(st.integers(0, 300), st.floats(0, 5))
def test_the_average_lies_between_the_prior_and_the_mean(ratings: int, mean: float) -> None:
    average = bayesian_average(ratings, ratings * mean, prior=3.0, full_confidence=100)

    assert min(3.0, mean) - 1e-9 <= average <= max(3.0, mean) + 1e-9


@given(st.integers(1, 100), st.floats(3.1, 5))
def test_the_same_mean_is_worth_more_from_more_ratings(ratings: int, mean: float) -> None:
    few = bayesian_average(ratings - 1, (ratings - 1) * mean, prior=3.0, full_confidence=100)
    more = bayesian_average(ratings, ratings * mean, prior=3.0, full_confidence=100)

    assert more > few


def test_from_100_ratings_the_mean_speaks_for_itself() -> None:
    assert bayesian_average(100, 450.0, prior=3.0, full_confidence=100) == 4.5
    assert bayesian_average(99, 445.5, prior=3.0, full_confidence=100) < 4.5


def test_plays_and_ratings_are_counted_and_nothing_else() -> None:
    tallies = PopularityTallies(100)
    for action in Action:
        tallies.learn_one(act(action, "fjord", rating=4.0))
    tallies.learn_one(act(Action.RATE, "fjord"))
    tallies.learn_one(act(Action.PLAY, ""))

    assert tallies.take_changed() == [("fjord", Tally(ratings=1, rating_sum=4.0, plays=1))]


def test_only_what_changed_is_told() -> None:
    tallies = PopularityTallies(100)
    tallies.learn_one(act(Action.PLAY, "fjord"))
    tallies.learn_one(act(Action.PLAY, "gala"))
    tallies.take_changed()

    tallies.learn_one(act(Action.RATE, "gala", 5.0))

    assert tallies.take_changed() == [("gala", Tally(ratings=1, rating_sum=5.0, plays=1))]


def test_an_action_told_twice_counts_once_also_after_a_restart() -> None:
    tallies = PopularityTallies(100)
    tallies.learn_one(act(Action.PLAY, "fjord", name="one"))
    tallies.learn_one(act(Action.PLAY, "fjord", name="one"))

    restored = PopularityTallies(100)
    restored.restore(tallies.snapshot())
    restored.learn_one(act(Action.PLAY, "fjord", name="one"))
    restored.learn_one(act(Action.PLAY, "fjord", name="two"))

    assert restored.take_changed() == [("fjord", Tally(plays=2))]


def test_a_snapshot_knows_the_sums_and_what_is_still_to_be_told() -> None:
    tallies = PopularityTallies(100)
    tallies.learn_one(act(Action.PLAY, "fjord"))
    tallies.take_changed()
    tallies.learn_one(act(Action.PLAY, "gala"))

    restored = PopularityTallies(100)
    restored.restore(tallies.snapshot())
    restored.learn_one(act(Action.PLAY, "fjord"))

    assert restored.take_changed() == [("gala", Tally(plays=1)), ("fjord", Tally(plays=2))]
