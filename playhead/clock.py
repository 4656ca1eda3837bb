"""Clocks: the one on the wall, and ones that are handed in so that tests move them by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells how time passes. Only differences mean anything."""

    def now_s(self) -> float:
        """Return the time, in seconds from any origin; it never goes back."""

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass."""


class WallClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        """Return the monotonic time, in seconds."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep."""
        if seconds > 0:
            time.sleep(seconds)


class HandClock:
    """Stands still until told; waiting moves it on at once. For tests and simulations."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self.waits: list[float] = []

    def now_s(self) -> float:
        """Return where the clock was moved to."""
        return self._now_s

    def wait(self, seconds: float) -> None:
        """Move the clock on by `seconds`, and remember it."""
        self.waits.append(seconds)
        self._now_s += max(seconds, 0.0)
