"""`playhead recording`: what recordings hold."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from playhead.cli.meter import Meter
from playhead.cli.output import AsJson, Exit, notes, people, print_json, tells_errors
from playhead.cli.record_command import Folder
from playhead.recording.format import Manifest
from playhead.recording.reader import Recording
from playhead.render.words import figure
from playhead.when import iso

Check = Annotated[bool, typer.Option("--check/--no-check", help="Hold every file against its SHA-256.")]


def register(app: typer.Typer) -> None:
    """Add `recording` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Look into recordings.")
    group.command("show")(show)
    app.add_typer(group, name="recording")


@tells_errors
def show(folder: Folder, check: Check = True, as_json: AsJson = False) -> None:
    """Show what a recording holds, and whether its files are as they were written.

    Example: [bold]playhead recording show outage-42[/]
    """
    recording = Recording(folder)
    manifest = recording.manifest
    problems: list[str] | None = None
    if check:
        with Meter("checking", manifest.bytes, quiet=as_json) as meter:
            problems = recording.problems(lambda behind: meter.update(behind, behind))
    if as_json:
        print_json({**msgspec.to_builtins(manifest), "finished": recording.finished, "problems": problems})
    else:
        _tell_recording(recording, problems)
    if problems:
        raise typer.Exit(Exit.FAILED)


def _tell_recording(recording: Recording, problems: list[str] | None) -> None:
    manifest = recording.manifest
    people.print(f"[bold]{escape(recording.name)}[/]  {_story(manifest)}", highlight=False, soft_wrap=True)
    table = Table(
        "topic", "partitions", "records", "MB of values", "event time (UTC)", box=None, header_style="bold"
    )
    for column in table.columns[1:4]:
        column.justify = "right"
    for topic in manifest.topics:
        first, last = topic.event_from_ms, topic.event_to_ms
        span = "" if first is None or last is None else f"{iso(first)[:19]} – {iso(last)[:19]}"
        row = f"{topic.partitions}", f"{topic.records:,}", figure(topic.value_bytes / 1e6), span
        table.add_row(topic.topic, *row, style="" if topic.records else "dim")
    people.print(table, soft_wrap=True)
    if problems is None:
        return
    if problems:
        for problem in problems:
            notes.print(f"[bold red]damaged:[/] {escape(problem)}", highlight=False, soft_wrap=True)
        return
    files = sum(len(topic.parts) for topic in manifest.topics)
    people.print(f"[green]whole:[/] {files} files, {figure(manifest.bytes / 1e6)} MB", highlight=False)


def _story(manifest: Manifest) -> str:
    where = f"prefix {manifest.prefix!r}" if manifest.prefix else "topics without prefix"
    ended = "its recorder was killed" if manifest.ended == "killed" else f"ended by {manifest.ended}"
    return escape(
        f"{manifest.records:,} records of {where}, taken {iso(manifest.began_ms)[:19]} to "
        f"{iso(manifest.ended_ms)[:19]} with Playhead {manifest.playhead}, {ended}"
    )
