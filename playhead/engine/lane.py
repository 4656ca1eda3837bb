"""Hot lanes: whole batches of one partition handed to a processor, with state that survives.

A lane is a consumer group of its own over one topic, run by confluent-kafka in a thread under Faust's
lifecycle (started, stopped and crashed with the application). Per assigned partition it keeps one
processor. In a loop it reads what is there, hands each partition's records over as one batch, and publishes
what follows. At each checkpoint, in this order: outputs acknowledged, snapshot written, offset committed
together with the snapshot's place. A killed worker therefore resumes from a consistent pair and emits the
same ids again.

A record on which a processor fails unexpectedly is found by reading again from the checkpoint one record at a
time, goes to the dead letters, and is left out from then on.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from mode import Service

from agents import metrics
from agents.ports import LaneProcessor
from config.sections import EngineSettings
from playhead.engine.batch import MessageBatch
from playhead.engine.snapshots import Pointer, SnapshotError, SnapshotStore, decode_pointer, encode_pointer
from playhead.publisher import Publisher
from topics.emission import Emission
from topics.spec import AnySpec

log = structlog.get_logger(__name__)

MakeProcessor = Callable[[int, int], LaneProcessor]

POLL_S = 0.1
FLUSH_TIMEOUT_S = 30.0
BROKER_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Shard:
    """What a lane knows of one assigned partition."""

    processor: LaneProcessor
    checkpoint: int
    """First offset that the newest checkpoint does not hold."""
    next_offset: int
    pointer: Pointer | None
    last_read: float
    """When it last had a record, or was last told to be idle."""
    idle: bool = False
    careful_until: int = -1
    """Up to this offset records are handed over one at a time: one of them is bad."""
    poison: set[int] = field(default_factory=set)


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
        self._ending = threading.Event()
        self._assigned = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the group has told this lane what is its own (be it nothing)."""
        return self._assigned.is_set()

    @property
    def lag_records(self) -> int:
        """Records of the assigned partitions not yet read, at the last checkpoint."""
        return self._lag

    _lag = 0

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
            loop.call_soon_threadsafe(loop.create_task, self.crash(error))

    def _read(self) -> None:
        self._publisher = Publisher(self._client, self._prefix)
        self._consumer = Consumer(
            {
                **self._client,
                "group.id": f"{self._prefix}playhead.{self.name}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 1_500,
                "fetch.wait.max.ms": self._engine.fetch_wait_ms,
                # The default of 1,000 stalls a consumer whose queue was full for a second at a time.
                "fetch.queue.backoff.ms": 2,
                "fetch.message.max.bytes": 4_000_000,
                "queued.min.messages": 200_000,
                "queued.max.messages.kbytes": 131_072,
                "max.poll.interval.ms": 300_000,
            }
        )
        self._partitions = self._count_partitions()
        self._consumer.subscribe(
            [self._topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
        )
        due = time.monotonic() + self._engine.checkpoint_interval_s
        try:
            while not self._ending.is_set():
                first = self._consumer.poll(POLL_S)
                if first is not None:
                    rest = self._consumer.consume(self._engine.batch_max_records - 1, 0)
                    self._take([first, *rest])
                self._find_idle()
                if time.monotonic() >= due:
                    self._checkpoint(list(self._shards))
                    due = time.monotonic() + self._engine.checkpoint_interval_s
            self._checkpoint(list(self._shards))
        finally:
            self._consumer.close()
            self._publisher.close()

    def _count_partitions(self) -> int:
        while not self._ending.is_set():
            try:
                topic = self._consumer.list_topics(self._topic, BROKER_TIMEOUT_S).topics[self._topic]
                if topic.error is None:
                    return len(topic.partitions)
            except KafkaException as error:
                log.warning("waiting for the broker", lane=self.name, topic=self._topic, error=str(error))
            self._ending.wait(1.0)
        return self._spec.partitions

    # -- assignment ---------------------------------------------------------------------------------------

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        wanted = [TopicPartition(self._topic, each.partition) for each in partitions]
        committed = consumer.committed(wanted, BROKER_TIMEOUT_S) if wanted else []
        for place in committed:
            self._shards[place.partition] = self._load(
                place.partition, place.offset, decode_pointer(place.metadata)
            )
        consumer.incremental_assign(
            [
                TopicPartition(self._topic, number, self._shards[number].next_offset or OFFSET_BEGINNING)
                for number in (place.partition for place in committed)
            ]
        )
        self._assigned.set()
        log.info("partitions assigned", lane=self.name, partitions=sorted(self._shards))

    def _load(self, partition: int, offset: int, pointer: Pointer | None) -> Shard:
        processor = self._make(partition, self._partitions)
        offset = max(offset, 0)
        if pointer is not None:
            processor.restore(self._snapshots.read(self._spec.name, partition, offset, pointer))
        return Shard(processor, offset, offset, pointer, time.monotonic())

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [each.partition for each in partitions]
        self._checkpoint(numbers)
        self._drop(consumer, partitions, numbers)

    def _lose(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(consumer, partitions, [each.partition for each in partitions])

    def _drop(self, consumer: Consumer, partitions: list[TopicPartition], numbers: list[int]) -> None:
        for number in numbers:
            self._shards.pop(number, None)
        consumer.incremental_unassign(partitions)
        log.info("partitions given up", lane=self.name, partitions=numbers)

    # -- records ------------------------------------------------------------------------------------------

    def _take(self, messages: list[Message]) -> None:
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                log.warning("fetch failed", lane=self.name, error=str(error))
                continue
            by_partition.setdefault(message.partition(), []).append(message)
        self._wake()
        for partition, run in by_partition.items():
            shard = self._shards.get(partition)
            if shard is not None:
                self._hand_over(partition, shard, run)

    def _hand_over(self, partition: int, shard: Shard, run: list[Message]) -> None:
        # What librdkafka had queued before a seek may still come: the processor must see each record once.
        run = [message for message in run if message.offset() >= shard.next_offset]
        while run:
            careful = run[0].offset() <= shard.careful_until
            now, run = (run[:1], run[1:]) if careful else (run, [])
            last = now[-1].offset()
            now = [message for message in now if message.offset() not in shard.poison]
            batch = MessageBatch(self.name, self._spec, partition, now)
            began = time.perf_counter()
            try:
                emissions = shard.processor.process(batch) if now else []
            except Exception as error:
                log.exception("batch failed", lane=self.name, partition=partition, records=len(now))
                self._reload(partition, shard, now, error)
                return
            self._send([*emissions, *batch.refused])
            shard.next_offset = last + 1
            shard.last_read = time.monotonic()
            shard.idle = False
            batch.report()
            metrics.PROCESSING_SECONDS.labels(self.name).observe(time.perf_counter() - began)
            if now:
                broker_time_s = now[-1].timestamp()[1] / 1000
                metrics.LATENCY_SECONDS.labels(self.name).observe(max(time.time() - broker_time_s, 0.0))

    def _reload(self, partition: int, shard: Shard, failed: list[Message], error: Exception) -> None:
        """Go back to the checkpoint: the processor may have taken half of the failed batch in."""
        fresh = self._load(partition, shard.checkpoint, shard.pointer)
        fresh.poison = {offset for offset in shard.poison if offset >= shard.checkpoint}
        fresh.careful_until = failed[-1].offset()
        if len(failed) == 1:
            offset = failed[0].offset()
            fresh.poison.add(offset)
            batch = MessageBatch(self.name, self._spec, partition, failed)
            batch.refuse(0, f"{type(error).__name__}: {error}")
            self._publisher.send(batch.refused[0])
            batch.report()
        self._shards[partition] = fresh
        self._consumer.seek(TopicPartition(self._topic, partition, fresh.next_offset))

    def _wake(self) -> None:
        """Withdraw the word of idleness of partitions that have records by now.

        Otherwise a batch of another partition could make what waits for all partitions go on without them.
        """
        for partition, shard in self._shards.items():
            if shard.idle and not self._is_read(partition, shard):
                shard.idle = False
                self._send(shard.processor.awake())

    def _find_idle(self) -> None:
        """Tell of partitions with nothing more to read, again and again: the word holds for a while only."""
        now = time.monotonic()
        for partition, shard in self._shards.items():
            if now - shard.last_read < self._engine.idle_after_s:
                continue
            shard.last_read = now
            # Idleness needs proof from the broker: with it away, silence means nothing.
            shard.idle = self._is_read(partition, shard)
            if shard.idle:
                self._send(shard.processor.idle())

    def _is_read(self, partition: int, shard: Shard) -> bool:
        end = self._end_offset(partition)
        return end is not None and end <= shard.next_offset

    def _send(self, emissions: list[Emission]) -> None:
        for emission in emissions:
            self._publisher.send(emission)
            metrics.EMISSIONS.labels(self.name, emission.spec.name).inc()

    def _end_offset(self, partition: int) -> int | None:
        try:
            place = TopicPartition(self._topic, partition)
            return int(self._consumer.get_watermark_offsets(place, timeout=1.0)[1])
        except KafkaException:
            return None

    # -- checkpoints --------------------------------------------------------------------------------------

    def _checkpoint(self, numbers: list[int]) -> None:
        moved = [
            (number, shard)
            for number in numbers
            if (shard := self._shards.get(number)) is not None and shard.next_offset > shard.checkpoint
        ]
        if not moved or not self._publisher.flush(FLUSH_TIMEOUT_S):
            return
        try:
            pointers = [self._write(number, shard) for number, shard in moved]
            self._consumer.commit(
                offsets=[
                    TopicPartition(self._topic, number, shard.next_offset, encode_pointer(pointer))
                    for (number, shard), pointer in zip(moved, pointers, strict=True)
                ],
                asynchronous=False,
            )
        except (KafkaException, SnapshotError) as error:
            # The old checkpoint stays in force; the next one, or the worker that takes over, goes on from it.
            log.warning("checkpoint failed", lane=self.name, error=str(error))
            return
        for (_, shard), pointer in zip(moved, pointers, strict=True):
            shard.checkpoint = shard.next_offset
            shard.pointer = pointer
        metrics.CHECKPOINTS.labels(self.name).inc()
        self._measure_lag()

    def _write(self, number: int, shard: Shard) -> Pointer | None:
        data = shard.processor.snapshot()
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
