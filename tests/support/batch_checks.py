"""What every batch promises to the processor it is handed to: see `agents.ports.Batch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from agents.ports import Batch

Row = tuple[bytes | None, bytes | None, int, bool]
"""Key, value, broker's time, and whether the record carries many events."""


class Refusal(NamedTuple):
    """What became of a refused record."""

    index: int
    reason: str
    packed_index: int | None


class Batches(NamedTuple):
    """One kind of batch: how it is made of rows, and what it tells afterwards."""

    make: Callable[[Sequence[Row]], Batch]
    refusals: Callable[[Any], list[Refusal]]
    tallied: Callable[[Any], tuple[int, int]]
    """Events processed and events late."""


SAMPLE = b'{"time_ms":1,"service":"payment","metric":"error_rate","value":0.5}'
PACKED = b'{"series":["payment/error_rate"],"which":[0,0],"time_ms":[1,2],"value":[0.5,0.6]}'
ROWS: list[Row] = [
    (b"payment/error_rate", SAMPLE, 1_000, False),
    (None, b"\xff no text", 1_001, False),
    (b"", b"", 1_002, False),
    (b"tombstone", None, 1_003, False),
    (b"many", PACKED, 1_004, True),
]


class BatchChecks:
    """Tests for any kind of batch; a subclass has a fixture `batches`."""

    def test_columns_tell_the_records_in_order(self, batches: Batches) -> None:
        batch = batches.make(ROWS)

        assert len(batch) == len(ROWS)
        assert batch.topic == "telemetry"
        assert batch.partition == 2
        assert batch.keys == [row[0] for row in ROWS]
        assert batch.values == [row[1] for row in ROWS]
        assert batch.times_ms == [row[2] for row in ROWS]
        assert batch.packed == [row[3] for row in ROWS]

    def test_offsets_grow(self, batches: Batches) -> None:
        offsets = batches.make(ROWS).offsets

        assert len(offsets) == len(ROWS)
        assert all(before < after for before, after in pairwise(offsets))

    def test_columns_may_be_asked_for_again(self, batches: Batches) -> None:
        batch = batches.make(ROWS)

        assert batch.values == batch.values
        assert batch.offsets == batch.offsets

    def test_refusals_name_record_reason_and_event(self, batches: Batches) -> None:
        batch = batches.make(ROWS)

        batch.refuse(1, "no text")
        batch.refuse(3, "empty")
        batch.refuse(4, "late", 1)

        assert batches.refusals(batch) == [
            Refusal(1, "no text", None),
            Refusal(3, "empty", None),
            Refusal(4, "late", 1),
        ]

    def test_nothing_is_refused_unasked(self, batches: Batches) -> None:
        batch = batches.make(ROWS)

        assert batches.refusals(batch) == []
        assert batches.tallied(batch) == (0, 0)

    @pytest.mark.parametrize("index", [len(ROWS), -len(ROWS) - 1])
    def test_a_record_that_is_not_there_cannot_be_refused(self, batches: Batches, index: int) -> None:
        with pytest.raises(IndexError):
            batches.make(ROWS).refuse(index, "no such record")

    def test_tallies_add_up(self, batches: Batches) -> None:
        batch = batches.make(ROWS)

        batch.tally(processed=3)
        batch.refuse(4, "late", 0)
        batch.tally(processed=2, late=1)

        assert batches.tallied(batch) == (5, 1)
