"""Ending a long command in good order: the first Ctrl-C asks, the second insists."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code of a command that was ended by Ctrl-C, as shells have it."""


@contextmanager
def stop_on_signals(doing: str = "") -> Iterator[threading.Event]:
    """Give an event that Ctrl-C (SIGINT) and SIGTERM set; a second one raises KeyboardInterrupt.

    Args:
        doing: what is still done after the first, such as ``sending what was read``; empty: say nothing.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        if doing:
            # Written past Python's buffers: the signal may have come amid a write to them.
            os.write(2, f"\nstopping: {doing}; once more to give up\n".encode())

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
