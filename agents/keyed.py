"""Agents that keep a state per key: decode, decide, publish, save, acknowledge — in this order.

The order is what makes a crash harmless. Emissions are acknowledged by the broker before the state changes,
and the state's changelog is flushed before the offset is committed, so a record read again either finds the
old state, and emits the same ids again, or finds its own id among the ones already seen, and does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import structlog

from agents import metrics
from agents.dead_letters import dead_letter
from agents.ports import App, Publish
from config import Settings
from topics.emission import Emission
from topics.errors import ContractError
from topics.fields import Record
from topics.spec import TopicSpec

S = TypeVar("S", bound=msgspec.Struct)
R = TypeVar("R", bound=Record)

log = structlog.get_logger(__name__)


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
) -> None:
    """Attach an agent that folds the records of each key of `spec` into a state.

    Args:
        name: the agent's name: of its table, its metrics and its dead letters.
        state: the state's type; it must stay small, for it is written with each record.
        step: the pure decision: old state or None and a record in, new state and emissions out. Raising
            anything sends the record to the dead letters and leaves the state as it was.
    """
    decoder = msgspec.msgpack.Decoder(state)
    kept_decoder = msgspec.msgpack.Decoder(Kept)
    topic = app.topic(
        spec.full_name(settings.prefix),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
    )
    table = app.Table(
        f"{name}-state",
        partitions=spec.partitions,
        key_type=bytes,
        value_type=bytes,
    )

    def take(event: Any) -> tuple[str, Kept | None, list[Emission]]:
        message = event.message
        record = spec.decode(event.value)
        record_id = record.id or f"{message.topic}/{message.partition}/{message.offset}"
        stored = table.get(event.key)
        kept = kept_decoder.decode(stored) if stored is not None else None
        if kept is not None and record_id in kept.seen:
            return "duplicate", None, []
        after, emissions = step(decoder.decode(kept.state) if kept is not None else None, record)
        seen = ([*kept.seen, record_id] if kept is not None else [record_id])[
            -settings.engine.remembered_ids :
        ]
        return "processed", Kept(msgspec.Raw(msgspec.msgpack.encode(after)), seen), emissions

    def refuse(event: Any, reason: str) -> Emission:
        message = event.message
        return dead_letter(
            agent=name,
            topic=spec.name,
            partition=message.partition,
            offset=message.offset,
            time_ms=int(message.timestamp * 1000),
            key=event.key,
            value=event.value,
            headers=dict(message.headers or {}).items(),
            reason=reason,
        )

    async def handle(event: Any) -> None:
        began = time.perf_counter()
        try:
            if event.key is None:
                raise ContractError(spec.name, f"the record has no key; expected the {spec.key}")
            outcome, row, emissions = take(event)
        except ContractError as error:
            outcome, row, emissions = "dead", None, [refuse(event, error.reason)]
        except Exception as error:  # one record that no one foresaw must not stop the stream
            log.exception("record refused", agent=name, topic=spec.name, offset=event.message.offset)
            outcome, row, emissions = "dead", None, [refuse(event, f"{type(error).__name__}: {error}")]
        await publish(emissions)
        if row is not None:
            table[event.key] = msgspec.msgpack.encode(row)
        metrics.RECORDS.labels(name, outcome).inc()
        for emission in emissions:
            metrics.EMISSIONS.labels(name, emission.spec.name).inc()
        metrics.PROCESSING_SECONDS.labels(name).observe(time.perf_counter() - began)
        metrics.LATENCY_SECONDS.labels(name).observe(max(time.time() - event.message.timestamp, 0.0))

    async def fold(stream: Any) -> None:
        async for event in stream.events():
            await handle(event)

    app.agent(topic, name=name)(fold)
