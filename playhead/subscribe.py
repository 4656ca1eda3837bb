"""What is said on some topics, in one line of time, each record read by its contract."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Any

import msgspec
from confluent_kafka import Message

from playhead.log_reader import time_ms
from playhead.packing import is_packed, unpack
from playhead.tail import Place, Tail
from playhead.where import Condition
from topics.errors import ContractError
from topics.spec import AnySpec

BATCH = 5_000
WAIT_S = 0.2
HELD_BACK = 20_000
"""Records of one partition that wait for the other partitions before it is paused."""


class Seen(msgspec.Struct, frozen=True):
    """One event, or why there is none to be read."""

    spec: AnySpec
    partition: int
    offset: int
    broker_time_ms: int
    key: bytes | None
    record: Any = None
    """The event, decoded; None for a tombstone and for what could not be read."""
    problem: str = ""
    packed_index: int | None = None
    """Which event of a packed record it is."""

    def chosen_by(self, where: Condition | None) -> bool:
        """Return whether `where` is true of it; never so of what could not be read."""
        return where is None or (not self.problem and where.holds(self.record, self._place))

    def _place(self, name: str) -> Any:
        match name:
            case "$topic":
                return self.spec.name
            case "$partition":
                return self.partition
            case "$offset":
                return self.offset
            case "$key":
                return self.key
            case _:
                return self.broker_time_ms

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        told: dict[str, Any] = {
            "topic": self.spec.name,
            "partition": self.partition,
            "offset": self.offset,
            "broker_time_ms": self.broker_time_ms,
            "key": None if self.key is None else self.key.decode(errors="replace"),
        }
        if self.packed_index is not None:
            told["packed_index"] = self.packed_index
        if self.problem:
            return told | {"problem": self.problem}
        return told | {"record": msgspec.to_builtins(self.record)}


def subscribe(
    tail: Tail,
    specs: Mapping[str, AnySpec],
    *,
    follow: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Iterator[Seen]]:
    """Yield, in batches, what `tail` reads: what is there by Kafka's time, what comes then as it comes.

    A batch is empty when nothing came for a while; each is to be used up before the next is asked for.

    Args:
        tail: what to read.
        specs: the contracts, by the topics' full names.
        follow: whether to go on after what was there at the start.
        stopped: asked between batches; once true, it ends.
    """
    merge = _Merge(tail)
    while not stopped():
        merge.take(tail.read(BATCH, WAIT_S))
        yield (seen for message in merge.ready() for seen in look(specs[message.topic()], message))
        if not follow and not tail.unread:
            return


def look(spec: AnySpec, message: Message) -> Iterator[Seen]:
    """Yield the event in `message`, or the many where it is packed."""
    at = (spec, message.partition(), message.offset(), time_ms(message), message.key())
    value = message.value()
    try:
        if spec.packed is not None and is_packed(message.headers()):
            for index, event in enumerate(unpack(spec, value)):
                yield Seen(*at, record=event, packed_index=index)
        else:
            yield Seen(*at, record=None if value is None else spec.decode(value))
    except ContractError as error:
        yield Seen(*at, problem=error.reason)


class _Merge:
    """Puts the records of several partitions in the order of Kafka's time, as far as that can be known.

    While a partition has unread records from before the start, the next one of it may be older than all that
    others have brought: those wait.
    """

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._waiting: dict[Place, deque[Message]] = {place: deque() for place in tail.places}
        self._paused: set[Place] = set()

    def take(self, messages: list[Message]) -> None:
        """Add what was read."""
        for message in messages:
            self._waiting[message.topic(), message.partition()].append(message)
        for place, queue in self._waiting.items():
            if len(queue) > HELD_BACK and place not in self._paused:
                self._tail.pause(place)
                self._paused.add(place)

    def ready(self) -> Iterator[Message]:
        """Give up what nothing older can precede any more, oldest first."""
        unread = self._tail.unread
        if any(not self._waiting[place] for place in unread):
            self._resume()
            return
        heads = [(*_order(queue[0]), place) for place, queue in self._waiting.items() if queue]
        heapify(heads)
        while heads:
            place = heappop(heads)[-1]
            queue = self._waiting[place]
            yield queue.popleft()
            if queue:
                heappush(heads, (*_order(queue[0]), place))
            elif place in unread:
                break
        self._resume()

    def _resume(self) -> None:
        for place in list(self._paused):
            if len(self._waiting[place]) < HELD_BACK // 2:
                self._tail.resume(place)
                self._paused.discard(place)


def _order(message: Message) -> tuple[int, str, int, int]:
    return time_ms(message), message.topic(), message.partition(), message.offset()
