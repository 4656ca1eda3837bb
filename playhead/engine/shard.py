"""One partition of a lane: its processor, how far it has come, and which of its records are suspect."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import structlog
from confluent_kafka import Message

from agents import metrics
from agents.ports import LaneProcessor
from playhead.engine.batch import MessageBatch
from playhead.engine.snapshots import Pointer
from playhead.publisher import Outgoing, Publisher, encoded
from topics.spec import AnySpec

log = structlog.get_logger(__name__)

SEARCHED_AT_ONCE = 256
"""Records searched for bad ones between two polls: each may cost a snapshot restored."""

Restore = Callable[[int, bytes], LaneProcessor]


class BatchError(Exception):
    """A processor failed on the records at `offsets`; what it knows now may hold half of them."""

    def __init__(self, offsets: range) -> None:
        super().__init__(f"offsets {offsets.start} to {offsets.stop - 1}")
        self.offsets = offsets


class Shard:
    """What a lane knows of one partition.

    Args:
        lane: the lane's name.
        spec: the topic.
        partition: its number.
        restore: ``restore(partition, snapshot)`` returns a processor that knows what the snapshot tells.
        publisher: where what follows is sent.
        batch_max_bytes: of the values handed over at once; a larger record goes by itself.
        checkpoint: first offset that the newest checkpoint does not hold.
        pointer: where its snapshot stands.
        snapshot: and what it tells; nothing where nothing is known.
    """

    def __init__(
        self,
        lane: str,
        spec: AnySpec,
        partition: int,
        restore: Restore,
        publisher: Publisher,
        *,
        batch_max_bytes: int,
        checkpoint: int,
        pointer: Pointer | None = None,
        snapshot: bytes = b"",
    ) -> None:
        self._lane = lane
        self._spec = spec
        self._restore = restore
        self._publisher = publisher
        self._batch_max_bytes = batch_max_bytes
        self._processor = restore(partition, snapshot)
        self.partition = partition
        self.checkpoint = checkpoint
        self.pointer = pointer
        self.next_offset = checkpoint
        self.suspects = range(0)
        """Offsets of a batch that failed: some of its records are bad."""
        self.unsure = False
        """A commit failed on the way; the broker may have it all the same."""
        self.idle = False
        self.last_read = time.monotonic()
        """When it last had a record, or was last looked at for idleness."""

    def take(self, run: list[Message]) -> bool:
        """Hand over `run`; return False where the rest of it is to be read again, from `next_offset` on.

        Raises:
            BatchError: the processor failed; go back to the checkpoint, with these offsets as suspects.
        """
        # What was queued before a seek may still come: the processor must see each record once.
        if run[0].offset() < self.next_offset:
            run = [message for message in run if message.offset() >= self.next_offset]
        while run:
            now = self._together(run)
            if now[0].offset() in self.suspects:
                self._search(now)
                if len(now) < len(run):
                    return False
            else:
                try:
                    batch, outgoing = self._process(now)
                except Exception as error:
                    log.exception("batch failed", lane=self._lane, partition=self.partition, records=len(now))
                    raise BatchError(range(now[0].offset(), now[-1].offset() + 1)) from error
                self._publish(now, batch, outgoing)
            run = run[len(now) :]
        return True

    def reached(self, end: int) -> None:
        """Note that there is no record before `end` any more to be read.

        The last offsets may hold none: retention or a transaction's marker has taken them.
        """
        self.next_offset = max(self.next_offset, end)

    def tell_idle(self) -> None:
        """Publish what follows from there being nothing more to read."""
        self.idle = True
        self._send(encoded(emission) for emission in self._processor.idle())

    def tell_awake(self) -> None:
        """Publish what follows from there being records again."""
        self.idle = False
        self._send(encoded(emission) for emission in self._processor.awake())

    def snapshot(self) -> bytes:
        """Return all that is known of the records before `next_offset`."""
        return self._processor.snapshot()

    def _together(self, run: list[Message]) -> list[Message]:
        """Return those of `run`, from the first on, that are to be handed over together."""
        first = run[0].offset()
        if first in self.suspects:
            end = min(self.suspects.stop, first + SEARCHED_AT_ONCE)
        elif first < self.suspects.start:
            end = self.suspects.start
        else:
            return self._few(run)
        return [message for message in run if message.offset() < end]

    def _few(self, run: list[Message]) -> list[Message]:
        """Return so many of `run` that their values, and what becomes of them, have room in memory."""
        sizes = list(map(len, run))
        if sum(sizes) <= self._batch_max_bytes:
            return run
        return run[: max(bisect_right(list(accumulate(sizes)), self._batch_max_bytes), 1)]

    def _process(self, run: Sequence[Message]) -> tuple[MessageBatch, list[Outgoing]]:
        """Let the processor take `run` in; what follows is encoded here, for that may fail too."""
        batch = MessageBatch(self._lane, self._spec, self.partition, run)
        began = time.perf_counter()
        emissions = self._processor.process(batch)
        outgoing = [encoded(emission) for emission in (*emissions, *batch.refused)]
        metrics.PROCESSING_SECONDS.labels(self._lane).observe(time.perf_counter() - began)
        return batch, outgoing

    def _search(self, run: Sequence[Message]) -> None:
        """Hand over `run`, some of which is bad: halve it until what is bad stands alone."""
        before = self._processor.snapshot()
        try:
            batch, outgoing = self._process(run)
        except Exception as error:  # noqa: BLE001 whatever it is, one record of the run has caused it
            reason = f"{type(error).__name__}: {error}"
        else:
            self._publish(run, batch, outgoing)
            return
        self._processor = self._restore(self.partition, before)
        if len(run) > 1:
            half = len(run) // 2
            self._search(run[:half])
            self._search(run[half:])
            return
        place = {"partition": self.partition, "offset": run[0].offset()}
        log.error("record refused", lane=self._lane, reason=reason, **place)
        batch = MessageBatch(self._lane, self._spec, self.partition, run)
        batch.refuse(0, reason)
        self._publish(run, batch, [encoded(batch.refused[0])])

    def _publish(self, run: Sequence[Message], batch: MessageBatch, outgoing: Iterable[Outgoing]) -> None:
        self._send(outgoing)
        self.next_offset = run[-1].offset() + 1
        self.last_read = time.monotonic()
        self.idle = False
        batch.report()
        broker_time_s = run[-1].timestamp()[1] / 1000
        metrics.LATENCY_SECONDS.labels(self._lane).observe(max(time.time() - broker_time_s, 0.0))

    def _send(self, outgoing: Iterable[Outgoing]) -> None:
        for each in outgoing:
            self._publisher.send(each)
            metrics.EMISSIONS.labels(self._lane, each.spec.name).inc()
