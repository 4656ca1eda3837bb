"""A keyed agent small enough to see through: the running sum of the numbers of each key, in a Faust table.

Run as a program it is an agent in a process of its own, to be killed:
``python kept_sums.py BROKERS PREFIX FOLDER DIES_AFTER``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from sums import BAD, NUMBERS, TOTALS, Number, Total
from topic_tools import TopicTools

from agents.keyed import Kept, keep
from agents.ports import Publish
from config import load
from playhead.app import PlayheadApp
from playhead.cache import MemoryCache
from playhead.publisher import Publisher
from playhead.worker import create_changelogs
from topics.emission import Emission
from topics.fields import derive_id

NAME = "kept"
HUGE = -2
"""A value whose state is too large to be kept."""


class Sum(msgspec.Struct):
    """What is known of one key."""

    total: int
    count: int
    ballast: str = ""


def add(state: Sum | None, number: Number) -> tuple[Sum, list[Emission]]:
    """Add `number`; the step of the agent."""
    if number.value == BAD:
        raise ZeroDivisionError("nobody thought of this")
    total = (state.total if state else 0) + number.value
    told = Total(id=derive_id("kept", number.id), time_ms=0, name=number.name, total=total, offset=0)
    ballast = "x" * 2_000_000 if number.value == HUGE else ""
    return Sum(total, (state.count if state else 0) + 1, ballast), [Emission(TOTALS, told)]


def kept_app(topics: TopicTools, folder: str, publish: Publish, remembered_ids: int = 10_000) -> PlayheadApp:
    """Return the agent's application, with its changelog there."""
    loaded = load({}).settings
    engine = loaded.engine.model_copy(update={"remembered_ids": remembered_ids})
    settings = loaded.model_copy(update={"prefix": topics.prefix, "data_dir": folder, "engine": engine})
    app = PlayheadApp(NAME, settings, topics.client, MemoryCache(100))
    keep(app, settings, publish, name=NAME, spec=NUMBERS, state=Sum, step=add)
    create_changelogs(topics.client, [app], 1)
    return app


def saved(topics: TopicTools) -> dict[str, Sum]:
    """Return the state of every key as the changelog has it."""
    changes = TopicTools(topics.client["bootstrap.servers"], "")
    name = f"{topics.prefix}playhead.{NAME}-{NAME}-state-changelog"
    rows = {message.key().decode(): message.value() for message in changes.messages_of(name)}
    return {
        key: msgspec.msgpack.decode(msgspec.msgpack.decode(row, type=Kept).state, type=Sum)
        for key, row in rows.items()
    }


async def main(brokers: str, prefix: str, folder: str, dies_after: str) -> None:
    """Run until killed, by itself after so many records were published and before the last is saved."""
    topics = TopicTools(brokers, prefix)
    publisher = Publisher(topics.client, prefix)
    published = 0

    async def publish(emissions: Sequence[Emission]) -> None:
        nonlocal published
        await publisher(emissions)
        published += 1
        if published == int(dies_after):
            os.kill(os.getpid(), signal.SIGKILL)

    app = kept_app(topics, folder, publish)
    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    arguments: Any = sys.argv[1:]
    asyncio.run(main(*arguments))
