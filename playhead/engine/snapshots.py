"""Where lanes keep what they know: chunks in `lane.state`, pointed to by the metadata of an offset commit.

A commit is atomic, so offset and state change together: a worker that dies between writing a snapshot
and committing leaves the old pair in force. Chunks alternate between two parities, so that compaction,
which keeps the newest value of each key, never removes the snapshot that a commit still points to.

PlayheadError
└── SnapshotError             it could not be written, or the broker did not answer; to be tried again
    └── SnapshotLostError     it is not there any more, and never will be
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from playhead.publisher import Publisher
from topics import LANE_STATE
from topics.errors import ContractError, PlayheadError
from topics.fields import derive_id
from topics.lane_state import LaneChunk

CHUNK_BYTES = 900_000
FLUSH_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
POLL_S = 0.2

log = structlog.get_logger(__name__)


class SnapshotError(PlayheadError):
    """A snapshot could not be written or read back."""


class SnapshotLostError(SnapshotError):
    """A snapshot that a commit points to is gone."""


class Pointer(msgspec.Struct, frozen=True, array_like=True):
    """Where a snapshot stands in `lane.state`; travels as the metadata of an offset commit."""

    first_offset: int
    chunks: int
    parity: int


_POINTERS = msgspec.json.Decoder(Pointer)


def encode_pointer(pointer: Pointer | None) -> str:
    """Return the metadata for a commit."""
    return "" if pointer is None else msgspec.json.encode(pointer).decode()


def decode_pointer(metadata: str | None) -> Pointer | None:
    """Return the pointer in a commit's metadata, or None where there is none.

    Raises:
        SnapshotLostError: the metadata is somebody else's.
    """
    if not metadata:
        return None
    try:
        return _POINTERS.decode(metadata)
    except msgspec.MsgspecError as error:
        raise SnapshotLostError(
            f"the commit's metadata {metadata!r} points to no snapshot: {error}"
        ) from error


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
            SnapshotLostError: its chunks are not there any more.
            SnapshotError: the broker did not answer in time.
        """
        wanted = (self._lane, topic, partition, next_offset, pointer.parity)
        found: dict[int, bytes] = {}
        with closing(self._chunks_from(pointer.first_offset)) as chunks:
            for chunk in chunks:
                if (chunk.lane, chunk.topic, chunk.partition, chunk.next_offset, chunk.parity) == wanted:
                    found[chunk.chunk] = chunk.data
                if len(found) == pointer.chunks:
                    return b"".join(found[number] for number in range(pointer.chunks))
        raise SnapshotLostError(
            f"{self._lane}: the snapshot of {topic}[{partition}]@{next_offset} is gone: {self._topic} has"
            f" {len(found)} of its {pointer.chunks} chunks from offset {pointer.first_offset} on"
        )

    def _chunks_from(self, first_offset: int) -> Generator[LaneChunk, None, None]:
        """Yield what the topic holds from `first_offset` to its end."""
        deadline = time.monotonic() + READ_TIMEOUT_S
        consumer = Consumer(
            {
                **self._client,
                "group.id": f"{self._topic}-reader",  # demanded; nothing is committed under it
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        try:
            consumer.assign([TopicPartition(self._topic, 0, first_offset)])
            while time.monotonic() < deadline:
                for message in consumer.consume(10, POLL_S):
                    error = message.error()
                    if error is None:
                        chunk = self._decoded(message)
                        if chunk is not None:
                            yield chunk
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return
        finally:
            consumer.close()
        raise SnapshotError(
            f"{self._lane}: the broker has not sent {self._topic} within {READ_TIMEOUT_S:g} s"
        )

    def _decoded(self, message: Message) -> LaneChunk | None:
        try:
            return LANE_STATE.decode(message.value())
        except ContractError as error:
            log.warning("chunk passed over", topic=self._topic, offset=message.offset(), reason=error.reason)
            return None
