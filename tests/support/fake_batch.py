"""A batch in memory, for tests of lane processors: it keeps the promises of `agents.ports.Batch`.

The checks of `batch_checks.py` run against it and against the batch that real lanes hand over.
"""

from __future__ import annotations

from collections.abc import Sequence


class FakeBatch:
    """Records of one partition, given as (key, value, broker's time, packed)."""

    def __init__(
        self,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None, int, bool]],
        first_offset: int = 0,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.keys = [record[0] for record in records]
        self.values = [record[1] for record in records]
        self.times_ms = [record[2] for record in records]
        self.packed = [record[3] for record in records]
        self.offsets = list(range(first_offset, first_offset + len(records)))
        self.refusals: list[tuple[int, str, int | None]] = []
        self.processed = 0
        self.late = 0

    def __len__(self) -> int:
        return len(self.values)

    def refuse(self, index: int, reason: str, packed_index: int | None = None) -> None:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no record {index} among {len(self)}")
        self.refusals.append((index, reason, packed_index))

    def tally(self, *, processed: int, late: int = 0) -> None:
        self.processed += processed
        self.late += late
