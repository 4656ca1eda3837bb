"""The clock of a stream: event time where records come, going on with the wall where none do."""

from __future__ import annotations

from agents.event_clock import EventClock


class Wall:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_it_tells_nothing_before_anything_was_seen() -> None:
    assert EventClock(Wall()).now_ms() is None


def test_it_goes_on_with_the_wall_from_the_newest_event() -> None:
    wall = Wall()
    clock = EventClock(wall)

    clock.see(1_000)
    wall.now_s += 7.5

    assert clock.now_ms() == 8_500


def test_events_out_of_order_do_not_set_it_back() -> None:
    wall = Wall()
    clock = EventClock(wall)
    clock.see(10_000)
    wall.now_s += 1.0

    clock.see(4_000)

    assert clock.now_ms() == 11_000


def test_a_newer_event_sets_it_forward() -> None:
    wall = Wall()
    clock = EventClock(wall)
    clock.see(10_000)
    wall.now_s += 1.0

    clock.see(60_000)

    assert clock.now_ms() == 60_000
