"""Batches cut into rounds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.anomaly.rounds import Rounds


@given(st.lists(st.integers(0, 9), max_size=80), st.integers(1, 6))
def test_rounds_and_rest_hold_each_event_once_in_the_order_of_its_series(
    slots: list[int], narrow: int
) -> None:
    rounds = Rounds.of(np.array(slots, dtype=np.int32))

    wide = [events.tolist() for events in rounds.wide(narrow)]
    rest = [events.tolist() for events in rounds.rest(narrow)]

    assert all(len(events) >= narrow for events in wide)
    assert all(len({slots[event] for event in events}) == len(events) for events in wide)
    assert all(len({slots[event] for event in events}) == 1 for events in rest)
    stepped = [event for events in (*wide, *rest) for event in events]
    assert sorted(stepped) == list(range(len(slots)))
    for slot in set(slots):
        own = [event for event in stepped if slots[event] == slot]
        assert own == sorted(own)
