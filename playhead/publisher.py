"""The way out to Kafka: one producer of a process, shared by its agents and lanes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from confluent_kafka import KafkaError, Message, Producer

from topics.emission import Emission
from topics.spec import AnySpec

log = structlog.get_logger(__name__)

POLL_S = 0.05
QUEUE_FULL_WAIT_S = 0.05

Delivered = Callable[[KafkaError | None, Message], None]


class Publisher:
    """Sends emissions and tells when the broker has them.

    Nothing is given up: a record waits for the broker however long it is away, and a full queue makes the
    sender wait. The producer is idempotent, so that its own retries neither double nor reorder records.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
    """

    def __init__(self, client: Mapping[str, Any], prefix: str) -> None:
        self._producer = Producer(
            {
                **client,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 1,
                "compression.type": "lz4",
                "message.max.bytes": 9_000_000,
                "queue.buffering.max.kbytes": 262_144,
                "partitioner": "murmur2_random",
            }
        )
        self._prefix = prefix
        self._stop = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._poller.start()

    async def __call__(self, emissions: Sequence[Emission]) -> None:
        """Send `emissions` and return once the broker has acknowledged them all."""
        if not emissions:
            return
        loop = asyncio.get_running_loop()
        futures = []
        for emission in emissions:
            future: asyncio.Future[None] = loop.create_future()
            self.send(emission, partial(_settle_soon, loop, future))
            futures.append(future)
        await asyncio.gather(*futures)

    def send(self, emission: Emission, delivered: Delivered | None = None) -> None:
        """Queue one emission; `delivered` is called from another thread once the broker has it."""
        spec, record = emission
        self.send_bytes(spec, emission.key.encode(), spec.encode(record), delivered)

    def send_bytes(
        self,
        spec: AnySpec,
        key: bytes,
        value: bytes,
        delivered: Delivered | None = None,
    ) -> None:
        """Queue one encoded record."""
        topic = spec.full_name(self._prefix)
        while True:
            try:
                self._producer.produce(topic, key=key, value=value, on_delivery=delivered or _report)
                return
            except BufferError:
                self._stop.wait(QUEUE_FULL_WAIT_S)

    def flush(self, timeout_s: float) -> bool:
        """Return whether the broker has all that was sent, waiting for it at most `timeout_s`."""
        return int(self._producer.flush(timeout_s)) == 0

    def close(self, timeout_s: float = 10.0) -> None:
        """Flush and end."""
        self.flush(timeout_s)
        self._stop.set()
        self._poller.join()

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(POLL_S)


def _report(error: KafkaError | None, message: Message) -> None:
    if error is not None:
        log.error("record not delivered", topic=message.topic(), error=str(error))


def _settle_soon(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], error: KafkaError | None, _: Message
) -> None:
    loop.call_soon_threadsafe(_settle, future, error)


def _settle(future: asyncio.Future[None], error: KafkaError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(RuntimeError(f"record not delivered: {error}"))
