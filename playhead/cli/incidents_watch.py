"""`playhead incidents watch`: the incidents as they change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.live import Live

from config import load
from playhead.brokers import client_config
from playhead.cli.interrupts import stop_on_signals
from playhead.cli.output import AsJson, people, print_json, tells_errors
from playhead.cli.produce_command import tell
from playhead.incident_desk import in_order
from playhead.newest import take
from playhead.render.incidents import incident_table
from playhead.tail import Tail
from playhead.when import now_ms
from topics import INCIDENTS
from topics.incidents import Incident, IncidentState

BATCH = 5_000
WAIT_S = 0.25


@tells_errors
def watch(
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0, help="End after so many seconds.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the incidents as they change, until Ctrl-C; with --json each change is a line.

    Example: [bold]playhead incidents watch[/]
    """
    settings = load(os.environ).settings
    client, name = client_config(settings), INCIDENTS.full_name(settings.prefix)
    deadline_s = None if seconds is None else time.monotonic() + seconds
    with stop_on_signals() as stopped, Tail(client, [name], "beginning", tell) as tail:

        def ended() -> bool:
            return stopped.is_set() or (deadline_s is not None and time.monotonic() >= deadline_s)

        if as_json:
            _lines(tail, every, ended)
        else:
            _screen(tail, every, ended)


def _lines(tail: Tail, every: bool, ended: Callable[[], bool]) -> None:
    known: dict[str, Incident] = {}
    while not ended():
        caught_up = not tail.unread
        for message in tail.read(BATCH, WAIT_S):
            take(known, INCIDENTS, message)
            if caught_up:
                now = known.get((message.key() or b"").decode(errors="replace"))
                if now is not None:
                    print_json(now)
        if not caught_up and not tail.unread:
            for each in _shown(known, every):
                print_json(each)


def _screen(tail: Tail, every: bool, ended: Callable[[], bool]) -> None:
    known: dict[str, Incident] = {}
    with Live(console=people, auto_refresh=False) as live:
        while not ended():
            for message in tail.read(BATCH, WAIT_S):
                take(known, INCIDENTS, message)
            live.update(incident_table(_shown(known, every), now_ms()), refresh=True)


def _shown(known: dict[str, Incident], every: bool) -> list[Incident]:
    return in_order(each for each in known.values() if every or each.state is not IncidentState.RESOLVED)
