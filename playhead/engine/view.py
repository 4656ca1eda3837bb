"""Views: the newest record of each key of a compacted topic, kept up to date in the background."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
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
HEAR_MS = 4_000
"""How often an idle topic is heard of: the statistics that tell it stop the process for milliseconds."""


class _Broker(msgspec.Struct):
    nodeid: int
    state: str


class _Statistics(msgspec.Struct):
    """What is read of librdkafka's statistics."""

    brokers: dict[str, _Broker] = {}


_STATISTICS = msgspec.json.Decoder(_Statistics)
"""Made before there are threads: a second one may meet a type that msgspec has half worked out, and crash."""


class TopicView(Service, Generic[R]):  # type: ignore[misc]
    """Implements `agents.ports.View`. It reads every partition and belongs to no group.

    Args:
        spec: the compacted topic.
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
        changed: called with key and newest record, or None, at each change, in a thread of the view's.
        caught_up: called in the same thread once all that was there at the start has been read.
    """

    def __init__(
        self,
        spec: TopicSpec[R],
        client: Mapping[str, Any],
        prefix: str,
        *,
        changed: Callable[[str, R | None], None] = lambda key, record: None,
        caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._changed = changed
        self._tell_caught_up = caught_up
        self._heard_at: float | None = None
        self._assigned = False
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

    @property
    def silent_s(self) -> float:
        """How long no broker has been connected, in seconds; without end where none ever was."""
        return math.inf if self._heard_at is None else time.monotonic() - self._heard_at

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
        """Stop following; a thread that waits for the broker to answer ends by itself soon after."""
        self._ending.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S if self._assigned else RETRY_S / 10)

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
                "statistics.interval.ms": HEAR_MS,
                "stats_cb": self._hear,
            }
        )
        try:
            unread = self._assign(consumer)
            while not self._ending.is_set():
                for message in self._next(consumer):
                    error = message.error()
                    if error is None:
                        self._heard_at = time.monotonic()
                        self._take(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        self._heard_at = time.monotonic()
                        unread.discard(message.partition())
                    elif error.fatal():
                        raise KafkaException(error)
                    else:
                        log.warning("view interrupted", topic=self._topic, error=str(error))
                if not unread and not self.ready and not self._ending.is_set():
                    self._tell_caught_up()
                    self._caught_up.set()
        finally:
            consumer.close()

    def _next(self, consumer: Consumer) -> list[Message]:
        """Return what has come: one at once, not as many as may come while it waits."""
        if not self.ready:
            return list(consumer.consume(1_000, CATCH_UP_POLL_S))
        first = consumer.poll(POLL_S)
        return [] if first is None else [first, *consumer.consume(1_000, 0)]

    def _hear(self, statistics: str) -> None:
        """Note that a broker is connected; an idle topic has nothing else to tell it by."""
        brokers = _STATISTICS.decode(statistics).brokers
        if any(each.state == "UP" and each.nodeid >= 0 for each in brokers.values()):
            self._heard_at = time.monotonic()

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
                    self._assigned = True
                    return numbers
                log.warning("waiting for the topic", topic=self._topic, error=str(topic.error))
            self._ending.wait(RETRY_S)
        return set()

    def _take(self, message: Message) -> None:
        key = (message.key() or b"").decode(errors="replace")
        if message.value() is None:
            self._records.pop(key, None)
            self._changed(key, None)
            return
        try:
            record = self._spec.decode(message.value())
        except ContractError as error:
            log.warning(
                "record passed over",
                topic=self._spec.name,
                partition=message.partition(),
                offset=message.offset(),
                reason=error.reason,
            )
        else:
            self._records[key] = record
            self._changed(key, record)
