"""Views behind the parts of the gateway: followed in the background, whether the broker is there or not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from playhead.engine.view import TopicView


class Following:
    """Follows compacted topics from `start` to `stop`.

    Args:
        views: by what they are called when one of them is behind.
        silent_s: a view whose broker has been silent for longer is stale.
    """

    def __init__(self, views: dict[str, TopicView[Any]], silent_s: float) -> None:
        self._views = views
        self._silent_s = silent_s
        self._starting: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Begin to read, and return at once: players are not kept waiting for the broker."""
        self._starting = [asyncio.create_task(view.start()) for view in self._views.values()]
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Read no more."""
        for starting in self._starting:
            starting.cancel()
        for starting in self._starting:
            with suppress(asyncio.CancelledError):
                await starting
        await asyncio.gather(*(view.stop() for view in self._views.values()))

    @property
    def problem(self) -> str:
        """Which views are not up to date, and why; empty where all are."""
        return "; ".join(
            f"{name}: {problem}" for name, view in self._views.items() if (problem := self._problem(view))
        )

    def _problem(self, view: TopicView[Any]) -> str:
        if view.crashed:
            return f"cannot be followed: {view.crash_reason!r}"
        if not view.ready:
            return "not read to its end yet"
        if view.silent_s > self._silent_s:
            return f"stale: no broker for {view.silent_s:.0f} s"
        return ""
