"""What to expect of a cell, and which cells are kept."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from config import load
from models.cuboids import NOT_KEPT, Cells, align, baseline, roll_up

FIGURES = load({}).settings.localisation


def expected(bad: ArrayLike, total: ArrayLike, prior: float) -> float:
    """The rate to expect of one cell by its past windows."""
    column = [np.asarray(counts, np.float64)[:, None] for counts in (bad, total)]
    rate, _ = baseline(column[0], column[1], np.array([prior]), FIGURES)
    return float(rate[0])


def test_the_expected_rate_is_that_of_the_past() -> None:
    assert expected([110, 90, 100], [10_000, 10_000, 10_000], prior=0.5) == pytest.approx(0.01, rel=0.1)


def test_bad_windows_among_good_ones_move_the_expected_rate_little() -> None:
    good = [100] * 6

    rate = expected([*good, 4000, 5000], [10_000] * 8, prior=0.01)

    assert 0.01 < rate < 0.012


def test_a_few_viewers_who_never_stalled_are_not_expected_to_never_stall() -> None:
    assert expected([0, 0, 0], [2, 3, 1], prior=0.02) == pytest.approx(0.02, rel=0.2)


def test_a_cell_without_a_past_is_expected_to_do_as_its_parents() -> None:
    assert expected([0, 0], [0, 0], prior=0.03) == pytest.approx(0.03)
    assert expected([], [], prior=0.03) == pytest.approx(0.03)


def test_windows_are_aligned_by_name_whatever_their_vocabularies() -> None:
    first = Cells.of(["cdn", "isp"], [["b", "x"], ["c", "y"]], [1, 2], [10, 20])
    second = Cells.of(["cdn", "isp"], [["c", "y"], ["a", "x"]], [3, 4], [30, 40])

    panel = align([first, second])

    rows = [tuple(panel.name(leaf, (0, 1)).values()) for leaf in range(len(panel.codes))]
    assert dict(zip(rows, panel.bad.T.tolist(), strict=True)) == {
        ("a", "x"): [0, 4],
        ("b", "x"): [1, 0],
        ("c", "y"): [2, 3],
    }
    assert panel.total.sum(axis=1).tolist() == [30, 70]


def test_leaving_viewers_out_leaves_the_panel_as_it_was() -> None:
    panel = align([Cells.of(["cdn"], [["a"], ["b"]], [1, 2], [10, 20])])

    rest = panel.without(np.array([True, False]))

    assert rest.total.tolist() == [[0, 20]]
    assert panel.total.tolist() == [[10, 20]]


def test_cells_with_too_few_bad_viewers_to_matter_are_not_kept() -> None:
    past = Cells.of(["cdn"], [["a"], ["b"]], [10, 10], [1000, 1000])
    now = Cells.of(["cdn"], [["a"], ["b"]], [500, 1], [1000, 1000])

    cube = roll_up(align([past, past, now]), FIGURES)

    assert cube[0,].leaf.size == 1
    assert cube[0,].cell_of.tolist() == [0, NOT_KEPT]
    assert cube[0,].excess[0] == pytest.approx(490, abs=5)


def test_more_dimensions_than_a_number_can_hold_are_told_apart() -> None:
    names = [f"d{number}" for number in range(30)]
    rng = np.random.default_rng(0)
    rows = [[str(value) for value in row] for row in rng.integers(0, 40, (300, 30))]

    panel = align([Cells.of(names, rows, np.ones(300), np.full(300, 2.0))])

    assert len(panel.codes) == len({tuple(row) for row in rows})
    assert panel.total.sum() == 600
