from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steady import steady

from models.cohort_windows import NO_BUCKET, OTHER, BeatColumns, CohortWindows, WindowSums
from topics.cohorts import MEASURES

WINDOW_MS = 1_000
VIEWERS = MEASURES.index("viewers")
STALLED = MEASURES.index("stalled_viewers")
PLAY_MS = MEASURES.index("play_ms")

Beat = tuple[int, str, int, bool]  # time, cdn, session, stalled

beats = st.lists(
    st.tuples(st.integers(0, 8_000), st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=60
)


def windows(lateness_ms: int = 500, max_cells: int = 100) -> CohortWindows:
    return CohortWindows(window_ms=WINDOW_MS, lateness_ms=lateness_ms, max_cells=max_cells, dimensions=1)


def columns(rows: list[Beat]) -> BeatColumns:
    sums = np.zeros((len(rows), len(MEASURES)))
    sums[:, PLAY_MS] = 10
    return BeatColumns(
        time_ms=np.array([row[0] for row in rows], dtype=np.int64),
        cells=[(row[1],) for row in rows],
        sessions=np.array([row[2] for row in rows], dtype=np.uint64),
        stalled=np.array([row[3] for row in rows], dtype=bool),
        weight=np.ones(len(rows)),
        sums=sums,
    )


def plain(closed: list[WindowSums]) -> list[tuple[int, dict[tuple[str, ...], list[float]]]]:
    return [(w.start_ms, dict(zip(w.cells, w.sums.tolist(), strict=True))) for w in closed]


def run(model: CohortWindows, batches: list[list[Beat]]) -> tuple[list[bool], list[object]]:
    late: list[bool] = []
    closed: list[object] = []
    for batch in batches:
        if batch:
            late += model.add_many(columns(batch)).tolist()
        closed += plain(model.close())
    return late, closed


@settings(steady)
@given(beats, st.lists(st.integers(1, 20)))
def test_where_batches_end_changes_neither_windows_nor_lateness(rows: list[Beat], sizes: list[int]) -> None:
    batches, rest = [], rows
    for size in sizes:
        batches.append(rest[:size])
        rest = rest[size:]

    one_by_one = run(windows(), [[row] for row in rows])
    in_batches = run(windows(), [*batches, rest])

    assert one_by_one == in_batches


@settings(steady)
@given(beats)
def test_every_beat_is_either_late_or_in_a_window(rows: list[Beat]) -> None:
    model = windows()

    late, closed = run(model, [rows])

    counted = sum(
        sums[PLAY_MS] / 10 for _, cells in [*closed, *plain(model.open())] for sums in cells.values()
    )
    assert counted + sum(late) == len(rows)


@settings(steady)
@given(beats, st.integers(0, 60))
def test_a_snapshot_restored_mid_stream_goes_on_the_same(rows: list[Beat], cut: int) -> None:
    straight = windows()
    expected = run(straight, [rows[:cut], rows[cut:]])

    first = windows()
    before = run(first, [rows[:cut]])
    second = windows()
    second.restore(first.snapshot())
    after = run(second, [rows[cut:]])

    assert (before[0] + after[0], before[1] + after[1]) == expected
    assert plain(second.open()) == plain(straight.open())


def test_a_viewer_counts_once_and_has_stalled_when_any_beat_did() -> None:
    model = windows()

    run(model, [[(100, "a", 7, False), (200, "a", 7, True), (300, "a", 7, False), (400, "a", 8, False)]])

    [(_, cells)] = plain(model.open())
    assert cells["a",][VIEWERS] == 2
    assert cells["a",][STALLED] == 1


def test_combinations_beyond_the_limit_fold_into_other_and_are_counted() -> None:
    model = windows(max_cells=4)

    run(model, [[(0, cdn, number, False) for number, cdn in enumerate("abcdea")]])

    [window] = model.open()
    assert window.cells == [("a",), ("b",), ("c",), (OTHER,)]
    assert window.folded == 2
    assert window.sums[:, VIEWERS].tolist() == [2, 1, 1, 2]


def test_a_beat_just_inside_the_lateness_still_counts() -> None:
    model = windows(lateness_ms=500)

    late, _ = run(
        model,
        [[(1_499, "a", 1, False)], [(999, "a", 2, False)], [(1_500, "a", 3, False)], [(999, "a", 4, False)]],
    )

    assert late == [False, False, False, True]


def test_what_the_first_dimensions_tell_stays_whole_the_longest() -> None:
    model = CohortWindows(window_ms=WINDOW_MS, lateness_ms=0, max_cells=64, dimensions=2)
    rows = [(0, str(number), number, False) for number in range(60)]
    beats_of_two = replace(columns(rows), cells=[(str(number % 5), str(number)) for number in range(60)])

    model.add_many(beats_of_two)

    [window] = model.open()
    assert len(window.cells) < 60
    assert {cdn for cdn, _ in window.cells} == {"0", "1", "2", "3", "4"}
    assert ("0", OTHER) in window.cells
    assert window.sums[:, VIEWERS].sum() == 60


def test_durations_are_counted_by_cell_and_bucket_and_survive_a_snapshot() -> None:
    rows = [(0, "a", 1, False), (10, "b", 2, False), (20, "a", 3, False), (30, "a", 4, False)]
    told = {"startup_ms": np.array([3, 3, NO_BUCKET, 3])}
    model, restored = windows(), windows()

    model.add_many(replace(columns(rows), buckets=told))
    restored.restore(model.snapshot())

    for each in (model, restored):
        [window] = each.open()
        sketch = window.sketches["startup_ms"]
        assert sketch.cell.tolist() == [0, 1]
        assert sketch.bucket.tolist() == [3, 3]
        assert sketch.count.tolist() == [2.0, 1.0]


SLIDE_MS = 250
Told = list[tuple[int, dict[tuple[str, ...], list[float]]]]


def sliding(lateness_ms: int = 300) -> CohortWindows:
    return CohortWindows(
        window_ms=WINDOW_MS, slide_ms=SLIDE_MS, lateness_ms=lateness_ms, max_cells=100, dimensions=1
    )


def by_hand(rows: list[Beat], lateness_ms: int = 300) -> tuple[list[bool], Told]:
    """Every beat looked at for every window that has ended."""
    late, kept, newest = [], [], -1
    for row in rows:
        late.append(row[0] // SLIDE_MS * SLIDE_MS + SLIDE_MS <= newest - lateness_ms)
        newest = max(newest, row[0])
        kept += [] if late[-1] else [row]
    told: Told = []
    for end in range(WINDOW_MS, newest - lateness_ms + 1, SLIDE_MS):
        cells: dict[tuple[str, ...], list[float]] = {}
        for cdn in dict.fromkeys(row[1] for row in sorted(kept, key=lambda row: row[0] // SLIDE_MS)):
            inside = [row for row in kept if row[1] == cdn and end - WINDOW_MS <= row[0] < end]
            if inside:
                sums = [0.0] * len(MEASURES)
                sums[VIEWERS] = len({row[2] for row in inside})
                sums[STALLED] = len({row[2] for row in inside if row[3]})
                sums[PLAY_MS] = 10.0 * len(inside)
                cells[cdn,] = sums
        if cells:
            told.append((end - WINDOW_MS, cells))
    return late, told


@settings(steady)
@given(beats, st.lists(st.integers(1, 20)))
def test_a_sliding_window_is_what_all_its_beats_make(rows: list[Beat], sizes: list[int]) -> None:
    batches, rest = [], rows
    for size in sizes:
        batches.append(rest[:size])
        rest = rest[size:]

    found = run(sliding(), [*batches, rest])

    assert found == by_hand(rows)


@settings(steady)
@given(beats, st.integers(0, 60))
def test_sliding_windows_restored_mid_stream_go_on_the_same(rows: list[Beat], cut: int) -> None:
    straight, first, second = sliding(), sliding(), sliding()
    expected = run(straight, [rows[:cut], rows[cut:]])

    before = run(first, [rows[:cut]])
    second.restore(first.snapshot())
    after = run(second, [rows[cut:]])

    assert (before[0] + after[0], before[1] + after[1]) == expected
    assert plain(second.open()) == plain(straight.open())


def test_open_sliding_windows_are_told_up_to_the_last_that_holds_a_beat() -> None:
    model = sliding(lateness_ms=0)

    run(model, [[(1_100, "a", 1, False)]])

    assert [window.start_ms for window in model.open()] == [250, 500, 750, 1_000]


def test_panes_that_no_window_needs_any_more_are_forgotten() -> None:
    model = sliding(lateness_ms=0)

    run(model, [[(time_ms, "a", time_ms, False)] for time_ms in range(0, 60_000, 50)])

    assert len(model.snapshot()) < 4_000


def test_panes_of_another_slide_fit_no_window() -> None:
    model, tumbling = sliding(), windows()
    run(model, [[(time_ms, "a", 1, False) for time_ms in range(0, 3_000, 100)]])

    tumbling.restore(model.snapshot())

    assert tumbling.open() == []
    assert tumbling.watermark_ms == 2_400


def test_a_window_that_is_no_multiple_of_the_slide_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        CohortWindows(window_ms=1_000, slide_ms=300, lateness_ms=0, max_cells=1, dimensions=1)
