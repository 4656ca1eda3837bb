"""`playhead score`: anomaly scores for recorded series, as the stream would have had them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config import load
from models.anomaly.base import Detector
from playhead.cli.output import AsJson, Exit, fail, notes, print_json, tells_errors
from playhead.score_file import ScoreError, Tally, read_rows, score_folder, score_rows, write_rows


def register(app: typer.Typer) -> None:
    """Add `score` to the command line."""
    app.command("score")(score)


@tells_errors
def score(
    file: Annotated[
        str, typer.Argument(help="CSV with timestamp,value; - reads standard input.", metavar="FILE.csv|-")
    ] = "",
    batch: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Score every CSV under a folder into another.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a series row by row: timestamp,value in; timestamp,value,anomaly_score out.

    Each row is scored and written before the next one is read: nothing is known of what comes later.

    Example: [bold]playhead score cpu.csv > scored.csv[/]
    """
    if (batch is None) == (not file):
        raise fail("name a FILE.csv, or - for standard input, or --batch IN_DIR OUT_DIR", Exit.USAGE)
    try:
        if batch is not None:
            _score_batch(*batch, as_json=as_json)
        else:
            _score_one(file, as_json=as_json)
    except ScoreError as error:
        raise fail(str(error)) from error


def _detector() -> Detector:
    # Loaded here, as it brings River and SciPy: seconds that no other command should wait for.
    from models.anomaly.build import ensemble

    settings = load(os.environ).settings
    return ensemble(settings.ensemble, settings.detection)


def _score_one(file: str, *, as_json: bool) -> None:
    tally = Tally()
    name = "standard input" if file == "-" else file
    with ExitStack() as opened:
        lines: Iterable[str] = sys.stdin
        if file != "-":
            try:
                lines = opened.enter_context(Path(file).open(encoding="utf-8", newline=""))
            except OSError as error:
                raise ScoreError(f"{file}: {error.strerror}") from error
        scored = score_rows(read_rows(lines, name), _detector(), name, tally)
        if as_json:
            for row in scored:
                print_json(row._asdict())
        else:
            write_rows(scored, sys.stdout)
    _note(tally)


def _score_batch(in_dir: Path, out_dir: Path, *, as_json: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes) as progress:
        task = progress.add_task("scoring")
        report = score_folder(
            in_dir,
            out_dir,
            _detector,
            lambda done, total, path: progress.update(
                task, completed=done, total=total, description=path.name
            ),
        )
    if as_json:
        print_json({"files": report.files, "rows": report.tally.rows, "errors": report.errors})
    for error in report.errors:
        notes.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
    _note(report.tally)
    if report.errors:
        raise typer.Exit(int(Exit.FAILED))


def _note(tally: Tally) -> None:
    if tally.missing:
        notes.print(f"[yellow]{tally.missing} of {tally.rows} rows have no value: scored 0, not learned[/]")
    if tally.backwards:
        notes.print(f"[yellow]{tally.backwards} rows are older than the row before them[/]")
