"""The incidents of the partitions that are this process's to tell of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from playhead.newest import take
from topics import INCIDENTS
from topics.incidents import Incident

log = structlog.get_logger(__name__)

BATCH = 500
POLL_S = 0.2
STOP_TIMEOUT_S = 15.0


class OwnedIncidents:
    """Follows `incidents` as a member of a group: each partition has one member that tells of it.

    Nothing is committed: whoever gets a partition reads all of it, since a compacted topic says all there is
    to know. What a partition says counts once it is read to its end; before that it may say what is over.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
        changed: called, from another thread, when something has changed.
        crashed: called, from another thread, when it cannot go on.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        prefix: str,
        changed: Callable[[], None],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._client = client
        self._topic = INCIDENTS.full_name(prefix)
        self._group = f"{prefix}playhead.notify"
        self._changed = changed
        self._crashed = crashed
        self._known: dict[int, dict[str, Incident]] = {}
        self._read: set[int] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notify-incidents", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    async def stop(self) -> None:
        """Leave the group."""
        self._ending.set()
        await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)

    def values(self) -> list[Incident]:
        """Return how each incident stands that is to be told of here."""
        with self._lock:
            return [each for number in self._read for each in self._known[number].values()]

    def _run(self) -> None:
        try:
            self._follow()
        except BaseException as error:
            log.exception("cannot follow incidents", topic=self._topic)
            with suppress(RuntimeError):  # the loop has ended, and with it whoever would care
                self._crashed(error)

    def _follow(self) -> None:
        consumer = Consumer(
            {
                **self._client,
                "group.id": self._group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 1_500,
                "fetch.wait.max.ms": 20,
            }
        )
        consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked)
        try:
            while not self._ending.is_set():
                for message in consumer.consume(BATCH, POLL_S):
                    self._take(message)
        finally:
            consumer.close()

    def _take(self, message: Any) -> None:
        error = message.error()
        number = message.partition()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            if error.fatal():
                raise KafkaException(error)
            log.warning("following interrupted", topic=self._topic, error=str(error))
            return
        with self._lock:
            if number not in self._known:
                return
            if error is not None:
                self._read.add(number)
            else:
                take(self._known[number], INCIDENTS, message)
        self._changed()

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        with self._lock:
            for place in places:
                self._known[place.partition] = {}
                self._read.discard(place.partition)
        consumer.assign([TopicPartition(each.topic, each.partition, OFFSET_BEGINNING) for each in places])

    def _revoked(self, _: Consumer, places: list[TopicPartition]) -> None:
        with self._lock:
            for place in places:
                self._known.pop(place.partition, None)
                self._read.discard(place.partition)
