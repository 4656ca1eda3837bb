from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.window_merge import Fate, MergedWindow, WindowMerge
from topics.cohorts import MEASURES, CohortParts

WINDOW_MS = 10
IDLE_HOLDS_MS = 6_000


def part(source: int, start_ms: int, viewers: float, *, sources: int = 3, idle: bool = False) -> CohortParts:
    return CohortParts(
        time_ms=start_ms,
        source=source,
        sources=sources,
        window_start_ms=start_ms,
        window_ms=WINDOW_MS,
        watermark_ms=start_ms + WINDOW_MS,
        idle=idle,
        dimensions=["cdn"],
        cells=[["a"]],
        measures={name: [viewers] for name in MEASURES},
    )


def silence(source: int, watermark_ms: int, *, sources: int = 3, idle: bool = True) -> CohortParts:
    return CohortParts(
        time_ms=0,
        source=source,
        sources=sources,
        window_start_ms=watermark_ms,
        window_ms=WINDOW_MS,
        watermark_ms=watermark_ms,
        idle=idle,
    )


def totals(closed: list[MergedWindow]) -> list[tuple[int, float]]:
    return [(window.start_ms, float(window.sums[0, 0])) for window in closed]


def new() -> WindowMerge:
    return WindowMerge(idle_holds_ms=IDLE_HOLDS_MS)


def feed(merge: WindowMerge, parts: list[CohortParts], sent_ms: int = 0) -> list[tuple[int, float]]:
    closed = []
    for each in parts:
        merge.add(each, sent_ms)
        closed += totals(merge.close())
    return closed


@st.composite
def interleaved(draw: st.DrawFn) -> list[CohortParts]:
    """Three sources, each in its own order, in any order among them, some parts sent again."""
    queues = [[part(source, start * WINDOW_MS, 10**source) for start in range(4)] for source in range(3)]
    order = []
    while any(queues):
        source = draw(st.sampled_from([number for number, queue in enumerate(queues) if queue]))
        order.append(queues[source].pop(0))
        if draw(st.booleans()):
            order.append(order[draw(st.integers(0, len(order) - 1))])
    return order


@given(interleaved())
def test_windows_are_whole_and_once_whatever_the_order_and_the_repeats(parts: list[CohortParts]) -> None:
    assert feed(new(), parts) == [(start * WINDOW_MS, 111.0) for start in range(4)]


@given(interleaved(), st.integers(0, 20))
def test_a_snapshot_restored_mid_stream_goes_on_the_same(parts: list[CohortParts], cut: int) -> None:
    first, second = new(), new()
    before = feed(first, parts[:cut])

    second.restore(first.snapshot())

    assert before + feed(second, parts[cut:]) == feed(new(), parts)


def test_windows_that_overlap_are_each_whole_at_their_own_end() -> None:
    slide_ms = WINDOW_MS // 2
    parts = [part(source, start, 1) for start in range(0, 4 * slide_ms, slide_ms) for source in range(3)]
    merge = new()

    closed = feed(merge, parts)

    assert closed == [(start, 3.0) for start in range(0, 4 * slide_ms, slide_ms)]
    assert merge.add(parts[0], 0) is Fate.REPEATED


def test_a_source_never_heard_of_is_waited_for() -> None:
    merge = new()

    assert feed(merge, [part(0, 0, 1), part(1, 0, 1), part(0, 10, 1), part(1, 10, 1)]) == []
    assert feed(merge, [part(2, 0, 1)]) == [(0, 3.0)]


def test_an_idle_source_is_not_waited_for_until_it_speaks_again() -> None:
    merge = new()

    assert feed(merge, [silence(2, 0), part(0, 0, 1), part(1, 0, 1)]) == [(0, 2.0)]
    assert feed(merge, [part(2, 10, 5), part(0, 20, 1), part(1, 20, 1)]) == [(10, 5.0)]
    assert feed(merge, [part(2, 20, 5)]) == [(20, 7.0)]


def test_with_every_source_idle_nothing_closes() -> None:
    merge = new()

    assert feed(merge, [part(0, 0, 1), silence(0, 10), silence(1, 10), silence(2, 10)]) == []


def test_a_part_of_a_closed_window_is_late() -> None:
    merge = new()
    feed(merge, [part(0, 0, 1), part(1, 0, 1), silence(2, 0)])

    assert merge.add(part(2, 0, 1), 0) is Fate.LATE


def test_a_part_sent_again_after_its_window_closed_is_no_late_one() -> None:
    merge = new()
    feed(merge, [part(0, 0, 1), part(1, 0, 1), part(2, 0, 1)])

    assert merge.add(part(1, 0, 1), 0) is Fate.REPEATED


def test_the_word_of_idleness_lapses_when_it_is_not_told_again() -> None:
    merge = new()
    feed(merge, [silence(2, 0)], sent_ms=0)

    assert feed(merge, [part(0, 0, 1), part(1, 0, 1)], sent_ms=IDLE_HOLDS_MS + 1) == []
    assert feed(merge, [part(2, 0, 1)], sent_ms=IDLE_HOLDS_MS + 2) == [(0, 3.0)]
