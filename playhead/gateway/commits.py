"""Acknowledging in groups: what many requests bring within a moment is written to the spool at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from playhead.gateway.spool import Spool, SpoolFullError


class Commits:
    """Writes payloads to the spool and tells when they are safe there.

    Args:
        spool: appended to here alone.
        wait_s: how long the first of a group waits for others.
        synced: whether safe means on the disk, not only with the system.
        written: called after each group.
    """

    def __init__(self, spool: Spool, *, wait_s: float, synced: bool, written: Callable[[], None]) -> None:
        self._spool = spool
        self._wait_s = wait_s
        self._synced = synced
        self._written = written
        self._payloads: list[bytes] = []
        self._group: asyncio.Future[None] | None = None
        self._syncing: asyncio.Task[None] | None = None

    async def put(self, payload: bytes) -> None:
        """Return once `payload` is in the spool.

        Raises:
            SpoolFullError: it is not, for the spool takes no more now.
        """
        self._payloads.append(payload)
        if self._group is None:
            loop = asyncio.get_running_loop()
            self._group = loop.create_future()
            loop.call_later(self._wait_s, self._write)
        # One who hangs up must not take the others' answer along.
        await asyncio.shield(self._group)

    def _write(self) -> None:
        payloads, group = self._payloads, self._group
        self._payloads, self._group = [], None
        if group is None:
            return
        try:
            self._spool.append(payloads)
        except SpoolFullError as error:
            group.set_exception(error)
            group.exception()  # known: whoever waited may have hung up
            return
        if self._synced:
            self._syncing = asyncio.create_task(self._sync(group, self._syncing))
        else:
            group.set_result(None)
            self._written()

    async def _sync(self, group: asyncio.Future[None], before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await asyncio.to_thread(self._spool.sync)
        except OSError as error:
            group.set_exception(SpoolFullError(f"{self._spool.folder}: {error.strerror}"))
            group.exception()
        else:
            group.set_result(None)
        self._written()
