"""What time it is on a stream: event time where records come, going on with the wall where none do."""

from __future__ import annotations

import time
from collections.abc import Callable


class EventClock:
    """Tells the newest event time seen, plus the time that has passed since it was seen.

    In a replay the events are old and the wall is not: a lease from an old event must last as long as it
    says, not have run out before it began. Live, it tells the wall's time but for the delay of records.

    Args:
        elapsed_s: seconds on a clock that never goes back.

    Example:
        >>> seconds = iter([100.0, 107.5])
        >>> clock = EventClock(elapsed_s=lambda: next(seconds))
        >>> clock.now_ms() is None
        True
        >>> clock.see(1_000)
        >>> clock.now_ms()
        8500
    """

    def __init__(self, elapsed_s: Callable[[], float] = time.monotonic) -> None:
        self._elapsed_s = elapsed_s
        self._newest_ms: int | None = None
        self._seen_at_s = 0.0

    def see(self, time_ms: int) -> None:
        """Take note of the time of a record; one older than what is known says nothing."""
        if self._newest_ms is None or time_ms > self._newest_ms:
            self._newest_ms = time_ms
            self._seen_at_s = self._elapsed_s()

    def now_ms(self) -> int | None:
        """Return the event time it is now, or None before anything was seen."""
        if self._newest_ms is None:
            return None
        return self._newest_ms + int((self._elapsed_s() - self._seen_at_s) * 1_000)
