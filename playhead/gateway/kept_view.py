"""A view whose records are on disk as well: those are served until the topic has been read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import structlog

from playhead.engine.view import TopicView
from playhead.gateway.kept_records import KeptRecords, Loaded
from playhead.gateway.parts import Surroundings
from topics.fields import Record
from topics.spec import TopicSpec

R = TypeVar("R", bound=Record)

log = structlog.get_logger(__name__)


class KeptView(Generic[R]):
    """Implements `agents.ports.View`.

    Args:
        spec: the compacted topic.
        kept: where its records are on disk.
        changed, caught_up: as of `TopicView`, which follows the topic.
    """

    def __init__(
        self,
        spec: TopicSpec[R],
        around: Surroundings,
        kept: KeptRecords[R],
        *,
        changed: Callable[[str, R | None], None] = lambda key, record: None,
        caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._spec = spec
        self._kept = kept
        self._changed = changed
        self._tell_caught_up = caught_up
        self._from_disk = Loaded(spec, {})
        """Empty once the topic has been read."""
        self.topic = TopicView(
            spec,
            around.client,
            around.settings.prefix,
            changed=self._take,
            caught_up=self._read_to_the_end,
        )

    async def load(self) -> None:
        """Take up what was kept; before the topic is followed."""
        began_s = time.perf_counter()
        # A large catalogue takes its time: other parts go on meanwhile.
        self._from_disk = await asyncio.to_thread(self._kept.load)
        if self._from_disk:
            log.info(
                "records kept on disk are served until the topic has been read",
                topic=self._spec.name,
                records=len(self._from_disk),
                took_s=round(time.perf_counter() - began_s, 3),
            )

    @property
    def from_disk(self) -> int:
        """How many records are served as they were on disk; none once the topic has been read."""
        return len(self._from_disk)

    def get(self, key: str) -> R | None:
        """Return the newest record of `key`."""
        return self._newer(self._from_disk.get(key), self.topic.get(key))

    def values(self) -> Iterable[R]:
        """Return the newest record of every key."""
        read = self.topic.values()
        kept = self._from_disk
        if not kept:
            return read
        keys = dict.fromkeys([*kept, *map(self._spec.key_of, read)])
        return [record for key in keys if (record := self.get(key)) is not None]

    def close(self) -> None:
        """Write what has not been written. The topic is followed no more."""
        self._kept.close()

    @staticmethod
    def _newer(kept: R | None, read: R | None) -> R | None:
        """Return what holds: a topic read halfway may have told what came before only."""
        if kept is None or (read is not None and read.time_ms >= kept.time_ms):
            return read
        return kept

    def _take(self, key: str, record: R | None) -> None:
        self._changed(key, record)
        self._kept.add(key, record)

    def _read_to_the_end(self) -> None:
        if self._from_disk:
            log.info("the topic has been read: nothing is served from disk any more", topic=self._spec.name)
        self._from_disk = Loaded(self._spec, {})
        self._tell_caught_up()
        self._kept.whole(self.topic.values)
