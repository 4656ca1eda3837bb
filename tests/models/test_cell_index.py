"""What is said of an audience is found by all viewers in it, the most specific first, and by nobody else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from models.cell_index import CellIndex

cells = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"), max_size=4)
steps = st.lists(st.tuples(st.integers(0, 6), st.none() | cells), max_size=30)


@given(steps, cells)
@steady
def test_it_finds_what_a_search_through_everything_finds(
    steps: list[tuple[int, dict[str, str] | None]], viewer: dict[str, str]
) -> None:
    index: CellIndex[int] = CellIndex()
    known: dict[int, dict[str, str]] = {}

    for key, cell in steps:
        if cell is None:
            index.drop(str(key))
            known.pop(key, None)
        else:
            index.put(str(key), cell, key)
            known[key] = cell
    found = list(index.matching(viewer))

    assert sorted(found) == sorted(key for key, cell in known.items() if cell.items() <= viewer.items())
    sizes = [len(known[key]) for key in found]
    assert sizes == sorted(sizes, reverse=True)
    assert len(index) == len(known)
