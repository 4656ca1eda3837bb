"""Windows against plain Python that keeps every row: the same whatever the batches, and never a row lost."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.windows import Added, ClosedWindow, KeyedWindows

SLIDE_MS = 1_000
LATENESS_MS = 700


class Row(NamedTuple):
    key: int
    time_ms: int
    value: float


rows = st.lists(
    st.builds(
        Row,
        st.integers(0, 3),
        st.integers(0, 9_000),
        st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3)),
    ),
    max_size=60,
)
cuts = st.lists(st.integers(0, 60), max_size=6)
panes = st.integers(1, 4)


def windows(panes: int = 1, max_cells: int = 1_000) -> KeyedWindows:
    return KeyedWindows(
        window_ms=panes * SLIDE_MS, slide_ms=SLIDE_MS, lateness_ms=LATENESS_MS, max_cells=max_cells
    )


def add(model: KeyedWindows, given: list[Row]) -> Added:
    return model.add_many(
        np.array([row.key for row in given], dtype=np.int64),
        np.array([row.time_ms for row in given], dtype=np.int64),
        np.array([row.value for row in given], dtype=np.float64),
    )


def told(window: ClosedWindow) -> tuple[object, ...]:
    columns = (window.key, window.count, window.sum, window.min, window.max, window.variance)
    return window.start_ms, window.end_ms, *(column.tolist() for column in columns)


def in_batches(model: KeyedWindows, given: list[Row], at: list[int]) -> tuple[list[object], list[int]]:
    closed: list[object] = []
    missed: list[int] = []
    edges = [0, *sorted(cut for cut in at if cut < len(given)), len(given)]
    for start, end in pairwise(edges):
        added = add(model, given[start:end])
        closed += [(*told(window), start + window.closed_by) for window in added.closed]
        missed += added.missed.tolist()
    return closed, missed


def brute_force(given: list[Row], panes: int) -> tuple[dict[int, dict[int, list[float]]], list[int]]:
    """Return the values of each key by the end of each closed window, and the windows each row missed."""
    held: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    watermark_ms, missed = -1, []
    for row in given:
        watermark_ms = max(watermark_ms, row.time_ms - LATENESS_MS)
        ends = [(row.time_ms // SLIDE_MS + 1 + ahead) * SLIDE_MS for ahead in range(panes)]
        for end in ends:
            if end > watermark_ms:
                held[end][row.key].append(row.value)
        missed.append(sum(end <= watermark_ms for end in ends))
    return {end: dict(held[end]) for end in sorted(held) if end <= watermark_ms}, missed


@given(rows, panes)
def test_windows_hold_what_plain_python_finds_in_them(given: list[Row], panes: int) -> None:
    added = add(windows(panes), given)

    expected, missed = brute_force(given, panes)
    assert added.missed.tolist() == missed
    assert [window.end_ms for window in added.closed] == list(expected)
    for window in added.closed:
        values = expected[window.end_ms]
        assert window.start_ms == window.end_ms - panes * SLIDE_MS
        assert window.key.tolist() == sorted(values)
        assert window.count.tolist() == [len(values[key]) for key in sorted(values)]
        assert window.min.tolist() == [min(values[key]) for key in sorted(values)]
        assert window.max.tolist() == [max(values[key]) for key in sorted(values)]
        for i, key in enumerate(sorted(values)):
            mean = math.fsum(values[key]) / len(values[key])
            variance = math.fsum((value - mean) ** 2 for value in values[key]) / len(values[key])
            assert math.isclose(window.sum[i], math.fsum(values[key]), rel_tol=1e-9, abs_tol=1e-6)
            assert math.isclose(window.mean[i], mean, rel_tol=1e-9, abs_tol=1e-6)
            assert math.isclose(window.variance[i], variance, rel_tol=1e-6, abs_tol=1e-3)


@given(rows, panes, cuts)
def test_any_batching_tells_the_same_windows_to_the_last_bit(
    given: list[Row], panes: int, at: list[int]
) -> None:
    whole, cut = windows(panes), windows(panes)

    assert in_batches(cut, given, at) == in_batches(whole, given, [])

    assert cut.snapshot() == whole.snapshot()


@given(rows, panes, cuts, st.integers(1, 5))
def test_the_limit_on_cells_leaves_out_the_same_rows_whatever_the_batches(
    given: list[Row], panes: int, at: list[int], max_cells: int
) -> None:
    whole, cut = windows(panes, max_cells), windows(panes, max_cells)

    assert in_batches(cut, given, at) == in_batches(whole, given, [])

    assert cut.cells <= max_cells
    assert cut.snapshot() == whole.snapshot()


@given(rows, panes, st.integers(0, 60))
def test_a_snapshot_put_back_goes_on_as_if_nothing_had_been(given: list[Row], panes: int, cut: int) -> None:
    straight, resumed = windows(panes), windows(panes)
    add(straight, given[:cut])
    resumed.restore(straight.snapshot())

    first, second = add(straight, given[cut:]), add(resumed, given[cut:])

    assert [told(window) for window in first.closed] == [told(window) for window in second.closed]
    assert first.missed.tolist() == second.missed.tolist()


@given(rows, panes)
def test_every_row_is_in_its_windows_or_returned(given: list[Row], panes: int) -> None:
    model = windows(panes, max_cells=4)
    last = Row(0, 60_000, 0.0)

    added = add(model, [*given, last])

    counted = sum(int(window.count.sum()) for window in added.closed)
    in_time = sum(
        panes - missed
        for missed, refused in zip(added.missed[:-1].tolist(), added.refused[:-1].tolist(), strict=True)
        if not refused
    )
    assert counted == in_time


def test_what_no_window_needs_any_more_is_forgotten() -> None:
    model = windows(panes=3)

    for second in range(1_000):
        add(model, [Row(key, second * 1_000, 1.0) for key in range(10)])

    assert model.cells <= 10 * 5


def test_a_gap_of_years_closes_what_was_open_at_once() -> None:
    model = windows(panes=2)
    add(model, [Row(1, 1_000, 2.0)])

    added = add(model, [Row(1, 1_781_980_200_000, 4.0)])

    assert [window.end_ms for window in added.closed] == [2_000, 3_000]


def test_variance_bears_a_level_far_above_the_spread() -> None:
    values = [1e9 + offset for offset in (0.0, 1.0, 2.0, 3.0)]
    model = windows()

    added = add(model, [*(Row(0, i, value) for i, value in enumerate(values)), Row(0, 5_000, 0.0)])

    assert added.closed[0].variance.tolist() == [1.25]


@pytest.mark.parametrize(("window_ms", "slide_ms"), [(1_500, 1_000), (1_000, 2_000), (5, 5)])
def test_windows_that_do_not_fit_their_slide_are_refused(window_ms: int, slide_ms: int) -> None:
    with pytest.raises(ValueError, match="slide_ms"):
        KeyedWindows(window_ms=window_ms, slide_ms=slide_ms, lateness_ms=0, max_cells=1)
