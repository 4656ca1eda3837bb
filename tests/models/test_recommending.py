"""Lists: what matches the viewer's genres and what is popular, without what was seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.preferences import Taste
from models.recommending import Recommender
from topics.catalogue import Title
from topics.popularity import TitlePopularity
from topics.recommendations import Suggestion

CATALOGUE = [
    ("fjord", ["crime", "drama"]),
    ("gala", ["comedy"]),
    ("harbour", ["drama"]),
    ("static", []),
    ("wire", ["crime"]),
]


def title(name: str, genres: list[str]) -> Title:
    return Title(time_ms=0, title=name, genres=genres)


def popularity(name: str, ratings: int, mean: float, plays: int = 0, source: int = 0) -> TitlePopularity:
    return TitlePopularity(
        time_ms=0, title=name, source=source, ratings=ratings, rating_sum=ratings * mean, plays=plays
    )


def recommender(*heard: TitlePopularity, list_length: int = 20) -> Recommender:
    made = Recommender(
        0.7,
        0.3,
        prior_rating=3.0,
        full_confidence_ratings=100,
        new_viewer_actions=5,
        list_length=list_length,
    )
    made.stock([title(name, genres) for name, genres in CATALOGUE], heard)
    return made


def names(suggestions: list[Suggestion]) -> list[str]:
    return [each.title for each in suggestions]


def test_a_new_viewer_gets_what_is_popular() -> None:
    heard = (popularity("static", 100, 5.0), popularity("gala", 100, 4.0), popularity("wire", 100, 1.0))
    new = Taste(genres={"crime": 0.5}, told=4)

    suggestions = recommender(*heard).recommend(new)

    assert names(suggestions) == ["static", "gala", "fjord", "harbour", "wire"]
    assert {each.reason for each in suggestions} == {"popular"}
    assert suggestions[0].score == 1.0


def test_from_the_fifth_action_on_taste_leads() -> None:
    heard = (popularity("static", 100, 5.0),)
    known = Taste(genres={"crime": 0.5}, told=5)

    suggestions = recommender(*heard).recommend(known)

    assert names(suggestions) == ["wire", "fjord", "static", "gala", "harbour"]
    assert [each.reason for each in suggestions[:3]] == ["because of crime", "because of crime", "popular"]


def test_the_score_is_seven_parts_genres_and_three_parts_popularity() -> None:
    known = Taste(genres={"crime": 0.3}, told=9)

    scores = {each.title: each.score for each in recommender(popularity("wire", 100, 4.0)).recommend(known)}

    assert scores["wire"] == pytest.approx(0.7 * 1 + 0.3 * 4 / 5, abs=1e-6)
    assert scores["fjord"] == pytest.approx(0.7 * 0.5**0.5 + 0.3 * 3 / 5, abs=1e-6)
    assert scores["static"] == pytest.approx(0.3 * 3 / 5, abs=1e-6)


def test_popularity_is_summed_over_the_partitions_that_tell_it() -> None:
    halves = (popularity("gala", 50, 5.0, source=0), popularity("gala", 50, 3.0, source=3))

    first = recommender(*halves).recommend(Taste())[0]

    assert (first.title, first.score) == ("gala", 0.8)


def test_equals_are_ordered_by_plays_and_then_by_name() -> None:
    suggestions = recommender(popularity("wire", 0, 0.0, plays=9)).recommend(Taste())

    assert names(suggestions) == ["wire", "fjord", "gala", "harbour", "static"]


def test_preferences_for_genres_that_the_catalogue_does_not_have_lead_to_what_is_popular() -> None:
    suggestions = recommender(popularity("gala", 100, 5.0)).recommend(Taste(genres={"opera": 0.6}, told=50))

    assert names(suggestions)[0] == "gala"
    assert {each.reason for each in suggestions} == {"popular"}


def test_an_empty_catalogue_makes_an_empty_list() -> None:
    made = recommender()
    made.stock([], [popularity("fjord", 3, 5.0)])

    assert made.recommend(Taste(genres={"crime": 0.5}, seen=["fjord"], told=9)) == []


def test_a_viewer_who_has_seen_everything_gets_an_empty_list() -> None:
    assert recommender().recommend(Taste(seen=[name for name, _ in CATALOGUE])) == []


def test_genres_of_an_unknown_title_are_none() -> None:
    assert recommender().genres_of("nowhere") == []
    assert recommender().genres_of("fjord") == ["crime", "drama"]


def test_a_title_that_changes_or_comes_is_followed() -> None:
    made = recommender()
    known = Taste(genres={"opera": 0.6}, told=9)
    assert names(made.recommend(known))[0] == "fjord"

    made.stock([title("aria", ["opera"]), title("gala", ["comedy", "opera"])], [])

    assert names(made.recommend(known)) == ["aria", "gala"]


@given(
    st.dictionaries(st.sampled_from(["crime", "drama", "comedy", "opera"]), st.floats(0, 0.6)),
    st.lists(st.sampled_from([name for name, _ in CATALOGUE] + ["elsewhere"])),
    st.integers(0, 30),
    st.integers(1, 6),
)
def test_lists_are_ordered_bounded_and_never_hold_what_was_seen(
    genres: dict[str, float], seen: list[str], told: int, length: int
) -> None:
    suggestions = recommender(list_length=length).recommend(Taste(genres=genres, seen=seen, told=told))

    assert not set(names(suggestions)) & set(seen)
    assert len(suggestions) == min(length, len({name for name, _ in CATALOGUE} - set(seen)))
    assert [each.score for each in suggestions] == sorted((each.score for each in suggestions), reverse=True)
    assert all(0 <= each.score <= 1 for each in suggestions)


@given(st.permutations(CATALOGUE))
def test_lists_do_not_depend_on_the_order_of_the_catalogue(shuffled: list[tuple[str, list[str]]]) -> None:
    known = Taste(genres={"crime": 0.2, "drama": 0.2}, told=9)
    other = recommender()
    other.stock([title(name, genres[::-1]) for name, genres in shuffled], [])

    assert names(other.recommend(known)) == names(recommender().recommend(known))


def test_a_long_reason_still_fits_its_contract() -> None:
    made = recommender()
    made.stock([title("long", ["g" * 200, "h" * 200])], [])

    (only,) = made.recommend(Taste(genres={"g" * 200: 0.5, "h" * 200: 0.5}, told=9))

    assert len(only.reason) == 200
