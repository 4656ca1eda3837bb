"""The one order in which the records of many partitions are played: by event time, the same at every replay.

Within a partition records keep the order in which they stood, so a record that came late comes late again: it
is due when the newest before it was. Between partitions the order is (time due, topic, partition, offset). A
record without a credible event time (unreadable, a tombstone, or further in the future than the pipeline
takes) is due with the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from playhead.recording.reader import Run

Int64s = npt.NDArray[np.int64]

AT_ONCE = -1
"""Time due of what stands before the first credible time of its partition."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive records of the order."""

    due_ms: Int64s
    """Event time at which each is due, in ms since the epoch."""
    run: Int64s
    """Which of the runs each comes from."""
    rows: pa.Table

    def part(self, first: int, end: int) -> Slice:
        """Return the records from `first` up to and not including `end`."""
        return Slice(self.due_ms[first:end], self.run[first:end], self.rows.slice(first, end - first))


class _Stream:
    """What is at hand of one run."""

    def __init__(self, run: Run, rank: int, max_future_ms: int) -> None:
        self._batches = run.batches()
        self._rank = rank
        self._max_future_ms = max_future_ms
        self._newest_ms = AT_ONCE
        self._held: list[tuple[Int64s, pa.RecordBatch]] = []
        self.ended = False
        self.more()

    @property
    def horizon_ms(self) -> int:
        """The last time due at hand; what follows is not due before it."""
        return int(self._held[-1][0][-1])

    def more(self) -> None:
        """Read on."""
        for batch in self._batches:
            if batch.num_rows:
                self._held.append((self._due(batch), batch))
                return
        self.ended = True

    def take(self, before_ms: int | None) -> Iterator[tuple[Int64s, Int64s, pa.RecordBatch]]:
        """Give up what is due before a time (all, where there is none), with the rank of the run."""
        held, self._held = self._held, []
        for due, batch in held:
            count = len(due) if before_ms is None else int(np.searchsorted(due, before_ms, "left"))
            if count:
                yield due[:count], np.full(count, self._rank), batch.slice(0, count)
            if count < len(due):
                self._held.append((due[count:], batch.slice(count)))

    def _due(self, batch: pa.RecordBatch) -> Int64s:
        event_ms = _int64s(batch.column("event_time_ms").fill_null(AT_ONCE))
        latest_ms = _int64s(batch.column("broker_time_ms")) + self._max_future_ms
        credible = np.where(event_ms <= latest_ms, event_ms, AT_ONCE)
        credible[0] = max(credible[0], self._newest_ms)
        due: Int64s = np.maximum.accumulate(credible)
        self._newest_ms = int(due[-1])
        return due


def in_order(runs: Sequence[Run], max_future_ms: int) -> Iterator[Slice]:
    """Yield the records of all `runs` in their order, holding only some batches of each in memory.

    Args:
        runs: ordered by topic and partition.
        max_future_ms: event times further than this beyond the broker's time are not credible.

    Raises:
        DamagedRecordingError: a run cannot be read.
    """
    streams = [_Stream(run, rank, max_future_ms) for rank, run in enumerate(runs)]
    while streams:
        reading = [stream for stream in streams if not stream.ended]
        before_ms = min((stream.horizon_ms for stream in reading), default=None)
        taken = [piece for stream in streams for piece in stream.take(before_ms)]
        if taken:
            yield _sorted(taken)
        # Whoever stands at the horizon may hold more of that very time: it is complete once all read past it.
        for stream in reading:
            if stream.horizon_ms == before_ms:
                stream.more()
        if before_ms is None:
            return


def _sorted(pieces: Sequence[tuple[Int64s, Int64s, pa.RecordBatch]]) -> Slice:
    due = np.concatenate([due for due, _, _ in pieces])
    rank = np.concatenate([rank for _, rank, _ in pieces])
    # Pieces of a run come in order and the sort is stable, so that offsets need no key of their own.
    order = np.lexsort((rank, due))
    rows = pa.Table.from_batches([batch for _, _, batch in pieces]).take(order)
    return Slice(due[order], rank[order], rows)


def _int64s(column: pa.Array[Any]) -> Int64s:
    values: Int64s = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return values
