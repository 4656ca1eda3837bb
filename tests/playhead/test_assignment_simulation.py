"""Assignors share evenly, sticky ones move no more than they must, and hot keys bind their workers."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playhead.bench.assignment_picture import draw
from playhead.lab.assignment import STRATEGIES, Assignment, assign_round_robin, assign_sticky, simulate


@pytest.fixture(scope="module")
def result() -> Assignment:
    return simulate(
        workers=4, partitions=(8, 64), exponents=(1.1, 1.5), splits=(1, 8), keys=2_000, trials=20, seed=1
    )


@given(st.integers(1, 60), st.integers(1, 12), st.sampled_from(sorted(STRATEGIES)))
def test_every_strategy_gives_all_partitions_away_evenly(
    partitions: int, workers: int, strategy: str
) -> None:
    before = assign_round_robin(np.zeros(partitions, np.int64), [1, 3])

    after = STRATEGIES[strategy](before, range(workers))

    counts = np.bincount(after, minlength=workers)
    assert counts.sum() == partitions
    assert counts.max() - counts.min() <= 1


@given(st.integers(1, 60), st.integers(2, 12), st.booleans())
def test_the_sticky_one_moves_nothing_between_workers_that_stay(
    partitions: int, workers: int, joins: bool
) -> None:
    now = list(range(workers)) if joins else list(range(workers + 1))
    later = list(range(workers + 1)) if joins else list(range(workers))
    before = assign_round_robin(np.zeros(partitions, np.int64), now)

    after = assign_sticky(before, later)

    moved = before != after
    came_or_gone = (after == workers) if joins else (before == workers)
    assert not (moved & ~came_or_gone).any()


def test_the_same_seed_gives_the_same_simulation(result: Assignment) -> None:
    again = simulate(
        workers=4, partitions=(8, 64), exponents=(1.1, 1.5), splits=(1, 8), keys=2_000, trials=20, seed=1
    )

    assert again == result


def test_a_hot_key_binds_a_worker_until_it_is_split(result: Assignment) -> None:
    rows = {(row.exponent, row.partitions, row.split): row for row in result.hot_keys}

    for (exponent, partitions, split), row in rows.items():
        assert row.hottest_worker >= row.hottest_partition >= row.hottest_key
        assert 0.0 < row.usable <= 1.0
        if split > 1:
            assert row.usable > rows[exponent, partitions, 1].usable
    # More partitions do not help against a key that is itself more than a worker's share.
    assert rows[1.5, 64, 1].hottest_worker >= rows[1.5, 8, 1].hottest_key > 0.25


def test_the_picture_is_svg_of_all_exponents(result: Assignment) -> None:
    picture = draw(result)

    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "Zipf 1.1" in picture
    assert "Zipf 1.5" in picture
