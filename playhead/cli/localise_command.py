"""`playhead localise`: which combination of dimensions explains a bad minute."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from config import load
from config.localisation import LocalisationFigures
from models.localisation import Cause
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors
from playhead.incident_file import IncidentFileError, localise_file
from topics.fields import cell_key


class Question(msgspec.Struct, frozen=True):
    """One line of `--batch`."""

    file: str
    minute: int


def register(app: typer.Typer) -> None:
    """Add `localise` to the command line."""
    app.command("localise")(localise)


@tells_errors
def localise(
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV with min, some dimensions, value (stalled viewers), cnt (viewers)."),
    ] = None,
    minute: Annotated[int | None, typer.Argument(help="The minute to explain, as its Unix time.")] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help='Read lines of {"file", "minute"}, print a list for each.')
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Name the causes of a bad minute, best first.

    People get a table; pipes and --json get one JSON list of combinations a minute.

    Example: [bold]playhead localise incident.csv 1566397800[/]
    """
    figures = load(os.environ).settings.localisation
    try:
        if batch:
            _localise_lines(figures)
            return
        if file is None or minute is None:
            raise fail("name a FILE.csv and a MINUTE, or --batch", Exit.USAGE)
        causes = localise_file(file, minute, figures)
    except IncidentFileError as error:
        raise fail(str(error)) from error
    if as_json or not people.is_terminal:
        print_json(_cells(causes))
    elif causes:
        people.print(_table(causes))
    else:
        people.print("Nothing stands out: the cause is not among these dimensions, or there is no trouble.")


def _localise_lines(figures: LocalisationFigures) -> None:
    """Answer each line of standard input; one that cannot be answered gets an empty list, and is told."""
    failed = False
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            question = _question(number, line)
            print_json(_cells(localise_file(Path(question.file), question.minute, figures)))
        except IncidentFileError as error:
            failed = True
            print_json([])
            notes.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(int(Exit.FAILED))


def _question(number: int, line: str) -> Question:
    try:
        return msgspec.json.decode(line, type=Question)
    except msgspec.MsgspecError as error:
        message = f'standard input, line {number}: {error}; expected {{"file", "minute"}}'
        raise IncidentFileError(message) from error


def _cells(causes: list[Cause]) -> list[dict[str, str]]:
    return [cause.cell for cause in causes]


def _table(causes: list[Cause]) -> Table:
    table = Table("", "cause", "explains", "viewers", "why", box=None, header_style="bold")
    for rank, cause in enumerate(causes, 1):
        table.add_row(
            str(rank),
            f"[bold]{cell_key(cause.cell)}[/]",
            f"{cause.explained:.0%}",
            f"{cause.excess_viewers:,.0f}",
            cause.contrast,
        )
    return table
