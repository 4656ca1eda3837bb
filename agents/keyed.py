"""Agents that keep a state per key: decode, decide, publish, save, acknowledge — in this order.

The order is what makes a crash harmless. Emissions are acknowledged by the broker before the state changes,
and the broker has the changed state before the record is acknowledged, so a record read again either finds
the old state, and emits the same ids again, or finds its own id among those already seen, and does nothing.

Faust by itself keeps neither half of it: it acknowledges a record whose agent was stopped half-way, and a
commit waits for the changelog only so far. Hence the stream without acknowledgements of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from agents import metrics
from agents.dead_letters import dead_letter
from agents.ports import App, Publish
from config import Settings
from topics.emission import Emission
from topics.errors import ContractError
from topics.fields import Record
from topics.spec import AnySpec, TopicSpec

S = TypeVar("S", bound=msgspec.Struct)
R = TypeVar("R", bound=Record)

log = structlog.get_logger(__name__)

MAX_ROW_BYTES = 900_000
"""Kafka takes records of a million bytes, key and all."""


class Kept(msgspec.Struct):
    """A row of the table: the state of one key, and the ids of the records it has taken."""

    state: msgspec.Raw
    seen: list[str]


def keep(
    app: App,
    settings: Settings,
    publish: Publish,
    *,
    name: str,
    spec: TopicSpec[R],
    state: type[S],
    step: Callable[[S | None, R], tuple[S, list[Emission]]],
    also: Sequence[AnySpec] = (),
) -> None:
    """Attach an agent that folds the records of each key of `spec` into a state.

    Args:
        name: the agent's name: of its table, its metrics and its dead letters.
        also: further topics with the same keys and as many partitions, folded into the same states.
        state: the state's type; it must stay small, for it is written with each record. One that would
            outgrow a Kafka record is not saved, and the record that made it do so is dead.
        step: the pure decision: old state or None and a record in, new state and emissions out. Raising
            anything sends the record to the dead letters and leaves the state as it was.
    """
    types = {"key_type": bytes, "value_type": bytes}
    specs: dict[str, AnySpec] = {each.full_name(settings.prefix): each for each in (spec, *also)}
    if {each.partitions for each in specs.values()} != {spec.partitions}:
        raise ValueError(f"{', '.join(specs)} have not as many partitions: a key's records would part")
    topic = app.topic(*specs, key_serializer="raw", value_serializer="raw", **types)
    table = app.Table(f"{name}-state", partitions=spec.partitions, **types)
    keeper = _Keeper(app, publish, table, name, specs, state, step, settings.engine.remembered_ids)

    async def fold(stream: Any) -> None:
        async for event in stream.noack().events():
            await keeper.handle(event)

    app.agent(topic, name=name)(fold)


class _Keeper(Generic[S, R]):
    """Takes one event after the other."""

    def __init__(
        self,
        app: App,
        publish: Publish,
        table: Any,
        name: str,
        specs: Mapping[str, AnySpec],
        state: type[S],
        step: Callable[[S | None, R], tuple[S, list[Emission]]],
        remembered_ids: int,
    ) -> None:
        self._app = app
        self._publish = publish
        self._table = table
        self._name = name
        self._specs = specs
        self._state = msgspec.msgpack.Decoder(state)
        self._kept = msgspec.msgpack.Decoder(Kept)
        self._step = step
        self._remembered_ids = remembered_ids
        self._crash: asyncio.Future[None] | None = None

    async def handle(self, event: Any) -> None:
        began = time.perf_counter()
        row: bytes | None = None
        stored = self._table.get(event.key) if event.key is not None else None
        try:
            outcome, row, emissions = self._take(event, stored)
        except ContractError as error:
            outcome, emissions = "dead", [self._letter(event, error.reason)]
        except Exception as error:  # one record that no one foresaw must not stop the stream
            log.exception("record refused", agent=self._name, offset=event.message.offset)
            outcome, emissions = "dead", [self._letter(event, f"{type(error).__name__}: {error}")]
        await self._publish(emissions)
        if row is None:
            event.ack()
        else:
            self._save(event, row)
        metrics.RECORDS.labels(self._name, outcome).inc()
        for emission in emissions:
            metrics.EMISSIONS.labels(self._name, emission.spec.name).inc()
        metrics.PROCESSING_SECONDS.labels(self._name).observe(time.perf_counter() - began)
        latency_s = max(time.time() - event.message.timestamp, 0.0)
        metrics.LATENCY_SECONDS.labels(self._name).observe(latency_s)

    def _take(self, event: Any, stored: bytes | None) -> tuple[str, bytes | None, list[Emission]]:
        """Return what becomes of the record, the row to save, and what follows from it."""
        message = event.message
        spec = self._specs[message.topic]
        if event.key is None:
            raise ContractError(spec.name, f"the record has no key; expected the {spec.key}")
        record = spec.decode(event.value)
        record_id = record.id or f"{message.topic}/{message.partition}/{message.offset}"
        kept = self._kept.decode(stored) if stored is not None else None
        seen = kept.seen if kept is not None else []
        if record_id in seen:
            return "duplicate", None, []
        before = self._state.decode(kept.state) if kept is not None else None
        after, emissions = self._step(before, record)
        seen = [*seen, record_id][-self._remembered_ids :]
        row = msgspec.msgpack.encode(Kept(msgspec.Raw(msgspec.msgpack.encode(after)), seen))
        if len(row) > MAX_ROW_BYTES:
            raise ContractError(
                spec.name,
                f"the state of {event.key[:200]!r} would be {len(row)} bytes, of {MAX_ROW_BYTES} at most",
            )
        return "processed", row, emissions

    def _letter(self, event: Any, reason: str) -> Emission:
        message = event.message
        return dead_letter(
            agent=self._name,
            topic=self._specs[message.topic].name,
            partition=message.partition,
            offset=message.offset,
            time_ms=int(message.timestamp * 1000),
            key=event.key,
            value=event.value,
            headers=dict(message.headers or {}).items(),
            reason=reason,
        )

    def _save(self, event: Any, row: bytes) -> None:
        # What `table[key] = row` does; but that would not tell when the broker has the row.
        written = self._table.send_changelog(event.message.partition, event.key, row)
        self._table.data[event.key] = row
        written.add_done_callback(partial(self._saved, event))

    def _saved(self, event: Any, written: asyncio.Future[Any]) -> None:
        if written.cancelled():
            return
        error = written.exception()
        if error is None:
            event.ack()
        elif self._crash is None:
            # Not acknowledged, the record is read again by the worker that comes after this one.
            log.error("state not saved", agent=self._name, error=str(error))
            self._crash = asyncio.ensure_future(self._app.crash(error))
