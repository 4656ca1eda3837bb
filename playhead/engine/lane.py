"""Hot lanes: whole batches of one partition handed to a processor, with state that survives.

A lane is a consumer group of its own over one topic, run by confluent-kafka in a thread under Faust's
lifecycle (started, stopped and crashed with the application). Per assigned partition it keeps one
processor. In a loop it reads what is there, hands each partition's records over as one batch, and publishes
what follows. At each checkpoint, in this order: outputs acknowledged, snapshot written, offset committed
together with the snapshot's place. A killed worker therefore resumes from a consistent pair and emits the
same ids again. What a lane cannot mend crashes it without a last checkpoint, and with it the worker, which is
started again.

A batch on which a processor fails unexpectedly is read again from the checkpoint and halved until the bad
records stand alone; they go to the dead letters, and everything else is taken once.

A snapshot that is gone, or that its processor cannot take up, would stop the worker at every start. The
partition then goes on from its committed offset with nothing known, says so, and counts it: baselines are
learned anew within minutes, while a control room that stands still is blind until someone comes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from mode import Service

from agents import metrics
from agents.ports import LaneProcessor
from config.sections import EngineSettings
from playhead.engine.shard import BatchError, Shard
from playhead.engine.snapshots import (
    Pointer,
    SnapshotError,
    SnapshotLostError,
    SnapshotStore,
    decode_pointer,
    encode_pointer,
)
from playhead.publisher import Publisher
from topics.spec import AnySpec

log = structlog.get_logger(__name__)

MakeProcessor = Callable[[int, int], LaneProcessor]

POLL_S = 0.1
FLUSH_TIMEOUT_S = 10.0
BROKER_TIMEOUT_S = 10.0
PROOF_TIMEOUT_S = 1.0
RETRY_S = 1.0
STOP_TIMEOUT_S = 30.0


class Lane(Service):  # type: ignore[misc]
    """One processor per assigned partition of one topic.

    Args:
        name: the agent's name, and with the prefix its consumer group's.
        spec: the topic.
        make: ``make(partition, partitions)`` returns a processor with nothing in it.
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
        engine: batching, checkpoints, idleness.
    """

    def __init__(
        self,
        name: str,
        spec: AnySpec,
        make: MakeProcessor,
        *,
        client: Mapping[str, Any],
        prefix: str,
        engine: EngineSettings,
    ) -> None:
        super().__init__()
        self.name = name
        self._spec = spec
        self._make = make
        self._client = client
        self._prefix = prefix
        self._engine = engine
        self._topic = spec.full_name(prefix)
        self._snapshots = SnapshotStore(client, prefix, name)
        self._shards: dict[int, Shard] = {}
        self._partitions = spec.partitions
        self._lag = 0
        self._turn = -1
        """The partition that had the newest checkpoint."""
        self._due = 0.0
        self._ending = threading.Event()
        self._assigned = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the group has told this lane what is its own (be it nothing)."""
        return self._assigned.is_set()

    @property
    def lag_records(self) -> int:
        """Records of the assigned partitions not yet read, as last measured."""
        return self._lag

    async def on_start(self) -> None:
        """Begin to read, in a thread."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name=f"lane-{self.name}", daemon=True)
        self._thread.start()

    async def on_stop(self) -> None:
        """Write a last checkpoint and leave the group."""
        self._ending.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._read()
        except BaseException as error:
            log.exception("lane crashed", lane=self.name)
            with suppress(RuntimeError):  # the loop has ended, and with it whoever would care
                loop.call_soon_threadsafe(self._crash_soon, error)

    def _crash_soon(self, error: BaseException) -> None:
        self.add_future(self.crash(error))

    def _read(self) -> None:
        self._publisher = Publisher(self._client, self._prefix)
        self._consumer = Consumer(
            {
                **self._client,
                "group.id": f"{self._prefix}playhead.{self.name}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(self._engine.session_timeout_s * 1_000),
                "heartbeat.interval.ms": int(self._engine.session_timeout_s * 250),
                "fetch.wait.max.ms": self._engine.fetch_wait_ms,
                # The default of 1,000 stalls a consumer whose queue was full for a second at a time.
                "fetch.queue.backoff.ms": 2,
                "fetch.min.bytes": self._engine.fetch_min_bytes,
                "fetch.message.max.bytes": self._engine.fetch_max_bytes,
                # What is read ahead is bounded by both: by bytes of records, and by their number.
                "queued.min.messages": self._engine.read_ahead_records,
                "queued.max.messages.kbytes": self._engine.read_ahead_kbytes,
                "max.poll.interval.ms": 300_000,
            }
        )
        try:
            self._partitions = self._count_partitions()
            self._consumer.subscribe(
                [self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
            )
            self._go_on()
        except BaseException:
            # What the processors hold now may be half of a batch: closing must not write it down.
            self._shards.clear()
            raise
        finally:
            self._consumer.close()
            self._publisher.close()

    def _go_on(self) -> None:
        self._due = time.monotonic() + self._engine.checkpoint_interval_s
        while not self._ending.is_set():
            first = self._consumer.poll(POLL_S)
            if first is not None:
                self._take([first, *self._more()])
            self._find_idle()
            if time.monotonic() >= self._due:
                self._checkpoint_next()
                self._measure_lag()
        self._checkpoint(list(self._shards))

    def _more(self) -> list[Message]:
        """Return what else there is, after a moment: a batch costs much the same however small it is."""
        most = self._engine.batch_max_records - 1
        return self._consumer.consume(most, self._engine.batch_wait_ms / 1000) if most else []

    def _count_partitions(self) -> int:
        while not self._ending.is_set():
            try:
                topic = self._consumer.list_topics(self._topic, BROKER_TIMEOUT_S).topics[self._topic]
            except KafkaException as error:
                log.warning("waiting for the broker", lane=self.name, error=str(error))
            else:
                if topic.error is None:
                    return len(topic.partitions)
                log.warning(
                    "waiting for the topic", lane=self.name, topic=self._topic, error=str(topic.error)
                )
            self._ending.wait(RETRY_S)
        return self._spec.partitions

    # -- assignment ---------------------------------------------------------------------------------------

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = self._committed([each.partition for each in partitions])
        for place in places:
            self._shards[place.partition] = self._resumed(place)
        consumer.incremental_assign(
            [
                TopicPartition(self._topic, number, self._shards[number].next_offset or OFFSET_BEGINNING)
                for number in (place.partition for place in places)
            ]
        )
        self._assigned.set()
        log.info("partitions assigned", lane=self.name, partitions=sorted(self._shards))

    def _committed(self, numbers: Sequence[int]) -> list[TopicPartition]:
        """Return what the group has committed, however long the broker needs to say so."""
        while numbers and not self._ending.is_set():
            try:
                return self._ask_committed(numbers)
            except KafkaException as error:
                log.warning("waiting for the broker", lane=self.name, error=str(error))
                self._ending.wait(RETRY_S)
        return []

    def _ask_committed(self, numbers: Sequence[int]) -> list[TopicPartition]:
        wanted = [TopicPartition(self._topic, number) for number in numbers]
        return _checked(self._consumer.committed(wanted, BROKER_TIMEOUT_S))

    def _resumed(self, place: TopicPartition) -> Shard:
        offset = max(place.offset, 0)
        try:
            pointer = decode_pointer(place.metadata)
        except SnapshotLostError as error:
            return self._afresh(place.partition, offset, error)
        return self._load(place.partition, offset, pointer)

    def _load(self, partition: int, offset: int, pointer: Pointer | None) -> Shard:
        """Return the shard as the checkpoint at `offset` has it."""
        if pointer is None:
            return self._shard(partition, checkpoint=offset)
        try:
            data = self._snapshots.read(self._spec.name, partition, offset, pointer)
        except SnapshotLostError as error:
            return self._afresh(partition, offset, error)
        try:
            return self._shard(partition, checkpoint=offset, pointer=pointer, snapshot=data)
        except Exception as error:  # noqa: BLE001 whatever a processor makes of one from before an upgrade
            return self._afresh(partition, offset, error)

    def _afresh(self, partition: int, offset: int, error: Exception) -> Shard:
        log.error(
            "snapshot lost: the partition goes on from its committed offset with nothing known",
            lane=self.name,
            partition=partition,
            offset=offset,
            error=f"{type(error).__name__}: {error}",
        )
        metrics.SNAPSHOTS_LOST.labels(self.name).inc()
        return self._shard(partition, checkpoint=offset)

    def _shard(self, partition: int, **known: Any) -> Shard:
        return Shard(
            self.name,
            self._spec,
            partition,
            self._restored,
            self._publisher,
            batch_max_bytes=self._engine.batch_max_bytes,
            **known,
        )

    def _restored(self, partition: int, data: bytes) -> LaneProcessor:
        processor = self._make(partition, self._partitions)
        if data:
            processor.restore(data)
        return processor

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._checkpoint([each.partition for each in partitions])
        self._lose(consumer, partitions)

    def _lose(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [each.partition for each in partitions]
        for number in numbers:
            self._shards.pop(number, None)
            metrics.forget_partition(self.name, number)
        consumer.incremental_unassign(partitions)
        log.info("partitions given up", lane=self.name, partitions=numbers)

    # -- records ------------------------------------------------------------------------------------------

    def _take(self, messages: list[Message]) -> None:
        by_partition: dict[int, list[Message]] = {}
        ends: dict[int, int] = {}
        if any(map(Message.error, messages)):
            messages = self._without_errors(messages, ends)
        for partition, found in groupby(messages, Message.partition):
            by_partition.setdefault(partition, []).extend(found)
        self._wake()
        for partition, run in by_partition.items():
            if partition in self._shards and not self._hand_over(self._shards[partition], run):
                ends.pop(partition, None)
        for partition, end in ends.items():
            if partition in self._shards:
                self._shards[partition].reached(end)

    def _without_errors(self, messages: list[Message], ends: dict[int, int]) -> list[Message]:
        """Return the messages that are records; note in `ends` which partitions were read to their end."""
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[message.partition()] = message.offset()
            elif error.fatal():
                raise KafkaException(error)
            else:
                log.warning("fetch failed", lane=self.name, error=str(error))
        return records

    def _hand_over(self, shard: Shard, run: list[Message]) -> bool:
        """Return whether all of `run` was taken; where not, the rest will be read again."""
        try:
            if shard.take(run):
                return True
        except BatchError as error:
            # The processor may have taken half of the batch in: back to the checkpoint.
            unsure = shard.unsure
            shard = self._load(shard.partition, shard.checkpoint, shard.pointer)
            shard.suspects, shard.unsure = error.offsets, unsure
            self._shards[shard.partition] = shard
        self._consumer.seek(TopicPartition(self._topic, shard.partition, shard.next_offset))
        return False

    # -- idleness -----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Withdraw the word of idleness of partitions that have records by now.

        Otherwise a batch of another partition could make what waits for all partitions go on without them.
        """
        for shard in self._shards.values():
            if shard.idle:
                end = self._end_offset(shard.partition)
                if end is None or end > shard.next_offset:
                    shard.tell_awake()

    def _find_idle(self) -> None:
        """Tell of partitions with nothing more to read, again and again: the word holds for a while only."""
        now = time.monotonic()
        for shard in self._shards.values():
            if now - shard.last_read < self._engine.idle_after_s:
                continue
            # Idleness needs proof from the broker: with it away, silence means nothing.
            end = self._end_offset(shard.partition)
            shard.last_read = now
            if end is None:
                return
            if end <= shard.next_offset:
                shard.tell_idle()

    def _end_offset(self, partition: int) -> int | None:
        try:
            place = TopicPartition(self._topic, partition)
            return int(self._consumer.get_watermark_offsets(place, timeout=PROOF_TIMEOUT_S)[1])
        except KafkaException:
            return None

    # -- checkpoints --------------------------------------------------------------------------------------

    def _checkpoint_next(self) -> None:
        """Write the checkpoint of one partition: taken in turn, none holds the others up for long.

        Each has its turn within the interval, unless checkpoints would take more than their share of the
        time: with a million series they come less often, and a killed worker has more to read again.
        """
        began = time.monotonic()
        moved = [number for number, shard in self._shards.items() if shard.next_offset > shard.checkpoint]
        if moved:
            number = min(moved, key=lambda each: (each <= self._turn, each))
            self._checkpoint([number])
            self._turn = number
        took_s = time.monotonic() - began
        pause_s = self._engine.checkpoint_interval_s / max(len(self._shards), 1)
        self._due = began + max(pause_s, took_s / self._engine.checkpoint_most_share)

    def _checkpoint(self, numbers: Iterable[int]) -> None:
        shards = {number: self._shards[number] for number in numbers if number in self._shards}
        moved = {number: shard for number, shard in shards.items() if shard.next_offset > shard.checkpoint}
        if not moved:
            return
        with metrics.CHECKPOINT_SECONDS.labels(self.name).time():
            self._write_down(moved)

    def _write_down(self, moved: Mapping[int, Shard]) -> None:
        if not self._publisher.flush(FLUSH_TIMEOUT_S):
            log.warning("checkpoint put off: the broker has not acknowledged all outputs", lane=self.name)
            return
        try:
            self._become_sure(moved)
            pointers = {number: self._write(number, shard) for number, shard in moved.items()}
            for shard in moved.values():
                shard.unsure = True
            _checked(
                self._consumer.commit(
                    offsets=[
                        TopicPartition(
                            self._topic, number, shard.next_offset, encode_pointer(pointers[number])
                        )
                        for number, shard in moved.items()
                    ],
                    asynchronous=False,
                )
            )
        except (KafkaException, SnapshotError) as error:
            # The old checkpoint stays in force; the next one, or the worker that takes over, goes on from it.
            log.warning("checkpoint failed", lane=self.name, error=str(error))
            return
        for number, shard in moved.items():
            shard.checkpoint = shard.next_offset
            shard.pointer = pointers[number]
            shard.unsure = False
        metrics.CHECKPOINTS.labels(self.name).inc()

    def _become_sure(self, moved: Mapping[int, Shard]) -> None:
        """Learn which checkpoint is in force: the next snapshot must not take the place of its chunks."""
        unsure = [number for number, shard in moved.items() if shard.unsure]
        for place in self._ask_committed(unsure) if unsure else ():
            shard = moved[place.partition]
            shard.checkpoint, shard.pointer = max(place.offset, 0), decode_pointer(place.metadata)
            shard.unsure = False

    def _write(self, number: int, shard: Shard) -> Pointer | None:
        data = shard.snapshot()
        if not data:
            return None
        metrics.CHECKPOINT_BYTES.labels(self.name, number).set(len(data))
        parity = 1 - shard.pointer.parity if shard.pointer is not None else 0
        return self._snapshots.write(
            self._publisher, self._spec.name, number, shard.next_offset, parity, data
        )

    def _measure_lag(self) -> None:
        total = 0
        for number, shard in self._shards.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), cached=True)
            lag = max(int(high) - shard.next_offset, 0)
            metrics.LAG_RECORDS.labels(self.name, number).set(lag)
            total += lag
        self._lag = total


def _checked(places: list[TopicPartition]) -> list[TopicPartition]:
    """Return `places`, unless the broker says of one of them that it failed."""
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)
    return places
