"""Views: the newest record of each key of a compacted topic, kept up to date in the background."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

import msgspec
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from mode import Service

from topics.errors import ContractError
from topics.spec import TopicSpec

R = TypeVar("R", bound=msgspec.Struct)

log = structlog.get_logger(__name__)

POLL_S = 0.2
CATCH_UP_POLL_S = 0.02
BROKER_TIMEOUT_S = 10.0
RETRY_S = 1.0
START_POLL_S = 0.01
STOP_TIMEOUT_S = 15.0


class TopicView(Service, Generic[R]):  # type: ignore[misc]
    """Implements `agents.ports.View`. It reads every partition and belongs to no group.

    Args:
        spec: the compacted topic.
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
    """

    def __init__(self, spec: TopicSpec[R], client: Mapping[str, Any], prefix: str) -> None:
        super().__init__()
        self._spec = spec
        self._client = client
        self._topic = spec.full_name(prefix)
        self._records: dict[str, R] = {}
        self._caught_up = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def get(self, key: str) -> R | None:
        """Return the newest record of `key`."""
        return self._records.get(key)

    def values(self) -> Iterable[R]:
        """Return the newest record of every key."""
        return list(self._records.values())

    @property
    def ready(self) -> bool:
        """Whether everything that was in the topic at the start has been read."""
        return self._caught_up.is_set()

    async def on_start(self) -> None:
        """Read the topic from its beginning, and return once caught up."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name=f"view-{self._spec.name}", daemon=True
        )
        self._thread.start()
        while not self._caught_up.is_set() and self._thread.is_alive():
            await asyncio.sleep(START_POLL_S)

    async def on_stop(self) -> None:
        """Stop following."""
        self._ending.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._follow()
        except BaseException as error:
            log.exception("view crashed", topic=self._topic)
            with suppress(RuntimeError):  # the loop has ended, and with it whoever would care
                loop.call_soon_threadsafe(self._crash_soon, error)

    def _crash_soon(self, error: BaseException) -> None:
        self.add_future(self.crash(error))

    def _follow(self) -> None:
        consumer = Consumer(
            {
                **self._client,
                "group.id": f"{self._topic}-view",  # demanded; nothing is committed under it
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )
        try:
            unread = self._assign(consumer)
            while not self._ending.is_set():
                for message in consumer.consume(1_000, POLL_S if self.ready else CATCH_UP_POLL_S):
                    error = message.error()
                    if error is None:
                        self._take(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        unread.discard(message.partition())
                    elif error.fatal():
                        raise KafkaException(error)
                    else:
                        log.warning("view interrupted", topic=self._topic, error=str(error))
                if not unread:
                    self._caught_up.set()
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> set[int]:
        while not self._ending.is_set():
            try:
                topic = consumer.list_topics(self._topic, BROKER_TIMEOUT_S).topics[self._topic]
            except KafkaException as error:
                log.warning("waiting for the broker", topic=self._topic, error=str(error))
            else:
                if topic.error is None:
                    numbers = set(topic.partitions)
                    consumer.assign(
                        [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in numbers]
                    )
                    return numbers
                log.warning("waiting for the topic", topic=self._topic, error=str(topic.error))
            self._ending.wait(RETRY_S)
        return set()

    def _take(self, message: Message) -> None:
        key = (message.key() or b"").decode(errors="replace")
        if message.value() is None:
            self._records.pop(key, None)
            return
        try:
            self._records[key] = self._spec.decode(message.value())
        except ContractError as error:
            log.warning(
                "record passed over",
                topic=self._spec.name,
                partition=message.partition(),
                offset=message.offset(),
                reason=error.reason,
            )
