"""A lane small enough to see through: the running sum of the numbers of each key.

Run as a program it is a lane in a process of its own, to be killed:
``python sums.py BROKERS PREFIX``.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from agents.ports import Batch
from config import load
from config.sections import EngineSettings
from playhead.engine.lane import Lane
from topics.emission import Emission
from topics.errors import ContractError
from topics.fields import Record, derive_id
from topics.spec import TopicSpec

PARTITIONS = 4


class Number(Record, frozen=True, kw_only=True):
    """A number to add to the sum of its key."""

    name: str
    value: int


class Total(Record, frozen=True, kw_only=True):
    """The sum of a key once a number was added."""

    name: str
    total: int
    offset: int


NUMBERS = TopicSpec(
    name="numbers",
    key="name",
    value=Number,
    key_of=lambda number: number.name,
    describes="Numbers.",
    producers=("tests",),
    consumers=("sums",),
    partitions=PARTITIONS,
)
TOTALS = TopicSpec(
    name="totals",
    key="name",
    value=Total,
    key_of=lambda total: total.name,
    describes="Their sums.",
    producers=("sums",),
    consumers=("tests",),
)

BAD = -1
"""A value that no one foresaw."""

IDLE = "idle"


class Sums:
    """Implements `agents.ports.LaneProcessor`.

    Args:
        partition: whose records it takes.
        ballast: makes its snapshots larger.
    """

    def __init__(self, partition: int, ballast: bytes = b"") -> None:
        self._partition = partition
        self._ballast = ballast
        self._sums: Counter[str] = Counter()
        self._taken = 0
        self.batches: list[list[int]] = []
        """Offsets, as they were handed over."""
        self.idle_calls = 0
        self.awake_calls = 0

    def process(self, batch: Batch) -> list[Emission]:
        self.batches.append(list(batch.offsets))
        emissions = []
        for index, value in enumerate(batch.values):
            try:
                number = NUMBERS.decode(value)
            except ContractError as error:
                batch.refuse(index, error.reason)
                continue
            self._sums[number.name] += number.value
            if number.value == BAD:
                raise ZeroDivisionError("nobody thought of this")
            self._taken += 1
            emissions.append(self._total(number.name, batch.offsets[index]))
        batch.tally(processed=len(emissions))
        return emissions

    def idle(self) -> list[Emission]:
        self.idle_calls += 1
        return [Emission(TOTALS, Total(time_ms=0, name=IDLE, total=self._taken, offset=self._partition))]

    def awake(self) -> list[Emission]:
        self.awake_calls += 1
        return []

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((dict(self._sums), self._taken, self._ballast))

    def restore(self, data: bytes) -> None:
        sums, self._taken, self._ballast = msgspec.msgpack.decode(
            data, type=tuple[dict[str, int], int, bytes]
        )
        self._sums = Counter(sums)

    def _total(self, name: str, offset: int) -> Emission:
        total_id = derive_id("total", self._partition, offset)
        return Emission(
            TOTALS, Total(id=total_id, time_ms=0, name=name, total=self._sums[name], offset=offset)
        )


def engine(**figures: Any) -> EngineSettings:
    """Return the engine's settings, with everything that waits made short."""
    short = {"checkpoint_interval_s": 0.2, "idle_after_s": 0.3}
    return load({}).settings.engine.model_copy(update=short | figures)


def sums_lane(client: dict[str, Any], prefix: str, made: list[Sums] | None = None, **figures: Any) -> Lane:
    """Return a lane of sums; `made` is given the processors as they are made."""

    def make(partition: int, _: int) -> Sums:
        sums = Sums(partition)
        if made is not None:
            made.append(sums)
        return sums

    return Lane("sums", NUMBERS, make, client=client, prefix=prefix, engine=engine(**figures))


def running_sums(numbers: Iterable[Number]) -> Counter[tuple[str, int]]:
    """Return what a lane that loses and doubles nothing tells of `numbers`."""
    sums: Counter[str] = Counter()
    told: Counter[tuple[str, int]] = Counter()
    for number in numbers:
        sums[number.name] += number.value
        told[number.name, sums[number.name]] += 1
    return told


async def main(brokers: str, prefix: str) -> None:
    """Run until killed."""
    await sums_lane({"bootstrap.servers": brokers}, prefix).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
