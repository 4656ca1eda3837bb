from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from playhead.clock import HandClock
from playhead.recording.pacing import Lateness, VirtualClock


def test_event_time_runs_at_the_speed_asked_for_from_the_first_record_on() -> None:
    clock = HandClock(start_s=100)
    virtual = VirtualClock(clock, speed=10)
    clock.wait(5)

    due_s = virtual.due_s(np.array([1_700_000_000_000, 1_700_000_001_000, 1_700_000_030_000]))

    assert due_s.tolist() == [105.0, 105.1, 108.0]


def test_later_calls_go_on_where_the_earlier_ended() -> None:
    virtual = VirtualClock(HandClock(), speed=1)
    virtual.due_s(np.array([1_000, 2_000]))

    assert virtual.due_s(np.array([2_000, 5_000])).tolist() == [1.0, 4.0]


def test_what_tells_no_time_at_the_beginning_is_due_at_once() -> None:
    virtual = VirtualClock(HandClock(), speed=1)

    assert virtual.due_s(np.array([-1, -1])).tolist() == [0.0, 0.0]
    assert virtual.due_s(np.array([-1, 7_000, 8_000])).tolist() == [0.0, 0.0, 1.0]


def test_long_gaps_are_shortened_and_told() -> None:
    virtual = VirtualClock(HandClock(), speed=2, max_gap_ms=10_000)

    first = virtual.due_s(np.array([0, 4_000, 1_000_000]))
    second = virtual.due_s(np.array([1_002_000, 9_000_000]))

    assert first.tolist() == [0, 2, 7]
    assert second.tolist() == [8, 13]
    assert virtual.gaps == 2
    assert virtual.skipped_ms == (996_000 - 10_000) + (7_998_000 - 10_000)


@steady
@given(
    st.lists(st.integers(0, 50_000), min_size=1, max_size=40),
    st.integers(1, 10),
    st.sampled_from([0, 10_000]),
)
def test_how_records_are_cut_into_slices_makes_no_difference(
    steps_ms: list[int], cut: int, max_gap_ms: int
) -> None:
    times = np.cumsum(np.array(steps_ms, np.int64))
    whole = VirtualClock(HandClock(), 4, max_gap_ms).due_s(times)
    sliced = VirtualClock(HandClock(), 4, max_gap_ms)

    parts = [sliced.due_s(times[at : at + cut]) for at in range(0, len(times), cut)]

    assert np.concatenate(parts) == pytest.approx(whole)


@steady
@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=200), st.sampled_from([50, 90, 99, 100]))
def test_percentiles_of_lateness_are_right_within_its_resolution(late_s: list[float], percent: int) -> None:
    lateness = Lateness()
    for at in range(0, len(late_s), 7):
        lateness.add(np.array(late_s[at : at + 7]))

    exact_ms = float(np.percentile(late_s, percent, method="inverted_cdf")) * 1_000

    told_ms = lateness.percentile_ms(percent)
    assert told_ms is not None
    assert exact_ms * 0.99 <= told_ms <= max(exact_ms * 1.03, 0.0011)


def test_nothing_played_is_not_late() -> None:
    assert Lateness().percentile_ms(99) is None
