"""The way out to Kafka: one producer, shared by the agents of a process, or a lane's own.

PlayheadError
└── UndeliveredError   the broker will not take records at all; whoever sent them must not go on
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, NamedTuple

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agents import metrics
from agents.dead_letters import dead_letter
from topics import DEAD_LETTERS
from topics.emission import Emission
from topics.errors import PlayheadError
from topics.fields import derive_id
from topics.spec import AnySpec

log = structlog.get_logger(__name__)

POLL_S = 0.05
FLUSH_POLL_S = 0.001
QUEUE_FULL_WAIT_S = 0.05
AGENT = "publisher"

RECORD_IS_WRONG = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_RECORD}
)
"""Errors that the same record would meet again, however often it is sent."""

Delivered = Callable[[KafkaError | None, Message], None]
Settled = Callable[[KafkaError | None], None]


class UndeliveredError(PlayheadError):
    """The broker will not take records: their topic is missing, or writing to it is forbidden."""


class Outgoing(NamedTuple):
    """A record ready to be sent."""

    spec: AnySpec
    key: bytes
    value: bytes
    time_ms: int = 0
    """The event's."""


class Publisher:
    """Sends emissions and tells when the broker has them.

    Nothing is given up: a record waits for the broker however long it is away, and a full queue makes the
    sender wait. The producer is idempotent, so that its own retries neither double nor reorder records. A
    record that its topic will never take, being too large, goes to the dead letters in its place and counts
    as delivered once it is there.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
        queue_records: records on their way at once.
    """

    def __init__(self, client: Mapping[str, Any], prefix: str, queue_records: int = 100_000) -> None:
        self._config: dict[str, Any] = {
            **client,
            "enable.idempotence": True,
            "message.timeout.ms": 0,
            "linger.ms": 1,
            "compression.type": "lz4",
            "message.max.bytes": 9_000_000,
            "queue.buffering.max.kbytes": 262_144,
            "queue.buffering.max.messages": queue_records,
            "partitioner": "murmur2_random",
        }
        self._producer = Producer(self._config)
        self._prefix = prefix
        self._failure: KafkaError | None = None
        self._refused: deque[tuple[Outgoing, Settled]] = deque()
        self._refused_open = 0
        self._stop = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._poller.start()

    async def __call__(self, emissions: Sequence[Emission]) -> None:
        """Send `emissions` and return once the broker has acknowledged them all.

        Raises:
            UndeliveredError: the broker will not take one of them.
        """
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[KafkaError | None]] = []
        for outgoing in [self._fitting(encoded(emission)) for emission in emissions]:
            future: asyncio.Future[KafkaError | None] = loop.create_future()
            waiting.append(future)
            while not self._offer(outgoing, partial(_settle_soon, loop, future)):
                await asyncio.sleep(QUEUE_FULL_WAIT_S)
        for error in [await future for future in waiting]:
            if error is not None:
                raise UndeliveredError(f"the broker will not take a record: {error}")

    def send(self, outgoing: Outgoing) -> None:
        """Queue one record, waiting while the queue is full. Whether it was delivered, `flush` tells."""
        outgoing = self._fitting(outgoing)
        while not self._offer(outgoing, self._note):
            self._stop.wait(QUEUE_FULL_WAIT_S)

    def send_bytes(self, spec: AnySpec, key: bytes, value: bytes, delivered: Delivered) -> None:
        """Queue one record as it is; `delivered` is called from another thread with what became of it."""
        while not self._produce(Outgoing(spec, key, value), delivered):
            self._stop.wait(QUEUE_FULL_WAIT_S)

    def flush(self, timeout_s: float) -> bool:
        """Return whether the broker has all that was sent, waiting for it at most `timeout_s`.

        Raises:
            UndeliveredError: the broker will not take a record that `send` was given.
        """
        left = self._drain(timeout_s)
        if self._failure is not None:
            raise UndeliveredError(f"the broker will not take a record: {self._failure}")
        return left == 0

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush and end. What the broker does not have by then is told, and sent by nobody any more."""
        left = self._drain(timeout_s)
        self._stop.set()
        self._poller.join()
        if left:
            log.warning("ended without an answer from the broker", records=left)

    def _drain(self, timeout_s: float) -> int:
        # The poller alone serves the callbacks, and counts a refused record before it leaves the producer.
        deadline = time.monotonic() + timeout_s
        while (left := len(self._producer) + self._refused_open) and time.monotonic() < deadline:
            time.sleep(FLUSH_POLL_S)
        return left

    # -- one record ---------------------------------------------------------------------------------------

    def _fitting(self, outgoing: Outgoing) -> Outgoing:
        """Return the record, or its dead letter where it is too large for its contract."""
        spec, size = outgoing.spec, len(outgoing.value)
        if size <= spec.max_bytes:
            return outgoing
        return _letter(outgoing, f"{size} bytes exceed the limit of {spec.max_bytes} of its contract")

    def _offer(self, outgoing: Outgoing, settled: Settled) -> bool:
        """Queue one record; False where the queue is full."""
        # The value is not kept here: it would be in memory twice until the broker has it.
        return self._produce(outgoing, partial(self._delivered, outgoing.spec, outgoing.time_ms, settled))

    def _produce(self, outgoing: Outgoing, delivered: Delivered) -> bool:
        if self._stop.is_set():
            raise UndeliveredError("the publisher has been closed")
        topic = outgoing.spec.full_name(self._prefix)
        try:
            self._producer.produce(topic, key=outgoing.key, value=outgoing.value, on_delivery=delivered)
        except BufferError:
            return False
        except KafkaException as error:
            raise UndeliveredError(f"the broker will not take a record: {error.args[0]}") from error
        return True

    def _delivered(
        self, spec: AnySpec, time_ms: int, settled: Settled, error: KafkaError | None, message: Message
    ) -> None:
        if error is None or error.code() not in RECORD_IS_WRONG:
            settled(error)
        else:
            self._refused_open += 1
            outgoing = Outgoing(spec, message.key() or b"", message.value() or b"", time_ms)
            self._refused.append((outgoing, settled))

    def _retry(self, outgoing: Outgoing, settled: Settled) -> None:
        """Send by itself what was refused with its whole batch; refused again, it is a dead letter."""
        error = self._send_alone(outgoing)
        if error is not None and error.code() in RECORD_IS_WRONG and outgoing.spec is not DEAD_LETTERS:
            error = self._send_alone(_letter(outgoing, f"the broker refused it: {error.str()}"))
        self._refused_open -= 1
        settled(error)

    def _send_alone(self, outgoing: Outgoing) -> KafkaError | None:
        answers: list[KafkaError | None] = []
        self._alone.produce(
            outgoing.spec.full_name(self._prefix),
            key=outgoing.key,
            value=outgoing.value,
            on_delivery=lambda error, _: answers.append(error),
        )
        while not answers and not self._stop.is_set():
            self._alone.poll(POLL_S)
        return answers[0] if answers else KafkaError(KafkaError._PURGE_QUEUE)

    @cached_property
    def _alone(self) -> Producer:
        return Producer(self._config | {"batch.num.messages": 1})

    def _note(self, error: KafkaError | None) -> None:
        if error is not None:
            log.error("record not delivered", error=str(error))
            self._failure = error

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(POLL_S)
            while self._refused:
                self._retry(*self._refused.popleft())


def encoded(emission: Emission) -> Outgoing:
    """Return `emission` as it goes out."""
    spec, record = emission
    return Outgoing(spec, emission.key.encode(), spec.encode(record), record.time_ms)


def _letter(outgoing: Outgoing, reason: str) -> Outgoing:
    spec, key, value, time_ms = outgoing
    log.error("record cannot be published", topic=spec.name, reason=reason, bytes=len(value))
    metrics.UNPUBLISHABLE.labels(spec.name).inc()
    letter = dead_letter(
        agent=AGENT,
        topic=spec.name,
        partition=0,  # it has no place, for it never stood in its topic
        offset=0,
        time_ms=time_ms,
        key=key,
        value=value,
        reason=f"could not be published: {reason}",
    )
    # Without a place it has an id of its own, and cannot be driven back: its cause can.
    letter_id = derive_id("unpublished", spec.name, key, value)
    record = msgspec.structs.replace(letter.record, id=letter_id, value_bytes=len(value))
    return encoded(Emission(DEAD_LETTERS, record))


def _settle_soon(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[KafkaError | None],
    error: KafkaError | None,
) -> None:
    with suppress(RuntimeError):  # the loop has ended, and with it whoever was waiting
        loop.call_soon_threadsafe(_settle, future, error)


def _settle(future: asyncio.Future[KafkaError | None], error: KafkaError | None) -> None:
    if not future.done():
        future.set_result(error)
