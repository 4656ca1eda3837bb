"""Taste: a bounded moving average of what actions tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.preferences import SEEN, PreferenceModel, Taste
from topics.viewing import Action, ViewerAction

WEIGHTS = {
    Action.PLAY: 0.1,
    Action.LIKE: 0.3,
    Action.RATE: 0.5,
    Action.SHARE: 0.4,
    Action.ADD_TO_LIST: 0.6,
}
GENRES = ["crime", "drama", "comedy", "news"]
TITLES = [f"title-{number}" for number in range(8)]

actions = st.builds(
    ViewerAction,
    time_ms=st.just(0),
    viewer=st.just("v"),
    action=st.sampled_from(Action),
    title=st.sampled_from(["", *TITLES]),
    rating=st.none() | st.floats(0, 5),
)
histories = st.lists(st.tuples(actions, st.lists(st.sampled_from(GENRES), max_size=3)), max_size=30)


def model(remembered_titles: int = 500, remembered_genres: int = 50) -> PreferenceModel:
    return PreferenceModel(WEIGHTS, 0.9, remembered_titles, remembered_genres)


def act(action: Action, title: str = "fjord", rating: float | None = None) -> ViewerAction:
    return ViewerAction(time_ms=0, viewer="v", action=action, title=title, rating=rating)


def learn(history: list[tuple[ViewerAction, list[str]]], using: PreferenceModel) -> Taste:
    taste = Taste()
    for action, genres in history:
        taste = using.after(taste, action, genres)
    return taste


@pytest.mark.parametrize(("action", "weight"), WEIGHTS.items())
def test_the_first_action_moves_a_genre_by_a_tenth_of_its_weight(action: Action, weight: float) -> None:
    taste = model().after(Taste(), act(action, rating=5.0), ["drama"])

    assert taste.genres == pytest.approx({"drama": 0.1 * weight})


def test_preferences_are_a_moving_average_over_actions() -> None:
    liked = model().after(Taste(genres={"drama": 0.2, "news": 0.5}), act(Action.LIKE), ["drama"])

    assert liked.genres == pytest.approx({"news": 0.9 * 0.5, "drama": 0.9 * 0.2 + 0.1 * 0.3})


def test_a_rating_tells_as_much_as_it_is_good() -> None:
    good = model().after(Taste(), act(Action.RATE, rating=5.0), ["drama"])
    poor = model().after(Taste(), act(Action.RATE, rating=1.0), ["drama"])

    assert good.genres["drama"] == pytest.approx(5 * poor.genres["drama"])


@pytest.mark.parametrize(
    "action",
    [act(Action.SEARCH, title=""), act(Action.RATE), act(Action.STOP), act(Action.LIKE, title="")],
    ids=["search", "rating without a value", "stop", "like of nothing"],
)
def test_what_tells_nothing_of_taste_leaves_it_alone(action: ViewerAction) -> None:
    before = Taste(genres={"drama": 0.2}, told=3)

    after = model().after(before, action, ["comedy"])

    assert (after.genres, after.told) == (before.genres, before.told)
    assert after.taken == before.taken + 1


def test_a_title_of_no_known_genre_leaves_preferences_alone() -> None:
    before = Taste(genres={"drama": 0.2})

    assert model().after(before, act(Action.LIKE), []).genres == before.genres


@given(histories)
def test_preferences_lie_between_0_and_the_largest_weight(
    history: list[tuple[ViewerAction, list[str]]],
) -> None:
    taste = learn(history, model())

    assert all(0 <= value <= max(WEIGHTS.values()) for value in taste.genres.values())


@given(histories, st.sampled_from([*WEIGHTS]), st.sampled_from(GENRES))
def test_an_action_never_makes_its_genre_weaker_beside_the_others(
    history: list[tuple[ViewerAction, list[str]]], kind: Action, genre: str
) -> None:
    before = learn(history, model())
    after = model().after(before, act(kind, rating=3.0), [genre])

    def share(taste: Taste) -> float:
        return taste.genres.get(genre, 0.0) / (sum(taste.genres.values()) or 1.0)

    assert share(after) >= share(before) - 1e-9


@given(histories)
def test_the_titles_seen_are_remembered_latest_last(history: list[tuple[ViewerAction, list[str]]]) -> None:
    seen = [action.title for action, _ in history if action.action in SEEN and action.title]
    latest = list(dict.fromkeys(reversed(seen)))[::-1]

    assert learn(history, model()).seen == latest
    assert learn(history, model(remembered_titles=3)).seen == latest[-3:]


@given(histories)
def test_memory_is_bounded_and_keeps_the_strongest_genres(
    history: list[tuple[ViewerAction, list[str]]],
) -> None:
    taste = learn(history, model(remembered_genres=2))

    assert len(taste.genres) <= 2


def test_the_weakest_genre_makes_room() -> None:
    before = Taste(genres={"drama": 0.3, "news": 0.001})

    after = model(remembered_genres=2).after(before, act(Action.LIKE), ["comedy"])

    assert set(after.genres) == {"drama", "comedy"}


@given(histories)
def test_the_state_of_a_viewer_is_not_changed_by_learning(
    history: list[tuple[ViewerAction, list[str]]],
) -> None:
    before = Taste(genres={"drama": 0.2}, seen=["title-0"], told=1, taken=1)

    for action, genres in history:
        model().after(before, action, genres)

    assert before == Taste(genres={"drama": 0.2}, seen=["title-0"], told=1, taken=1)
