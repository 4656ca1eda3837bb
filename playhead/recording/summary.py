"""What the rows of one topic amount to; gathered while a recording is written, or again from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from playhead.recording.format import OffsetRange, Part, RecordedTopic


class Summary:
    """Adds up the rows of one topic."""

    def __init__(self, topic: str, partitions: int = 0) -> None:
        self._topic = topic
        self._partitions = partitions
        self._records = 0
        self._value_bytes = 0
        self._offsets: dict[int, tuple[int, int]] = {}
        self._event_ms: tuple[int, int] | None = None
        self._broker_ms: tuple[int, int] | None = None

    @property
    def event_to_ms(self) -> int | None:
        """The newest event time."""
        return None if self._event_ms is None else self._event_ms[1]

    def add(self, rows: pa.Table) -> None:
        """Add rows of `format.SCHEMA` that all stand in one partition."""
        if not rows.num_rows:
            return
        partition = rows["partition"][0].as_py()
        offsets = _wider(self._offsets.get(partition), rows["offset"])
        if offsets is not None:
            self._offsets[partition] = offsets
        self._records += rows.num_rows
        self._value_bytes += pc.sum(pc.binary_length(rows["value"])).as_py() or 0
        self._event_ms = _wider(self._event_ms, rows["event_time_ms"])
        self._broker_ms = _wider(self._broker_ms, rows["broker_time_ms"])

    def told(self, parts: Sequence[Part]) -> RecordedTopic:
        """Return the sum, for the manifest."""
        event_from_ms, event_to_ms = self._event_ms or (None, None)
        broker_from_ms, broker_to_ms = self._broker_ms or (None, None)
        return RecordedTopic(
            topic=self._topic,
            partitions=max(self._partitions, max(self._offsets, default=-1) + 1),
            records=self._records,
            value_bytes=self._value_bytes,
            event_from_ms=event_from_ms,
            event_to_ms=event_to_ms,
            broker_from_ms=broker_from_ms,
            broker_to_ms=broker_to_ms,
            offsets=[
                OffsetRange(partition=partition, first=first, last=last)
                for partition, (first, last) in sorted(self._offsets.items())
            ],
            parts=list(parts),
        )


def _wider(known: tuple[int, int] | None, column: pa.ChunkedArray[Any]) -> tuple[int, int] | None:
    low, high = pc.min(column).as_py(), pc.max(column).as_py()
    if low is None:
        return known
    return (low, high) if known is None else (min(known[0], low), max(known[1], high))
