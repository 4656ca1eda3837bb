"""The contestants in Python, a process each: ``python -m playhead.bench.contestants NAME TASK``.

`lane` is Playhead's telemetry agent as a worker runs it. `faust` is what one would write with Faust alone: an
``async for`` over the events, the rules of `playhead.bench.rules` for each series, anomalies out; its state
is a dictionary, and that of `faust-table` one of Faust's tables. `ceiling` only fetches; `ceiling-decode`
decodes what it fetched as well. Each imports for itself what it needs, so that none carries the memory of
another.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from config import Settings, load
from playhead.bench.rules import Change, Rules, State, fresh
from playhead.bench.task import Task, tell_progress, until_told_to_stop
from playhead.brokers import client_config
from playhead.cache import MemoryCache
from playhead.logs import configure
from playhead.packing import is_packed, unpack
from playhead.publisher import Publisher, encoded
from topics import ANOMALIES, TELEMETRY
from topics.anomalies import Anomaly, AnomalyKind, Phase, Severity
from topics.emission import Emission
from topics.fields import derive_id
from topics.telemetry import Sample, Samples

BATCH = 10_000
POLL_S = 0.05
FLUSH_TIMEOUT_S = 10.0
ADMIN_TIMEOUT_S = 30.0


def lane(settings: Settings, task: Task) -> None:
    """Playhead's own agent."""
    from agents import metrics, telemetry
    from playhead.app import PlayheadApp
    from playhead.engine.collector import spare_batches

    tell_progress(lambda: int(metrics.EVENTS.labels("telemetry", "processed")._value.get()))

    async def run() -> None:
        client = {**client_config(settings), "client.id": task.client_id}
        app = PlayheadApp("telemetry", settings, client, MemoryCache(capacity=1))
        publisher = Publisher(client, settings.prefix)
        telemetry.attach(app, settings, publisher)
        spare_batches(settings.engine.young_objects)
        ended = _ended(asyncio.get_running_loop())
        await app.start()
        await ended.wait()
        await app.stop()

    asyncio.run(run())


def faust_with_a_dictionary(settings: Settings, task: Task) -> None:
    """Faust alone; what it knows of the series dies with it."""
    _faust(settings, task, lambda _: {})


def faust_with_a_table(settings: Settings, task: Task) -> None:
    """Faust alone; a changelog topic and a second process keep what it knows of the series."""
    _faust(settings, task, partial(_table, settings, task))


def _table(settings: Settings, task: Task, app: Any) -> MutableMapping[str, State]:
    # A table has to have as many partitions as the topic whose keys are its own.
    topics = AdminClient(client_config(settings)).list_topics(task.telemetry, ADMIN_TIMEOUT_S).topics
    partitions = len(topics[task.telemetry].partitions)
    table: MutableMapping[str, State] = app.Table("series", partitions=partitions)
    return table


def _faust(settings: Settings, task: Task, states_of: Callable[[Any], MutableMapping[str, State]]) -> None:
    """Score an event at a time, with Faust's options as they come."""
    import faust

    count = 0
    tell_progress(lambda: count)
    rules = Rules(**task.rules)
    publisher = Publisher(client_config(settings), settings.prefix)
    states: MutableMapping[str, State]

    def score(sample: Sample, message: Any, inside: int) -> None:
        series = TELEMETRY.key_of(sample)
        state = states.get(series) or fresh()
        change = rules.step(state, sample.value)
        states[series] = state
        if change is not None:
            publisher.send(encoded(_anomaly(sample, series, change, message, inside)))

    async def score_all(stream: Any) -> None:
        nonlocal count
        async for event in stream.events():
            if is_packed(event.headers and list(event.headers.items())):
                samples = unpack(TELEMETRY, event.value)
                for inside, sample in enumerate(samples):
                    score(sample, event.message, inside)
                count += len(samples)
            else:
                score(TELEMETRY.decode(event.value), event.message, 0)
                count += 1

    async def run() -> None:
        nonlocal states
        app = faust.App(
            task.group,
            broker=f"kafka://{task.brokers}",
            value_serializer="raw",
            web_enabled=False,
            datadir=task.state_dir,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            broker_client_id=task.client_id,
            broker_session_timeout=task.session_timeout_s,
            broker_heartbeat_interval=task.session_timeout_s / 4,
        )
        states = states_of(app)
        topic = app.topic(task.telemetry, value_type=bytes, value_serializer="raw")
        app.agent(topic, name="score")(score_all)
        ended = _ended(asyncio.get_running_loop())
        await app.start()
        await ended.wait()
        publisher.flush(FLUSH_TIMEOUT_S)
        await app.stop()

    asyncio.run(run())


def ceiling(settings: Settings, task: Task) -> None:
    """confluent-kafka fetching, doing nothing: no engine on it can be faster here."""
    _consume(settings, task, lambda _: None)


def ceiling_decode(settings: Settings, task: Task) -> None:
    """... and msgspec decoding each value by its contract, one at a time."""
    single, packed = msgspec.json.Decoder(Sample).decode, msgspec.json.Decoder(Samples).decode

    def decode(messages: list[Any]) -> None:
        for message in messages:
            (packed if message.headers() else single)(message.value())

    _consume(settings, task, decode)


def _consume(settings: Settings, task: Task, use: Callable[[list[Any]], None]) -> None:
    consumer = Consumer(
        {
            **client_config(settings),
            "group.id": task.group,
            "client.id": task.client_id,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.queue.backoff.ms": 2,
            "queued.min.messages": 200_000,
        }
    )
    consumer.subscribe([task.telemetry])
    ending = threading.Event()
    until_told_to_stop(ending.set)
    count = 0
    tell_progress(lambda: count)
    while not ending.is_set():
        messages = consumer.consume(BATCH, POLL_S)
        use(messages)
        # A record of many events is counted as such once the batch is over: the ceiling opens none of them.
        count += sum(_events_in(message) for message in messages) if _packed(messages) else len(messages)
    consumer.close()


def _packed(messages: list[Any]) -> bool:
    return bool(messages) and is_packed(messages[0].headers())


def _events_in(message: Any) -> int:
    value: bytes = message.value()
    # One comma fewer than events, between the brackets of `which`.
    begin = value.index(b'"which":[')
    return value.count(b",", begin, value.index(b"]", begin)) + 1


def _anomaly(sample: Sample, series: str, change: Change, message: Any, inside: int) -> Emission:
    return Emission(
        ANOMALIES,
        Anomaly(
            id=derive_id("plain", message.partition, message.offset, inside, change.phase),
            time_ms=sample.time_ms,
            subject=sample.service,
            series=series,
            phase=Phase(change.phase),
            kind=AnomalyKind.LATENCY_SPIKE,
            severity=Severity(change.severity),
            score=change.severity / 4.0,
            confidence=0.5,
            metric=sample.metric,
            value=sample.value,
            origin_ms=int(message.timestamp * 1000),
        ),
    )


def _ended(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Return an event that is set once standard input has ended."""
    ended = asyncio.Event()
    until_told_to_stop(partial(_set_soon, loop, ended))
    return ended


def _set_soon(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


CONTESTANTS: dict[str, Callable[[Settings, Task], None]] = {
    "lane": lane,
    "faust": faust_with_a_dictionary,
    "faust-table": faust_with_a_table,
    "ceiling": ceiling,
    "ceiling-decode": ceiling_decode,
}


def _main(name: str, task: str) -> None:
    settings = load(os.environ).settings
    configure(settings.log)
    CONTESTANTS[name](settings, msgspec.json.decode(task, type=Task))


if __name__ == "__main__":
    _main(*sys.argv[1:])
