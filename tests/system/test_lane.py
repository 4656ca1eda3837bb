"""Lanes on a real Kafka: each record once and in order, whatever ends, leaves or fails on the way."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from typing import Any

import pytest
import sums
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from eventually import eventually_async
from sums import BAD, IDLE, NUMBERS, PARTITIONS, TOTALS, Number, Sums, Total, running_sums, sums_lane
from topic_tools import TopicTools

from agents import metrics
from playhead.engine.lane import Lane
from playhead.engine.snapshots import Pointer, SnapshotError, encode_pointer
from topics import DEAD_LETTERS, LANE_STATE

GROUP = "playhead.sums"


@pytest.fixture
def topics(kafka: Any, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(NUMBERS, TOTALS, DEAD_LETTERS, LANE_STATE)
    return tools


@asynccontextmanager
async def running(lane: Lane) -> AsyncIterator[Lane]:
    await lane.start()
    try:
        yield lane
    finally:
        await lane.stop()


@contextmanager
def running_apart(topics: TopicTools) -> Iterator[subprocess.Popen[bytes]]:
    """A lane in a process of its own."""
    brokers = topics.client["bootstrap.servers"]
    process = subprocess.Popen([sys.executable, sums.__file__, brokers, topics.prefix])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def numbers(count: int, first: int = 0, names: int = 12) -> list[Number]:
    return [
        Number(id=str(number), time_ms=number, name=f"n{number % names}", value=number + 1)
        for number in range(first, first + count)
    ]


def totals(topics: TopicTools) -> list[Total]:
    return [total for total in topics.read(TOTALS) if total.name != IDLE]


def told(topics: TopicTools) -> Counter[tuple[str, int]]:
    """What was told, where the same thing told twice with the same id counts once."""
    return Counter({total.id: (total.name, total.total) for total in totals(topics)}.values())


def idles(topics: TopicTools) -> set[tuple[int, int]]:
    """Partition and records taken, where idleness was told; it is told again and again."""
    return {(total.offset, total.total) for total in topics.read(TOTALS) if total.name == IDLE}


def committed(topics: TopicTools) -> int:
    """How many records the group has behind it."""
    consumer = Consumer(topics.client | {"group.id": topics.prefix + GROUP})
    places = [TopicPartition(NUMBERS.full_name(topics.prefix), number) for number in range(PARTITIONS)]
    try:
        return sum(max(place.offset, 0) for place in consumer.committed(places, 10))
    finally:
        consumer.close()


async def test_every_record_is_handed_over_once_and_in_order(topics: TopicTools) -> None:
    sent = numbers(5_000)
    topics.send(NUMBERS, sent)
    made: list[Sums] = []

    async with running(sums_lane(topics.client, topics.prefix, made, batch_max_records=700)):
        await eventually_async(lambda: len(totals(topics)) >= len(sent), "all totals")

    assert told(topics) == running_sums(sent)
    assert len(totals(topics)) == len(sent)
    for processor in made:
        offsets = list(chain.from_iterable(processor.batches))
        assert offsets == list(range(len(offsets)))
        assert max(map(len, processor.batches)) <= 700


async def test_batches_may_be_of_one_record(topics: TopicTools) -> None:
    topics.send(NUMBERS, numbers(20))
    made: list[Sums] = []

    async with running(sums_lane(topics.client, topics.prefix, made, batch_max_records=1)):
        await eventually_async(lambda: len(totals(topics)) == 20, "all totals")

    assert {len(batch) for processor in made for batch in processor.batches} == {1}


async def test_a_restart_goes_on_from_the_checkpoint_with_the_state(topics: TopicTools) -> None:
    sent = numbers(900)
    topics.send(NUMBERS, sent[:500])
    async with running(sums_lane(topics.client, topics.prefix)):
        await eventually_async(lambda: len(totals(topics)) == 500, "the first totals")

    topics.send(NUMBERS, sent[500:])
    made: list[Sums] = []
    async with running(sums_lane(topics.client, topics.prefix, made)):
        await eventually_async(lambda: len(totals(topics)) >= 900, "all totals")

    assert told(topics) == running_sums(sent)
    assert len(totals(topics)) == 900, "a stop in good order leaves nothing to be told again"
    assert sum(len(batch) for processor in made for batch in processor.batches) == 400


async def test_a_killed_lane_tells_the_same_again_and_nothing_is_missing(topics: TopicTools) -> None:
    rng = random.Random(5)
    sent = numbers(6_000)
    for part in range(3):
        topics.send(NUMBERS, sent[part * 2_000 : (part + 1) * 2_000])
        with running_apart(topics) as process:
            enough = part * 2_000 + rng.randrange(200, 1_900)
            await eventually_async(lambda enough=enough: len(told(topics)) >= enough, "totals to kill upon")
            if part == 2:
                await eventually_async(lambda: len(told(topics)) >= len(sent), "all totals")
            process.kill()

    assert told(topics) == running_sums(sent)
    by_id: dict[str, set[tuple[str, int]]] = {}
    for total in totals(topics):
        by_id.setdefault(total.id, set()).add((total.name, total.total))
    assert all(len(said) == 1 for said in by_id.values()), "an id always says the same"


async def test_two_lanes_share_partitions_and_one_takes_over_for_the_other(topics: TopicTools) -> None:
    sent = numbers(1_200)
    made: tuple[list[Sums], list[Sums]] = ([], [])
    first, second = (sums_lane(topics.client, topics.prefix, each) for each in made)
    async with running(first):
        topics.send(NUMBERS, sent[:400])
        await eventually_async(lambda: len(told(topics)) == 400, "the first totals")
        async with running(second):
            await eventually_async(lambda: len(second._shards) == PARTITIONS // 2, "a share for the second")
            topics.send(NUMBERS, sent[400:800])
            await eventually_async(lambda: len(told(topics)) == 800, "totals of both")
            assert any(processor.batches for processor in made[1])
        topics.send(NUMBERS, sent[800:])
        await eventually_async(lambda: len(told(topics)) == 1_200, "totals of the one that stayed")

    assert told(topics) == running_sums(sent)
    assert len(totals(topics)) == len(sent), "what changes hands in good order is told once"


async def test_a_bad_record_is_a_dead_letter_and_all_others_are_taken_once(topics: TopicTools) -> None:
    sent = numbers(3_000)
    for place in (10, 11, 1_500, 2_999):
        sent[place] = Number(time_ms=0, name=sent[place].name, value=BAD)
    topics.send(NUMBERS, sent[:2_000])
    topics.send(NUMBERS, [b"no JSON"], key=b"n0")
    topics.send(NUMBERS, sent[2_000:])
    good = [number for number in sent if number.value != BAD]

    lane = sums_lane(topics.client, topics.prefix)
    async with running(lane):
        await eventually_async(lambda: len(told(topics)) == len(good), "totals of the good")
        await eventually_async(lambda: committed(topics) == 3_001, "the checkpoint")

    assert told(topics) == running_sums(good)
    letters = {letter.id: letter for letter in topics.read(DEAD_LETTERS)}.values()
    assert len(letters) == 5
    unforeseen = [
        letter for letter in letters if letter.reason == "ZeroDivisionError: nobody thought of this"
    ]
    assert len(unforeseen) == 4
    for letter in letters:
        (original,) = [
            message
            for message in topics.messages(NUMBERS)
            if (message.partition(), message.offset()) == (letter.partition, letter.offset)
        ]
        assert (letter.topic, letter.agent) == (NUMBERS.name, "sums")
        assert (letter.key, letter.value) == (original.key(), original.value())


async def test_a_stream_of_bad_records_is_got_through(topics: TopicTools) -> None:
    bad = [Number(time_ms=0, name=f"n{number}", value=BAD) for number in range(600)]
    topics.send(NUMBERS, [*bad, *numbers(50)])

    async with running(sums_lane(topics.client, topics.prefix)):
        await eventually_async(lambda: len(told(topics)) == 50, "totals of the good")

    assert told(topics) == running_sums(numbers(50))
    assert len({letter.id for letter in topics.read(DEAD_LETTERS)}) == 600


async def test_idleness_is_told_while_nothing_is_left_to_read_and_taken_back_before_more(
    topics: TopicTools,
) -> None:
    sent = numbers(400)
    made: list[Sums] = []
    topics.send(NUMBERS, sent[:300])
    counts = Counter(message.partition() for message in topics.messages(NUMBERS))

    async with running(sums_lane(topics.client, topics.prefix, made)):
        await eventually_async(lambda: len(idles(topics)) == PARTITIONS, "idleness of each partition")
        first = idles(topics)
        await eventually_async(lambda: min(each.idle_calls for each in made) > 1, "idleness told again")
        assert [each.awake_calls for each in made] == [0] * PARTITIONS
        topics.send(NUMBERS, sent[300:])
        await eventually_async(lambda: len(idles(topics)) == 2 * PARTITIONS, "idleness after more records")
        await eventually_async(lambda: committed(topics) == 400, "the checkpoint")

    assert dict(first) == dict(counts), "each partition had taken all it has"
    assert sum(taken for _, taken in idles(topics)) == 300 + 400, "and again when it had the rest"
    assert all(each.awake_calls for each in made), "and took its word back in between"


async def test_offsets_that_hold_no_record_do_not_keep_a_partition_busy(topics: TopicTools) -> None:
    name = NUMBERS.full_name(topics.prefix)
    topics.send(NUMBERS, numbers(100))
    ends = Counter(message.partition() for message in topics.messages(NUMBERS))
    admin = AdminClient(topics.client)
    expired = [TopicPartition(name, number, end) for number, end in ends.items()]
    for future in admin.delete_records(expired).values():
        future.result(10)
    writer = Producer(topics.client | {"transactional.id": topics.prefix, "partitioner": "murmur2_random"})
    writer.init_transactions(20)
    writer.begin_transaction()
    writer.produce(name, key=b"n0", value=NUMBERS.encode(numbers(1)[0]))
    writer.commit_transaction(20)  # leaves a marker behind the record

    lane = sums_lane(topics.client, topics.prefix)
    async with running(lane):
        await eventually_async(lambda: len(idles(topics)) == PARTITIONS, "idleness of each partition")
        await eventually_async(lambda: committed(topics) == 100 + 2, "the checkpoint")

    assert lane.lag_records == 0
    assert len(told(topics)) == 1


async def test_a_checkpoint_that_fails_leaves_the_old_one_in_force(
    topics: TopicTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = numbers(600)
    topics.send(NUMBERS, sent[:300])
    async with running(sums_lane(topics.client, topics.prefix)):
        await eventually_async(lambda: committed(topics) == 300, "a checkpoint")
    lane = sums_lane(topics.client, topics.prefix)

    def fail(*_: Any) -> None:
        raise SnapshotError("the broker took 0 of 1 chunks")

    monkeypatch.setattr(lane._snapshots, "write", fail)
    async with running(lane):
        topics.send(NUMBERS, sent[300:])
        await eventually_async(lambda: len(told(topics)) == 600, "totals without a checkpoint")
    assert committed(topics) == 300

    async with running(sums_lane(topics.client, topics.prefix)):
        await eventually_async(lambda: len(totals(topics)) == 300 + 2 * 300, "the same again")
        await eventually_async(lambda: committed(topics) == 600, "the checkpoint")

    assert told(topics) == running_sums(sent)


async def test_a_commit_of_unknown_outcome_does_not_cost_the_snapshot_in_force(topics: TopicTools) -> None:
    lane = sums_lane(topics.client, topics.prefix)
    async with running(lane):
        topics.send(NUMBERS, numbers(1))
        await eventually_async(lambda: committed(topics) == 1, "a checkpoint")
        lane._consumer = ForgetfulConsumer(lane._consumer)
        topics.send(NUMBERS, numbers(1))
        await eventually_async(lambda: committed(topics) == 2, "a checkpoint that the lane knows nothing of")
        await eventually_async(lambda: committed(topics) == 2 and lane._consumer.forgot, "its failure")
        topics.send(NUMBERS, numbers(1))
        await eventually_async(lambda: committed(topics) == 3, "a checkpoint")

    parities = [chunk.parity for chunk in topics.read(LANE_STATE)]
    assert parities == [0, 1, 0, 1][: len(parities)], "no snapshot was written in place of the one in force"
    assert len(parities) >= 3


class ForgetfulConsumer:
    """A consumer whose next commit is carried out, while its answer is lost."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.forgot = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def commit(self, **options: Any) -> Any:
        answer = self._consumer.commit(**options)
        if not self.forgot:
            self.forgot = True
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return answer


@pytest.mark.parametrize("metadata", [encode_pointer(Pointer(0, 1, parity=7)), "somebody else's"])
async def test_a_snapshot_that_is_gone_costs_what_was_known_and_no_record(
    topics: TopicTools, metadata: str
) -> None:
    topics.send(NUMBERS, numbers(100))
    counts = Counter(message.partition() for message in topics.messages(NUMBERS))
    commit(topics, counts, metadata)
    lost = metrics.SNAPSHOTS_LOST.labels("sums")
    before = lost._value.get()

    topics.send(NUMBERS, numbers(50, first=100))
    async with running(sums_lane(topics.client, topics.prefix)):
        await eventually_async(lambda: committed(topics) == 150, "a checkpoint")

    assert told(topics) == running_sums(numbers(50, first=100))
    assert len(totals(topics)) == 50
    assert lost._value.get() - before == PARTITIONS


def commit(topics: TopicTools, offsets: Mapping[int, int], metadata: str) -> None:
    """Commit for the group of the lane, as it would itself."""
    consumer = Consumer(topics.client | {"group.id": topics.prefix + GROUP})
    name = NUMBERS.full_name(topics.prefix)
    places = [TopicPartition(name, number, offset, metadata) for number, offset in offsets.items()]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()


async def test_a_snapshot_that_the_processor_cannot_take_up_is_as_good_as_gone(
    topics: TopicTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.send(NUMBERS, numbers(100))
    async with running(sums_lane(topics.client, topics.prefix)):
        await eventually_async(lambda: committed(topics) == 100, "a checkpoint")

    def fail(_: Sums, data: bytes) -> None:
        raise ValueError("written by another version")

    monkeypatch.setattr(Sums, "restore", fail)
    topics.send(NUMBERS, numbers(50, first=100))
    async with running(sums_lane(topics.client, topics.prefix)):
        await eventually_async(lambda: len(totals(topics)) == 150, "totals of the new records")


async def test_a_lane_waits_for_its_topic(topics: TopicTools) -> None:
    elsewhere = TopicTools(topics.client["bootstrap.servers"], f"{topics.prefix}later.")
    elsewhere.create(TOTALS, LANE_STATE)
    lane = sums_lane(elsewhere.client, elsewhere.prefix)
    async with running(lane):
        assert not lane.ready
        elsewhere.create(NUMBERS)
        elsewhere.send(NUMBERS, numbers(10))
        await eventually_async(lambda: len(totals(elsewhere)) == 10, "totals")
        assert lane.ready


async def test_partitions_are_checkpointed_one_at_a_time_and_none_is_left_out(topics: TopicTools) -> None:
    lane = sums_lane(topics.client, topics.prefix)
    turns: list[list[int]] = []
    checkpoint = lane._checkpoint

    def noted(numbers: Iterable[int]) -> None:
        turns.append(list(numbers))
        checkpoint(turns[-1])

    lane._checkpoint = noted  # type: ignore[method-assign]
    async with running(lane):
        await eventually_async(lambda: lane.ready, "an assignment")
        topics.send(NUMBERS, numbers(400))
        await eventually_async(lambda: committed(topics) == 400, "checkpoints of all partitions")
        in_turn = list(turns)

    assert set(chain.from_iterable(in_turn)) == set(range(PARTITIONS))
    assert {len(turn) for turn in in_turn} == {1}


async def test_outputs_that_nobody_takes_crash_the_lane_before_its_checkpoint(topics: TopicTools) -> None:
    elsewhere = TopicTools(topics.client["bootstrap.servers"], f"{topics.prefix}no-way-out.")
    elsewhere.create(NUMBERS, LANE_STATE, DEAD_LETTERS)
    elsewhere.send(NUMBERS, numbers(10))
    hasty = elsewhere.client | {"topic.metadata.propagation.max.ms": 500}

    lane = sums_lane(hasty, elsewhere.prefix)
    async with running(lane):
        await eventually_async(lambda: lane.crashed, "the crash")

    assert "totals" in str(lane.crash_reason) or "Unknown topic" in str(lane.crash_reason)
    assert committed(elsewhere) == 0
