from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st
from sent_records import message
from steady import steady

from playhead.packing import PACKED_HEADERS
from playhead.subscribe import HELD_BACK, Seen, look, subscribe
from playhead.where import Condition, parse
from topics import PLAYBACK, TELEMETRY
from topics.playback import Beat, Beats, PlayerState
from topics.telemetry import Sample

SPECS = {"telemetry": TELEMETRY, "playback": PLAYBACK}
GOOD = b'{"time_ms":1,"service":"s","metric":"m","value":1}'


class HandedTail:
    """Hands over messages in the order given, some at a time; keeps the promises of `Tail`."""

    def __init__(self, messages: list[Message], at_a_time: int = 7) -> None:
        self._messages = messages
        self._at_a_time = at_a_time
        self.places = tuple({(each.topic(), each.partition()): None for each in messages})
        self.paused: set[Any] = set()
        self.ever_paused: set[Any] = set()

    @property
    def unread(self) -> frozenset[Any]:
        return frozenset((each.topic(), each.partition()) for each in self._messages)

    def read(self, most: int, wait_s: float) -> list[Message]:
        free = [each for each in self._messages if (each.topic(), each.partition()) not in self.paused]
        taken = free[: min(self._at_a_time, most)]
        gone = set(map(id, taken))
        self._messages = [each for each in self._messages if id(each) not in gone]
        return taken

    def pause(self, place: Any) -> None:
        self.paused.add(place)
        self.ever_paused.add(place)

    def resume(self, place: Any) -> None:
        self.paused.discard(place)


def everything(tail: Any) -> list[Seen]:
    return [seen for batch in subscribe(tail, SPECS, follow=False) for seen in batch]


def order(seen: Seen) -> tuple[int, str, int, int]:
    return seen.broker_time_ms, seen.spec.name, seen.partition, seen.offset


@steady
@given(
    st.lists(st.tuples(st.sampled_from(sorted(SPECS)), st.integers(0, 3), st.integers(0, 5)), max_size=60),
    st.randoms(use_true_random=False),
    st.integers(1, 20),
)
def test_what_is_there_comes_in_one_order_of_time(
    steps: list[tuple[str, int, int]], chance: random.Random, at_a_time: int
) -> None:
    by_place: dict[Any, list[Message]] = defaultdict(list)
    for topic, partition, step_ms in steps:
        queue = by_place[topic, partition]
        before_ms = queue[-1].timestamp()[1] if queue else 0
        queue.append(message(topic, partition, len(queue), time_ms=before_ms + step_ms, value=GOOD))
    queues = [list(queue) for queue in by_place.values()]
    shuffled = []
    while queues := [queue for queue in queues if queue]:
        shuffled.append(chance.choice(queues).pop(0))

    seen = everything(HandedTail(shuffled, at_a_time))

    assert len(seen) == len(steps)
    assert [order(each) for each in seen] == sorted(order(each) for each in seen)


def test_a_partition_far_ahead_is_held_back_until_the_others_catch_up() -> None:
    ahead = [message("telemetry", 0, at, time_ms=at, value=GOOD) for at in range(HELD_BACK + 5_000)]
    late = [message("telemetry", 1, 0, time_ms=3, value=GOOD)]
    tail = HandedTail(ahead + late, at_a_time=5_000)

    seen = everything(tail)

    assert tail.ever_paused == {("telemetry", 0)}
    assert len(seen) == len(ahead) + 1
    assert seen[4].partition == 1


def test_a_record_is_read_by_its_contract() -> None:
    [seen] = look(TELEMETRY, message("telemetry", 1, 7, time_ms=9, key=b"s/m", value=GOOD))

    assert seen.record == Sample(time_ms=1, service="s", metric="m", value=1)
    assert seen.as_json() == {
        "topic": "telemetry",
        "partition": 1,
        "offset": 7,
        "broker_time_ms": 9,
        "key": "s/m",
        "record": {"time_ms": 1, "id": "", "service": "s", "metric": "m", "value": 1.0, "tags": {}},
    }


def test_a_packed_record_is_seen_as_its_events() -> None:
    beats = [Beat(time_ms=at, session_id="s", state=PlayerState.PLAYING) for at in range(3)]
    value = PLAYBACK.packed is not None and PLAYBACK.encode(Beats(beats=beats))

    seen = list(look(PLAYBACK, message("playback", 0, 0, value=value, headers=PACKED_HEADERS)))

    assert [each.record for each in seen] == beats
    assert [each.packed_index for each in seen] == [0, 1, 2]


def test_what_cannot_be_read_says_why_and_is_never_chosen() -> None:
    [seen] = look(TELEMETRY, message("telemetry", 0, 0, value=b"\xff\xfe"))

    assert seen.problem
    assert "problem" in seen.as_json()
    assert seen.chosen_by(None)
    assert not seen.chosen_by(Condition(parse("value==null")))


def test_a_tombstone_is_seen_as_no_record() -> None:
    [seen] = look(TELEMETRY, message("telemetry", 0, 0, key=b"k", value=None))

    assert seen.as_json()["record"] is None
    assert seen.problem == ""


def test_records_are_chosen_by_fields_and_place() -> None:
    [seen] = look(TELEMETRY, message("telemetry", 3, 7, key=b"s/m", value=GOOD))

    assert seen.chosen_by(Condition(parse("value==1 and $partition==3 and $key==s/m")))
    assert not seen.chosen_by(Condition(parse("$offset>7")))
