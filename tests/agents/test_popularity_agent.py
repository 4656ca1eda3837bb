"""The popularity agent without Kafka."""

from __future__ import annotations

from collections.abc import Sequence

from fake_batch import FakeBatch

from agents.popularity import PopularityTeller
from config import load
from topics import POPULARITY, VIEWING
from topics.emission import Emission
from topics.popularity import TitlePopularity
from topics.viewing import Action, ViewerAction

FIGURES = load({"PLAYHEAD_PREFERENCES__POPULARITY_INTERVAL_S": "1"}).settings.preferences
LATE_MS = 4_000_000_000_000


def play(title: str, time_ms: int) -> ViewerAction:
    return ViewerAction(time_ms=time_ms, viewer="v", action=Action.PLAY, title=title)


def batch(actions: Sequence[ViewerAction], time_ms: int = LATE_MS) -> FakeBatch:
    records = [(b"v", VIEWING.encode(action), time_ms, False) for action in actions]
    return FakeBatch(VIEWING.name, 2, records)


def told(emissions: Sequence[Emission]) -> list[tuple[str, int, int]]:
    assert {emission.spec for emission in emissions} <= {POPULARITY}
    records = [each.record for each in emissions if isinstance(each.record, TitlePopularity)]
    return [(each.title, each.source, each.plays) for each in records]


def test_titles_that_changed_are_told_once_an_interval_of_event_time() -> None:
    teller = PopularityTeller(2, FIGURES)

    first = teller.process(batch([play("fjord", 100)]))
    quiet = teller.process(batch([play("fjord", 200), play("gala", 900)]))
    then = teller.process(batch([play("gala", 1_000), play("gala", 1_001)]))

    assert told(first) == [("fjord", 2, 1)]
    assert told(quiet) == []
    assert told(then) == [("fjord", 2, 2), ("gala", 2, 2)]


def test_what_is_left_is_told_when_the_partition_falls_idle() -> None:
    teller = PopularityTeller(2, FIGURES)
    teller.process(batch([play("fjord", 100), play("gala", 200)]))

    assert told(teller.idle()) == [("gala", 2, 1)]
    assert told(teller.idle()) == []


def test_where_a_batch_ends_makes_no_difference() -> None:
    actions = [play(f"title-{number % 7}", number * 150) for number in range(100)]
    whole, pieces = PopularityTeller(2, FIGURES), PopularityTeller(2, FIGURES)

    one_by_one = [emission for each in actions for emission in pieces.process(batch([each]))]

    assert one_by_one == whole.process(batch(actions))


def test_a_teller_that_takes_over_a_snapshot_goes_on_with_the_same_words() -> None:
    actions = [play(f"title-{number % 7}", number * 150) for number in range(100)]
    first, second = PopularityTeller(2, FIGURES), PopularityTeller(2, FIGURES)
    first.process(batch(actions[:41]))

    second.restore(first.snapshot())

    assert second.process(batch(actions[41:])) == first.process(batch(actions[41:]))
    assert second.idle() == first.idle()


def test_an_action_dated_in_the_future_does_not_hold_word_back() -> None:
    teller = PopularityTeller(2, FIGURES)
    teller.process(batch([play("fjord", LATE_MS)], time_ms=5_000))

    assert told(teller.process(batch([play("gala", 6_500)]))) == [("gala", 2, 1)]


def test_what_is_no_action_is_refused_and_the_others_count() -> None:
    given = batch([play("fjord", 100), play("gala", 100)])
    given.values[0] = b'{"time_ms": 100, "viewer": "", "action": "play"}'

    assert told(PopularityTeller(2, FIGURES).process(given)) == [("gala", 2, 1)]
    assert [(index, "viewer" in reason) for index, reason, _ in given.refusals] == [(0, True)]
    assert given.processed == 1
