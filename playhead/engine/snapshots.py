"""Where lanes keep what they know: chunks in `lane.state`, pointed to by the metadata of an offset commit.

A commit is atomic, so offset and state change together: a worker that dies between writing a snapshot
and committing leaves the old pair in force. Chunks alternate between two parities, so that compaction,
which keeps the newest value of each key, never removes the snapshot that a commit still points to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from playhead.publisher import Publisher
from topics import LANE_STATE
from topics.errors import PlayheadError
from topics.fields import derive_id
from topics.lane_state import LaneChunk

CHUNK_BYTES = 900_000
FLUSH_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 60.0


class SnapshotError(PlayheadError):
    """A snapshot could not be written or read back."""


class Pointer(msgspec.Struct, frozen=True, array_like=True):
    """Where a snapshot stands in `lane.state`; travels as the metadata of an offset commit."""

    first_offset: int
    chunks: int
    parity: int


def encode_pointer(pointer: Pointer | None) -> str:
    """Return the metadata for a commit."""
    return "" if pointer is None else msgspec.json.encode(pointer).decode()


def decode_pointer(metadata: str | None) -> Pointer | None:
    """Return the pointer in a commit's metadata, or None where there is none."""
    return msgspec.json.decode(metadata, type=Pointer) if metadata else None


class SnapshotStore:
    """Writes and reads the snapshots of one lane.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
        lane: the lane's name.
    """

    def __init__(self, client: Mapping[str, Any], prefix: str, lane: str) -> None:
        self._client = client
        self._topic = LANE_STATE.full_name(prefix)
        self._lane = lane

    def write(
        self,
        publisher: Publisher,
        topic: str,
        partition: int,
        next_offset: int,
        parity: int,
        data: bytes,
    ) -> Pointer:
        """Write `data` and return where it stands.

        Raises:
            SnapshotError: the broker did not take it in time.
        """
        pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        written: list[int] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                written.append(int(message.offset() or 0))

        for number, piece in enumerate(pieces):
            chunk = LaneChunk(
                id=derive_id(self._lane, topic, partition, next_offset, number),
                time_ms=0,
                lane=self._lane,
                topic=topic,
                partition=partition,
                next_offset=next_offset,
                chunk=number,
                chunks=len(pieces),
                parity=parity,
                data=piece,
            )
            publisher.send_bytes(
                LANE_STATE, LANE_STATE.key_of(chunk).encode(), LANE_STATE.encode(chunk), delivered
            )
        if not publisher.flush(FLUSH_TIMEOUT_S) or len(written) != len(pieces):
            raise SnapshotError(f"{self._lane}: the broker took {len(written)} of {len(pieces)} chunks")
        return Pointer(min(written), len(pieces), parity)

    def read(self, topic: str, partition: int, next_offset: int, pointer: Pointer) -> bytes:
        """Return the snapshot at `pointer`.

        Raises:
            SnapshotError: its chunks are not there any more, or the broker did not answer in time.
        """
        consumer = Consumer(
            {**self._client, "group.id": f"{self._topic}-reader", "enable.auto.commit": False}
        )
        found: dict[int, bytes] = {}
        deadline = time.monotonic() + READ_TIMEOUT_S
        try:
            consumer.assign([TopicPartition(self._topic, 0, pointer.first_offset)])
            while len(found) < pointer.chunks:
                if time.monotonic() > deadline:
                    raise SnapshotError(
                        f"{self._lane}: the snapshot of {topic}[{partition}]@{next_offset} is not whole:"
                        f" {len(found)} of {pointer.chunks} chunks in {self._topic}"
                        f" from offset {pointer.first_offset}"
                    )
                for message in consumer.consume(100, 0.2):
                    if message.error() is not None:
                        continue
                    chunk = LANE_STATE.decode(message.value())
                    if (chunk.lane, chunk.topic, chunk.partition, chunk.next_offset, chunk.parity) == (
                        self._lane,
                        topic,
                        partition,
                        next_offset,
                        pointer.parity,
                    ):
                        found[chunk.chunk] = chunk.data
        finally:
            consumer.close()
        return b"".join(found[number] for number in range(pointer.chunks))
