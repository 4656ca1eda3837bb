"""Playing a recording: its records on topics of another prefix, byte for byte, paced by their event times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from playhead.bulk_sender import ANY_PARTITION, Sender
from playhead.clock import Clock
from playhead.packing import is_packed
from playhead.recording.order import AT_ONCE, Slice, in_order
from playhead.recording.pacing import Floats, Lateness, VirtualClock
from playhead.recording.reader import Run

T = TypeVar("T")

STOP_CHECK_S = 0.1
BURST = 500
"""Records sent between two looks at the clock."""


@dataclass(slots=True)
class Played:
    """What a replay did so far."""

    records: int = 0
    by_topic: dict[str, int] = field(default_factory=dict)
    event_from_ms: int | None = None
    event_to_ms: int | None = None
    lateness: Lateness = field(default_factory=Lateness)
    gaps: int = 0
    skipped_ms: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Where the records of a topic go."""

    topic: str
    """Full name."""
    partitions: int


Rewrite = Callable[[str, bytes, bool], bytes]
"""From a topic's name, a value, and whether it is packed, to the value to send in its place."""


class Replay:
    """Sends the records of runs to their targets, each when it is due.

    A record goes to the partition it was taken from, where the target has it, else where its key belongs.

    Args:
        runs: what to play, ordered by topic and partition.
        targets: by the topics' names without prefix.
        sender: the way to Kafka; it is flushed at the end.
        clock: what the pace is kept by.
        speed: seconds of event time played in a second; None: as fast as it goes.
        from_ms: leave out what is due before this event time.
        to_ms: leave out what is due from this event time on.
        max_gap_ms: wait no longer than this much event time for the next record; 0: however long.
        max_future_ms: event times further than this beyond the broker's time are not credible.
        rewrite: makes new values; None leaves them byte for byte as they are.
        stopped: asked again and again; once true, it ends.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        targets: Mapping[str, Target],
        sender: Sender,
        clock: Clock,
        *,
        speed: float | None = 1.0,
        from_ms: int | None = None,
        to_ms: int | None = None,
        max_gap_ms: int = 0,
        max_future_ms: int,
        rewrite: Rewrite | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.played = Played()
        self._runs = runs
        self._targets = [targets[run.topic] for run in runs]
        self._partitions = [
            run.partition if run.partition < target.partitions else ANY_PARTITION
            for run, target in zip(runs, self._targets, strict=True)
        ]
        self._sender = sender
        self._clock = clock
        self._speed = speed
        self._from_ms = from_ms
        self._to_ms = to_ms
        self._max_gap_ms = max_gap_ms
        self._max_future_ms = max_future_ms
        self._rewrite = rewrite
        self._stopped = stopped

    def play(self, progress: Callable[[Played], None] = lambda _: None) -> Played:
        """Send everything and return what was done; `progress` is told again and again.

        Raises:
            DamagedRecordingError: a run cannot be read.
        """
        played = self.played
        virtual = None if self._speed is None else VirtualClock(self._clock, self._speed, self._max_gap_ms)
        try:
            for records in _ahead(self._records()):
                due_s = None
                if virtual is not None:
                    due_s = virtual.due_s(records.due_ms)
                    played.gaps, played.skipped_ms = virtual.gaps, virtual.skipped_ms
                if not self._play(records, due_s, progress):
                    played.stopped = True
                    break
        finally:
            self._sender.flush()
        return played

    def _records(self) -> Iterator[_Records]:
        for whole in in_order(self._runs, self._max_future_ms):
            piece = self._within(whole)
            if len(piece.due_ms):
                yield _Records(piece)

    def _within(self, piece: Slice) -> Slice:
        first = 0 if self._from_ms is None else int(np.searchsorted(piece.due_ms, self._from_ms, "left"))
        end = len(piece.due_ms)
        if self._to_ms is not None:
            end = int(np.searchsorted(piece.due_ms, self._to_ms, "left"))
        return piece.part(first, max(first, end))

    def _play(self, records: _Records, due_s: Floats | None, progress: Callable[[Played], None]) -> bool:
        """Send `records`; return False when stopped on the way."""
        at, count = 0, len(records.due_ms)
        while at < count:
            if self._stopped():
                return False
            end = count
            if due_s is not None:
                now_s = self._clock.now_s()
                end = int(np.searchsorted(due_s, now_s, "right"))
                if end <= at:
                    self._clock.wait(min(float(due_s[at]) - now_s, STOP_CHECK_S))
                    self._sender.poll()
                    progress(self.played)
                    continue
            end = min(end, at + BURST)
            self._send(records, at, end)
            if due_s is not None:
                self.played.lateness.add(np.maximum(self._clock.now_s() - due_s[at:end], 0.0))
            self._note(records, at, end)
            progress(self.played)
            at = end
        return True

    def _send(self, records: _Records, first: int, end: int) -> None:
        send, targets, partitions = self._sender.send, self._targets, self._partitions
        for at in range(first, end):
            run = records.runs[at]
            target, value, headers = targets[run], records.values[at], records.headers(at)
            if self._rewrite is not None and value is not None:
                value = self._rewrite(self._runs[run].topic, value, is_packed(headers))
            send(target.topic, value, records.keys[at], partitions[run], headers)
        self._sender.poll()

    def _note(self, records: _Records, first: int, end: int) -> None:
        played = self.played
        played.records += end - first
        for run, count in enumerate(np.bincount(records.runs[first:end])):
            if count:
                topic = self._runs[run].topic
                played.by_topic[topic] = played.by_topic.get(topic, 0) + int(count)
        newest_ms = int(records.due_ms[end - 1])
        if newest_ms > AT_ONCE:
            played.event_to_ms = newest_ms
            if played.event_from_ms is None:
                times = records.due_ms[first:end]
                played.event_from_ms = int(times[times > AT_ONCE][0])


def _ahead(pieces: Iterator[T]) -> Iterator[T]:
    """Yield `pieces`, each made while the one before is used: making one must not hold up what is due."""
    with ThreadPoolExecutor(1, "replay-ahead") as pool:
        coming = pool.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = pool.submit(next, pieces, None)
            yield piece


class _Records:
    """The rows of a slice as Python values, made column by column."""

    def __init__(self, piece: Slice) -> None:
        self.due_ms = piece.due_ms
        self.runs: list[int] = piece.run.tolist()
        self.keys: list[bytes | None] = _objects(piece.rows["key"])
        self.values: list[bytes | None] = _objects(piece.rows["value"])
        headers = piece.rows["headers"]
        most: int = pc.max(pc.list_value_length(headers)).as_py() or 0
        self._headers: list[Any] | None = headers.to_pylist() if most else None

    def headers(self, at: int) -> list[tuple[str, bytes | None]] | None:
        """Return the headers of one record; None where it has none."""
        if self._headers is None or not self._headers[at]:
            return None
        return [(header["name"], header["value"]) for header in self._headers[at]]


def _objects(column: pa.ChunkedArray[Any]) -> list[Any]:
    values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return values
