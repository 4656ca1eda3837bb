"""The one order of a replay."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_folders import PREFIX, telemetry, written
from sent_records import message
from steady import steady

from playhead.recording import reader
from playhead.recording.order import AT_ONCE, in_order
from playhead.recording.reader import Recording

MAX_FUTURE_MS = 1_000


def played(
    folder: Path, topics: tuple[str, ...] = ("playback", "telemetry")
) -> list[tuple[int, str, int, int]]:
    recording = Recording(folder)
    runs = [run for name in topics for run in recording.runs(name)]
    return [
        (int(due_ms), row["topic"], row["partition"], row["offset"])
        for piece in in_order(runs, MAX_FUTURE_MS)
        for due_ms, row in zip(piece.due_ms, piece.rows.to_pylist(), strict=True)
    ]


def beat(partition: int, offset: int, time_ms: int) -> Any:
    value = b'{"time_ms":%d,"session_id":"s","state":"playing"}' % time_ms
    return message(f"{PREFIX}playback", partition, offset, time_ms=time_ms, value=value)


@steady
@given(
    taken=st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 40)), max_size=80),
    batch=st.integers(1, 9),
)
def test_records_are_due_by_time_topic_partition_and_offset(
    tmp_path_factory: pytest.TempPathFactory, taken: list[tuple[bool, int, int]], batch: int
) -> None:
    folder = tmp_path_factory.mktemp("order") / "r"
    offsets = count()
    make = {True: telemetry, False: beat}
    written(folder, [make[kind](partition, next(offsets), time_ms) for kind, partition, time_ms in taken])
    before, reader.BATCH_RECORDS = reader.BATCH_RECORDS, batch
    try:
        order = played(folder)
    finally:
        reader.BATCH_RECORDS = before

    assert len(order) == len(taken)
    assert order == sorted(order)
    stood: dict[tuple[str, int], list[int]] = defaultdict(list)
    for _, topic, partition, offset in order:
        stood[topic, partition].append(offset)
    assert all(offsets == sorted(offsets) for offsets in stood.values())


def test_within_a_partition_a_late_record_comes_as_late_as_it_came(tmp_path: Path) -> None:
    written(
        tmp_path / "r",
        [telemetry(0, 0, 100), telemetry(0, 1, 900), telemetry(0, 2, 200), telemetry(1, 0, 500)],
    )

    assert [(due_ms, partition, offset) for due_ms, _, partition, offset in played(tmp_path / "r")] == [
        (100, 0, 0),
        (500, 1, 0),
        (900, 0, 1),
        (900, 0, 2),
    ]


def test_a_record_that_tells_no_time_goes_with_the_one_before_it(tmp_path: Path) -> None:
    written(
        tmp_path / "r",
        [
            telemetry(0, 0, 50, value=b"?"),
            telemetry(0, 1, 100),
            telemetry(0, 2, 100, value=None),
            telemetry(0, 3, 300),
        ],
    )

    assert [due_ms for due_ms, *_ in played(tmp_path / "r")] == [AT_ONCE, 100, 100, 300]


def test_a_time_from_the_far_future_does_not_hold_up_what_follows(tmp_path: Path) -> None:
    far = b'{"time_ms":4000000000000,"service":"s","metric":"m","value":1}'
    written(tmp_path / "r", [telemetry(0, 0, 100), telemetry(0, 1, 200, value=far), telemetry(0, 2, 300)])

    assert [due_ms for due_ms, *_ in played(tmp_path / "r")] == [100, 100, 300]


def test_the_order_does_not_depend_on_how_much_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(7)
    times = np.cumsum(chance.integers(0, 3, 500))
    written(
        tmp_path / "r",
        [telemetry(int(chance.integers(4)), at, int(time_ms)) for at, time_ms in enumerate(times)],
    )
    orders = []
    for batch in (1, 10, 10_000):
        monkeypatch.setattr(reader, "BATCH_RECORDS", batch)
        orders.append(played(tmp_path / "r"))

    assert orders[0] == orders[1] == orders[2]
