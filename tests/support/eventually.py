"""Waiting for a state instead of for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.03


def eventually(ask: Callable[[], T], what: str, timeout_s: float = 40.0) -> T:
    """Return the first answer of `ask` that is true, or fail saying `what` never came."""
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}; last seen: {answer!r}"
        time.sleep(POLL_S)
    return answer


async def eventually_async(ask: Callable[[], T], what: str, timeout_s: float = 40.0) -> T:
    """Do the same without holding up the event loop; `ask` runs in a thread, so it may block."""
    deadline = time.monotonic() + timeout_s
    while not (answer := await asyncio.to_thread(ask)):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}; last seen: {answer!r}"
        await asyncio.sleep(POLL_S)
    return answer
