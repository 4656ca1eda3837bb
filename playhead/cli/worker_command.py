"""`playhead worker`: run agents."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Annotated

import structlog
import typer

from config import load
from playhead.cli.output import tells_errors
from playhead.logs import configure

log = structlog.get_logger(__name__)


def register(app: typer.Typer) -> None:
    """Add `worker` to the command line."""
    app.command("worker")(run)


@tells_errors
def run(
    agents: Annotated[
        str, typer.Option(help="Agents to run, separated by commas; all of them where none is named.")
    ] = "",
    supervise: Annotated[bool, typer.Option(help="Start the worker again when it dies.")] = True,
    supervised: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run agents: all, or a chosen few. Workers share the partitions of the agents they run.

    Example: [bold]playhead worker --agents telemetry,playback,cohorts[/]
    """
    # Loaded here, as it brings Faust: a second that no other command should wait for.
    from playhead import worker

    settings = load(os.environ).settings
    configure(settings.log)
    names = [name.strip() for name in agents.split(",") if name.strip()]
    if supervise:
        command = [sys.executable, "-m", "playhead", "worker", "--no-supervise", "--supervised"]
        command += ["--agents", agents]
        raise typer.Exit(worker.supervise(command, settings))
    asyncio.run(_run(names, supervised=supervised))


async def _run(names: list[str], *, supervised: bool) -> None:
    from playhead import worker
    from playhead.brokers import client_config
    from playhead.cache import open_cache

    settings = load(os.environ).settings
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if supervised:
        worker.stop_when_orphaned(loop, stop)
    async with open_cache(settings) as cache:
        await worker.run(settings, client_config(settings), cache, names, stop=stop)
