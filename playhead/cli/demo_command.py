"""`playhead demo`: the whole loop on recorded incidents."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from config import Settings, load
from playhead.cli.interrupts import stop_on_signals
from playhead.cli.output import AsJson, fail, notes, people, tells_errors
from playhead.cli.services_command import options
from playhead.engine import broker

WIDTH_OF_LOGS = 140
"""Of the tables, where there is no terminal to ask."""


def register(app: typer.Typer) -> None:
    """Add `demo` to the command line."""
    app.command()(demo)


@tells_errors
def demo(
    incidents: Annotated[
        Path | None,
        typer.Option(help="Another folder of incidents: incidents.json and minutes/*.csv.", metavar="DIR"),
    ] = None,
    series: Annotated[
        Path | None,
        typer.Option(help="Another folder of series: combined_windows.json and data/*/*.csv.", metavar="DIR"),
    ] = None,
    first: Annotated[int | None, typer.Option(min=1, help="Replay only the first so many incidents.")] = None,
    largest: Annotated[
        int | None, typer.Option(min=1, help="Leave out incidents with more viewers in a minute.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=5, help="How long feeding takes.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the run's topics on the broker.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Stop Kafka and Redis at the end.")] = False,
    screenshot: Annotated[
        Path | None, typer.Option(help="Save the fullest moment of the screen as SVG.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the whole loop on recorded incidents; exit code 0 only if every step of it was seen.

    Everything is set up and ends by itself: Kafka and Redis are brought up, topics of a prefix of their own
    are made, a worker runs all agents, and recorded incidents of a live video service are replayed, with
    players that obey the steering.

    Example: [bold]playhead demo[/]
    """
    # Loaded here: no other command needs them.
    from playhead.demo.data import INCIDENTS, SERIES, read_incidents, read_series
    from playhead.demo.run import Recordings, Run
    from playhead.demo.screen import JsonScreen, LiveScreen, Photographed, PlainScreen, Screen

    # Only what is shipped is known to fit: other recordings take the time they need.
    settings = _settings(largest=largest, seconds=seconds)
    fits = incidents is None and seconds is None
    until_s = time.monotonic() + settings.demo.fed_within_s if fits else None
    found = read_incidents(incidents or INCIDENTS)
    most = settings.demo.largest_minute
    chosen = [each for each in found if each.most_viewers <= most][:first]
    recordings = Recordings(chosen, read_series(series or SERIES))
    if not chosen:
        raise fail(f"none of the {len(found)} incidents has at most {most:,} viewers in a minute")
    width = shutil.get_terminal_size((WIDTH_OF_LOGS, 0)).columns
    screen: Screen = LiveScreen(people) if people.is_terminal else PlainScreen(Console(width=width))
    if as_json:
        screen = JsonScreen()
    if screenshot is not None:
        screen = Photographed(screen, screenshot)
    try:
        with stop_on_signals("ending the demo") as stopped:
            where = options()
            services = broker.up(where, report=screen.say)
            for warning in services.warnings:
                notes.print(f"[yellow]warning:[/] {warning}", soft_wrap=True)
            if len(chosen) < len(found):
                screen.say(f"{len(found) - len(chosen)} of {len(found)} incidents are left out")
            run = Run(settings, recordings, services, where.data_folder / "demo", stopped.is_set)
            result = run.go(screen, keep=keep, until_s=until_s)
    finally:
        screen.close()
        if down:
            broker.down(options())
    screen.finish(result)
    if keep:
        read = f"playhead subscribe incidents commands steering --prefix {settings.prefix} --no-follow"
        screen.say(f"the topics stay; to read them: {read}")
    missing = [step.name for step in result.steps if not step.seen]
    if missing:
        raise fail(f"the loop was not closed; not seen: {', '.join(missing)}")


def _settings(*, largest: int | None, seconds: float | None) -> Settings:
    """Return the settings with a prefix of this run's own."""
    settings = load(os.environ).settings
    changes = {"largest_minute": largest, "feed_s": seconds}
    demo = settings.demo.model_copy(
        update={name: value for name, value in changes.items() if value is not None}
    )
    prefix = f"{settings.prefix}demo-{datetime.now(UTC):%Y%m%d-%H%M%S}."
    return settings.model_copy(update={"demo": demo, "prefix": prefix})
