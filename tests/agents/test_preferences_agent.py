"""The preferences agent without Kafka: its step, and how the cache follows what it publishes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agents.preferences import CachedLists, ListMaker
from config import load
from models.preferences import Taste
from topics import INVALIDATIONS, RECOMMENDATIONS
from topics.catalogue import Title
from topics.emission import Emission
from topics.popularity import TitlePopularity
from topics.recommendations import Invalidation, Recommendation
from topics.viewing import Action, ViewerAction

FIGURES = load({}).settings.preferences


class FakeView(dict):  # type: ignore[type-arg]
    """Records by key, as `agents.ports.View` has them."""


CATALOGUE = FakeView(
    {
        name: Title(time_ms=0, title=name, genres=genres)
        for name, genres in (("fjord", ["crime"]), ("gala", ["comedy"]), ("harbour", ["crime", "drama"]))
    }
)


def act(action: Action, title: str = "fjord", viewer: str = "v-1") -> ViewerAction:
    rating = 5.0 if action is Action.RATE else None
    return ViewerAction(time_ms=7, viewer=viewer, action=action, title=title, rating=rating)


def steps(
    history: Sequence[ViewerAction], catalogue: FakeView = CATALOGUE, popularity: FakeView | None = None
) -> tuple[Taste | None, list[list[Emission]]]:
    maker = ListMaker(catalogue, FakeView() if popularity is None else popularity, FIGURES)
    taste, emitted = None, []
    for action in history:
        taste, emissions = maker.step(taste, action)
        emitted.append(emissions)
    return taste, emitted


def list_of(emissions: Sequence[Emission]) -> Recommendation:
    (record,) = [each.record for each in emissions if each.spec is RECOMMENDATIONS]
    assert isinstance(record, Recommendation)
    return record


def outdated(emissions: Sequence[Emission]) -> list[tuple[str, str]]:
    records = [each.record for each in emissions if each.spec is INVALIDATIONS]
    return [(each.scope.value, each.key) for each in records if isinstance(each, Invalidation)]


@pytest.mark.parametrize("action", Action)
def test_every_action_outdates_list_and_session_and_makes_the_list_anew(action: Action) -> None:
    _, (emissions,) = steps([act(action)])

    assert outdated(emissions)[:2] == [("key", "list:v-1"), ("key", "session:v-1")]
    assert list_of(emissions).viewer == "v-1"
    assert list_of(emissions).time_ms == 7


def test_a_rating_and_an_addition_to_the_list_outdate_the_lists_by_genre_too() -> None:
    taking = {
        action: ("prefix", "list:v-1:genre:") in outdated(steps([act(action)])[1][0]) for action in Action
    }

    assert {action for action, takes in taking.items() if takes} == {Action.RATE, Action.ADD_TO_LIST}


def test_the_list_follows_the_taste_and_leaves_out_what_was_played() -> None:
    history = [act(Action.LIKE)] * 4 + [act(Action.PLAY)]

    _, emitted = steps(history)

    before, after = list_of(emitted[3]), list_of(emitted[4])
    assert [each.title for each in before.titles] == ["fjord", "gala", "harbour"]
    assert [each.title for each in after.titles] == ["harbour", "gala"]
    assert after.titles[0].reason == "because of crime"
    assert after.genres == {"crime": pytest.approx(0.9 * before.genres["crime"] + 0.1 * 0.1)}


def test_what_is_popular_comes_from_all_partitions() -> None:
    popularity = FakeView(
        {
            f"gala/{source}": TitlePopularity(
                time_ms=0, title="gala", source=source, ratings=50, rating_sum=250.0
            )
            for source in (0, 1)
        }
    )

    _, (emissions,) = steps([act(Action.SEARCH, title="")], popularity=popularity)

    assert (list_of(emissions).titles[0].title, list_of(emissions).titles[0].score) == ("gala", 1.0)


def test_a_title_that_comes_into_the_catalogue_is_on_the_next_list() -> None:
    catalogue = FakeView(CATALOGUE)
    maker = ListMaker(catalogue, FakeView(), FIGURES)
    taste, _ = maker.step(None, act(Action.PLAY))

    catalogue["aria"] = Title(time_ms=0, title="aria", genres=["opera"])
    _, emissions = maker.step(taste, act(Action.PLAY))

    assert "aria" in [each.title for each in list_of(emissions).titles]


def test_titles_unknown_or_without_a_genre_and_an_empty_catalogue_make_no_trouble() -> None:
    taste, emitted = steps(
        [act(Action.RATE, title="nowhere"), act(Action.PLAY, title=""), act(Action.STOP, title="")],
        catalogue=FakeView(),
    )

    assert taste is not None
    assert taste.genres == {}
    assert [list_of(each).titles for each in emitted] == [[], [], []]


def test_ids_are_the_same_when_the_same_actions_are_taken_again_and_differ_otherwise() -> None:
    history = [act(Action.PLAY), act(Action.PLAY), act(Action.PLAY, viewer="v-2")]

    ids = [emission.record.id for emissions in steps(history)[1] for emission in emissions]

    assert ids == [emission.record.id for emissions in steps(history)[1] for emission in emissions]
    assert len(set(ids)) == len(ids)


def test_all_that_is_emitted_keeps_its_contract_for_the_longest_names() -> None:
    longest = act(Action.RATE, title="t" * 200, viewer="%" * 200)

    _, (emissions,) = steps([longest])

    for spec, record in emissions:
        assert spec.decode(spec.encode(record)) == record


class Recorder:
    """A cache and a publisher that write down what was asked of them, in order."""

    def __init__(self) -> None:
        self.did: list[tuple[object, ...]] = []
        self.publishes = True

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        self.did.append(("put", key, RECOMMENDATIONS.decode(value).viewer, ttl_s))

    async def get(self, key: str) -> bytes | None:
        raise AssertionError("the agent reads nothing from the cache")

    async def invalidate(self, key: str) -> None:
        self.did.append(("invalidate", key))

    async def invalidate_prefix(self, prefix: str) -> None:
        self.did.append(("invalidate prefix", prefix))

    async def publish(self, emissions: Sequence[Emission]) -> None:
        if not self.publishes:
            raise RuntimeError("the broker is away")
        self.did.append(("publish", len(emissions)))


async def test_outdated_entries_go_before_the_list_is_published_and_the_new_list_comes_after() -> None:
    recorder = Recorder()
    _, (emissions,) = steps([act(Action.RATE)])

    await CachedLists(recorder, recorder.publish, ttl_s=1800)(emissions)

    assert sorted(map(str, recorder.did[:3])) == [
        "('invalidate prefix', 'list:v-1:genre:')",
        "('invalidate', 'list:v-1')",
        "('invalidate', 'session:v-1')",
    ]
    assert recorder.did[3:] == [("publish", 4), ("put", "list:v-1", "v-1", 1800)]


async def test_a_list_that_could_not_be_published_does_not_enter_the_cache() -> None:
    recorder = Recorder()
    recorder.publishes = False
    _, (emissions,) = steps([act(Action.PLAY)])

    with pytest.raises(RuntimeError, match="away"):
        await CachedLists(recorder, recorder.publish, ttl_s=1800)(emissions)

    assert {each[0] for each in recorder.did} == {"invalidate"}
