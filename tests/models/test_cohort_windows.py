from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.cohort_windows import OTHER, BeatColumns, CohortWindows, WindowSums
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


@given(beats, st.lists(st.integers(1, 20)))
def test_where_batches_end_changes_neither_windows_nor_lateness(rows: list[Beat], sizes: list[int]) -> None:
    batches, rest = [], rows
    for size in sizes:
        batches.append(rest[:size])
        rest = rest[size:]

    one_by_one = run(windows(), [[row] for row in rows])
    in_batches = run(windows(), [*batches, rest])

    assert one_by_one == in_batches


@given(beats)
def test_every_beat_is_either_late_or_in_a_window(rows: list[Beat]) -> None:
    model = windows()

    late, closed = run(model, [rows])

    counted = sum(
        sums[PLAY_MS] / 10 for _, cells in [*closed, *plain(model.open())] for sums in cells.values()
    )
    assert counted + sum(late) == len(rows)


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
    model = windows(max_cells=2)

    run(model, [[(0, cdn, number, False) for number, cdn in enumerate("abcd")]])

    [window] = model.open()
    assert window.cells == [("a",), ("b",), (OTHER,)]
    assert window.folded == 2
    assert window.sums[:, VIEWERS].tolist() == [1, 1, 2]


def test_a_beat_just_inside_the_lateness_still_counts() -> None:
    model = windows(lateness_ms=500)

    late, _ = run(
        model,
        [[(1_499, "a", 1, False)], [(999, "a", 2, False)], [(1_500, "a", 3, False)], [(999, "a", 4, False)]],
    )

    assert late == [False, False, False, True]
