"""Snapshots of a lane on a real Kafka: what was written is read back, and what is gone is said to be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from topic_tools import TopicTools

from playhead.engine import snapshots
from playhead.engine.snapshots import (
    CHUNK_BYTES,
    Pointer,
    SnapshotError,
    SnapshotLostError,
    SnapshotStore,
    decode_pointer,
    encode_pointer,
)
from playhead.publisher import Publisher
from topics import LANE_STATE


@pytest.fixture
def topics(kafka: Any, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(LANE_STATE)
    return tools


@pytest.fixture
def publisher(topics: TopicTools) -> Iterator[Publisher]:
    publisher = Publisher(topics.client, topics.prefix)
    yield publisher
    publisher.close()


@pytest.fixture
def store(topics: TopicTools) -> SnapshotStore:
    return SnapshotStore(topics.client, topics.prefix, "sums")


def random_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 7_654_321])
def test_what_was_written_is_read_back(store: SnapshotStore, publisher: Publisher, size: int) -> None:
    data = random_bytes(size)

    pointer = store.write(publisher, "numbers", 3, 1_000, 0, data)

    assert pointer.chunks == -(-size // CHUNK_BYTES)
    assert store.read("numbers", 3, 1_000, pointer) == data


def test_each_pointer_finds_its_own_among_many(
    topics: TopicTools, store: SnapshotStore, publisher: Publisher
) -> None:
    other = SnapshotStore(topics.client, topics.prefix, "other")
    written = {}
    for partition in range(3):
        for turn in range(3):
            data = random_bytes(CHUNK_BYTES + 100 * partition + turn)
            place = ("numbers", partition, 10 * turn)
            written[place] = store.write(publisher, *place, turn % 2, data), data
            other.write(publisher, *place, turn % 2, b"somebody else's")

    for place, (pointer, data) in written.items():
        assert store.read(*place, pointer) == data


@pytest.mark.parametrize(
    ("next_offset", "pointer"),
    [
        (1_001, Pointer(0, 2, 0)),
        (1_000, Pointer(0, 2, 1)),
        (1_000, Pointer(0, 3, 0)),
        (1_000, Pointer(1, 2, 0)),
    ],
    ids=["another offset", "another parity", "more chunks than there are", "the first chunk is gone"],
)
def test_a_snapshot_that_is_not_whole_is_lost(
    store: SnapshotStore, publisher: Publisher, next_offset: int, pointer: Pointer
) -> None:
    store.write(publisher, "numbers", 3, 1_000, 0, random_bytes(CHUNK_BYTES + 1))

    with pytest.raises(SnapshotLostError, match=r"numbers\[3\]@\d+ is gone: .*lane.state has \d of its \d"):
        store.read("numbers", 3, next_offset, pointer)


def test_records_of_others_are_passed_over(
    topics: TopicTools, store: SnapshotStore, publisher: Publisher
) -> None:
    topics.send(LANE_STATE, [b"no chunk"], key=b"k")
    pointer = store.write(publisher, "numbers", 3, 1_000, 0, b"data")

    assert store.read("numbers", 3, 1_000, Pointer(0, pointer.chunks, pointer.parity)) == b"data"


def test_no_answer_is_not_taken_for_a_loss(topics: TopicTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "READ_TIMEOUT_S", 0.5)
    nowhere = SnapshotStore(topics.client, f"{topics.prefix}nowhere.", "sums")

    with pytest.raises(SnapshotError, match="has not sent") as caught:
        nowhere.read("numbers", 0, 0, Pointer(0, 1, 0))

    assert not isinstance(caught.value, SnapshotLostError)


def test_what_the_broker_does_not_take_is_not_pointed_to(
    topics: TopicTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "FLUSH_TIMEOUT_S", 0.5)
    nowhere = f"{topics.prefix}nowhere."
    publisher = Publisher(topics.client, nowhere)

    with pytest.raises(SnapshotError, match="took 0 of 1 chunks"):
        SnapshotStore(topics.client, nowhere, "sums").write(publisher, "numbers", 0, 0, 0, b"data")
    publisher.close(0)


@pytest.mark.parametrize("pointer", [None, Pointer(0, 1, 0), Pointer(2**40, 1_000, 1)])
def test_pointers_survive_the_metadata_of_a_commit(pointer: Pointer | None) -> None:
    assert decode_pointer(encode_pointer(pointer)) == pointer


def test_metadata_of_somebody_else_points_to_nothing() -> None:
    with pytest.raises(SnapshotLostError, match="'a note' points to no snapshot"):
        decode_pointer("a note")
