"""Ids met of late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.recent_ids import RecentIds

ids = st.lists(st.text(max_size=2), max_size=50)


@given(ids)
def test_with_room_for_all_an_id_is_new_exactly_once(names: list[str]) -> None:
    recent = RecentIds(100)

    assert [name for name in names if recent.add(name)] == list(dict.fromkeys(names))


@given(ids, st.integers(1, 5))
def test_the_newest_are_remembered_and_no_more(names: list[str], capacity: int) -> None:
    recent = RecentIds(capacity)
    for name in names:
        recent.add(name)

    remembered = list(recent)

    assert len(remembered) <= capacity
    assert not any(recent.add(name) for name in remembered)


def test_what_was_remembered_can_be_handed_on() -> None:
    recent = RecentIds(2, ["a", "b"])

    assert not recent.add("a")
    assert recent.add("c")
    assert list(recent) == ["b", "c"]
