"""Keeps feeding from running away from a slower worker: players can obey only what comes while they watch."""

from __future__ import annotations

from playhead.clock import Clock


class Leash:
    """Tells whether feeding is to wait for the worker.

    Args:
        most_behind: beats fed and not processed from which on feeding waits.
        patience_s: a worker that has processed nothing for so long is waited for no more.

    Example:
        >>> from playhead.clock import HandClock
        >>> clock = HandClock()
        >>> leash = Leash(100, 12.0, clock)
        >>> leash.see(sent=150, processed=40), leash.see(sent=150, processed=60)
        (True, False)
        >>> leash.see(sent=200, processed=60), clock.wait(12.0), leash.see(sent=200, processed=60)
        (True, None, False)
    """

    def __init__(self, most_behind: float, patience_s: float, clock: Clock) -> None:
        self.holds = False
        """Whether feeding is to wait, as was seen last."""
        self._most_behind = most_behind
        self._patience_s = patience_s
        self._clock = clock
        self._processed = -1
        self._moved_s = clock.now_s()

    def see(self, sent: int, processed: int) -> bool:
        """Take note of how many beats are fed and processed, and return whether feeding is to wait."""
        now_s = self._clock.now_s()
        if processed != self._processed:
            self._processed, self._moved_s = processed, now_s
        waits_in_vain = now_s - self._moved_s >= self._patience_s
        self.holds = sent - processed > self._most_behind and not waits_in_vain
        return self.holds
