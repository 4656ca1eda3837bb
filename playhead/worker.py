"""A worker: runs agents until told to stop, tells how it is, and is started again when it dies.

At-least-once and deterministic ids make a crash harmless, so a worker that meets what it cannot mend ends,
and its supervisor starts a fresh one.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from mode import Service

from agents.ports import Cache
from config import Settings
from playhead.app import Pipeline, PlayheadApp, build
from playhead.health import HealthServer
from playhead.topics_admin import TopicsAdmin, Wanted
from topics.errors import PlayheadError
from topics.spec import MAX_RECORD_BYTES

log = structlog.get_logger(__name__)

WATCH_S = 0.2


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
    health = HealthServer(settings, pipeline.apps)
    try:
        await asyncio.to_thread(create_changelogs, client, pipeline.apps, settings.engine.replication_factor)
        port = await health.start()
        log.info("starting", agents=[app.agent_name for app in pipeline.apps], port=port)
        await asyncio.gather(*(app.maybe_start() for app in pipeline.apps))
        await _watch(pipeline, stop, lambda: ready(port))
    finally:
        await asyncio.gather(*(app.stop() for app in pipeline.apps), return_exceptions=True)
        await health.stop()
        await asyncio.to_thread(pipeline.publisher.close)


async def _watch(pipeline: Pipeline, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    told = False
    while not stop.is_set():
        for app in pipeline.apps:
            services: tuple[Any, ...] = (app, *app.lanes, *app.views)
            failed = next((each for each in services if each.crashed), None)
            if failed is not None:
                raise WorkerCrashError(f"agent {app.agent_name} crashed: {_why(failed)}")
        if not told and all(app.ready for app in pipeline.apps):
            told = True
            log.info("ready")
            ready()
        try:
            await asyncio.wait_for(stop.wait(), WATCH_S)
        except TimeoutError:
            continue


def _why(service: Service) -> str:
    return repr(getattr(service, "_crash_reason", None) or "no reason given")


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

    The child's standard input is a pipe from here: when this process is killed, the child sees its end
    and stops too.
    """
    deaths: deque[float] = deque(maxlen=settings.engine.restart_limit)
    ending = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def end(number: int, _: object) -> None:
        ending.set()
        if child is not None:
            child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    while True:
        child = subprocess.Popen(list(command), stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
        code = child.wait()
        if ending.is_set() or code in {0, 2}:
            return max(code, 0)
        now = time.monotonic()
        deaths.append(now)
        if len(deaths) == deaths.maxlen and now - deaths[0] < settings.engine.restart_window_s:
            log.error("worker keeps dying, giving up", deaths=len(deaths), exit_code=code)
            return 1
        log.warning("worker died, starting it again", exit_code=code)


def stop_when_orphaned(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends: the supervisor is gone."""

    def wait() -> None:
        while sys.stdin.buffer.read(1):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="orphan-watch", daemon=True).start()
