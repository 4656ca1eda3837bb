"""A worker: runs agents until told to stop, tells how it is, and is started again when it dies.

At-least-once and deterministic ids make a crash harmless, so a worker that meets what it cannot mend ends,
and its supervisor starts a fresh one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog

from agents.ports import Cache
from config import Settings
from playhead.app import Pipeline, PlayheadApp, build
from playhead.brokers import BrokerUnavailableError
from playhead.engine.collector import spare_batches
from playhead.health import HealthServer
from playhead.topics_admin import TopicsAdmin, Wanted
from topics.errors import PlayheadError
from topics.spec import MAX_RECORD_BYTES

log = structlog.get_logger(__name__)

WATCH_S = 0.2
RETRY_S = 1.0
STOP_TIMEOUT_S = 60.0
FINAL = frozenset({0, 2, 3})
"""Exit codes that another start would not change; see `playhead.cli.output.Exit`."""


class WorkerCrashError(PlayheadError):
    """One of the worker's applications ended by itself."""


async def run(
    settings: Settings,
    client: Mapping[str, Any],
    cache: Cache,
    names: Sequence[str] = (),
    *,
    stop: asyncio.Event,
    ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Run the agents `names`, or all of them, until `stop` is set.

    Args:
        ready: called once all agents know their partitions, with the port of the health endpoints.

    Raises:
        WorkerCrashError: an agent's application crashed; the text says why.
    """
    pipeline = build(settings, client, cache, names)
    spare_batches(settings.engine.young_objects)

    def told(port: int) -> None:
        # By now the views hold all there was, maybe 100,000 answers: to search them takes half a second.
        spare_batches(settings.engine.young_objects)
        ready(port)

    health = HealthServer(settings, pipeline.apps)
    starting: asyncio.Future[Any] | None = None
    try:
        port = await health.start()
        log.info("starting", agents=[app.agent_name for app in pipeline.apps], port=port)
        if await _prepare(settings, client, pipeline, stop):
            starting = asyncio.gather(*(app.maybe_start() for app in pipeline.apps))
            await _watch(pipeline, starting, stop, lambda: told(port))
    finally:
        if starting is not None:
            starting.cancel()
        await asyncio.gather(*(app.stop() for app in pipeline.apps), return_exceptions=True)
        await health.stop()
        await asyncio.to_thread(pipeline.publisher.close)


async def _prepare(
    settings: Settings, client: Mapping[str, Any], pipeline: Pipeline, stop: asyncio.Event
) -> bool:
    """Make the changelogs, however long the broker needs to answer; return whether they are there."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(
                create_changelogs, client, pipeline.apps, settings.engine.replication_factor
            )
        except BrokerUnavailableError as error:
            log.warning("waiting for the broker", error=str(error))
            await _pause(stop, RETRY_S)
        else:
            return True
    return False


async def _watch(
    pipeline: Pipeline, starting: asyncio.Future[Any], stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Return when told to stop; starting may take long, for it waits for the broker and for topics."""
    told = False
    while not stop.is_set():
        if starting.done():
            await starting
        for app in pipeline.apps:
            app.measure_lag()
            if app.failure is not None:
                raise WorkerCrashError(f"agent {app.agent_name} crashed: {app.failure}")
        if not told and all(app.ready for app in pipeline.apps):
            told = True
            log.info("ready")
            ready()
        await _pause(stop, WATCH_S)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def create_changelogs(client: Mapping[str, Any], apps: Sequence[PlayheadApp], replication: int) -> None:
    """Create the topics that hold the tables' changes, where they are missing.

    Faust creates them too, but reads its metadata before it does, and then takes them to have no
    partitions.

    Raises:
        BrokerUnavailableError, BrokerRefusedError: they could not be made.
    """
    TopicsAdmin(client, replication).create(
        [
            Wanted(name, partitions, {"cleanup.policy": "compact"}, MAX_RECORD_BYTES)
            for app in apps
            for name, partitions in app.changelogs()
        ]
    )


def supervise(command: Sequence[str], settings: Settings) -> int:
    """Run `command` and start it again whenever it dies, unless it dies too often; return its exit code.

    It is not started again where it has ended well, was called wrongly, or found no broker to talk to. The
    child's standard input is a pipe from here: when this process is killed, the child sees its end and
    stops too.
    """
    deaths: deque[float] = deque(maxlen=settings.engine.restart_limit)
    ending: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def end(number: int, _: object) -> None:
        ending.append(number)
        if child is not None:
            _end(child, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    while True:
        child = subprocess.Popen(list(command), stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
        if ending:  # told to end while there was no child
            _end(child, ending[-1])
        code = child.wait()
        if ending or code in FINAL:
            return max(code, 0)
        now = time.monotonic()
        deaths.append(now)
        if len(deaths) == deaths.maxlen and now - deaths[0] < settings.engine.restart_window_s:
            log.error("worker keeps dying, giving up", deaths=len(deaths), exit_code=code)
            return 1
        log.warning("worker died, starting it again", exit_code=code)


def _end(child: subprocess.Popen[bytes], number: int) -> None:
    """Tell `child` to end; one that does not is killed: its state is safe in Kafka."""
    child.send_signal(number)
    killer = threading.Timer(STOP_TIMEOUT_S, child.kill)
    killer.daemon = True
    killer.start()


def stop_when_orphaned(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends: the supervisor is gone."""

    def wait() -> None:
        # Not through Python's buffer: a thread that waits inside its lock lets no interpreter end.
        while os.read(sys.stdin.fileno(), 1):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="orphan-watch", daemon=True).start()
