"""`playhead tune`: what the detectors would have told of a recording, and the bounds that suit a budget."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.syntax import Syntax
from rich.table import Table

from config import load
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors

if TYPE_CHECKING:
    from models.tuning import Told
    from playhead.tune.run import Result


def register(app: typer.Typer) -> None:
    """Add `tune` to the command line."""
    app.command("tune")(tune)


@tells_errors
def tune(
    source: Annotated[
        Path, typer.Argument(help="A recording, a CSV with timestamp,value, or a folder of such.")
    ],
    labels: Annotated[
        Path | None, typer.Option(help='Known troubles: JSON, {"cpu.csv": [["first", "last"], ...]}.')
    ] = None,
    detector: Annotated[
        list[str] | None, typer.Option(help="Only this detector; may be given several times.")
    ] = None,
    false_per_week: Annotated[
        float | None,
        typer.Option(min=0, help="False episodes a week over all series; the budget of pages by default."),
    ] = None,
    write: Annotated[Path | None, typer.Option(help="Write what was chosen as TOML here.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw when each detector fired, as SVG, here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what each detector would have told of a recording, and choose bounds within a budget.

    Bounds are chosen on one part of what was recorded and told of on the other. Without labels all that fires
    is taken to be false: use a quiet recording then.

    Example: [bold]playhead tune incident-42 --write playhead.toml[/]
    """
    # Loaded here, as they bring River and SciPy: seconds that no other command should wait for.
    from playhead.tune.diff import config_diff, config_file
    from playhead.tune.picture import draw
    from playhead.tune.run import tune as run
    from playhead.tune.series import load_series
    from playhead.tune.tunables import TUNABLES

    settings = load(os.environ).settings
    names = detector or list(TUNABLES)
    for name in names:
        if name not in TUNABLES:
            raise fail(f"there is no detector {name!r} to tune; there are {', '.join(TUNABLES)}", Exit.USAGE)
    if write is not None and write.exists():
        raise fail(f"{write} is there already; name another file, and merge the two by hand", Exit.USAGE)
    budget = settings.budget.false_pages_per_week if false_per_week is None else false_per_week
    series = load_series(source, labels)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes) as bar:
        task = bar.add_task("scoring")
        result = run(
            settings,
            series,
            names,
            budget,
            lambda done, total, what: bar.update(task, completed=done, total=total, description=what),
        )
    if picture is not None:
        picture.write_text(draw(result, series), encoding="utf-8")
    if write is not None:
        said = f"Tuned on {source}: {_said(result)}"
        write.write_text(config_file(result.detectors, said), encoding="utf-8")
    if as_json:
        print_json(result)
        return
    _show(result)
    if any(each.choices for each in result.detectors):
        people.print(Syntax(config_diff(result.detectors), "diff", background_color="default"))
    if write is not None:
        notes.print(f"written to {escape(str(write))}; take it up with PLAYHEAD_CONFIG={escape(str(write))}")


def _said(result: Result) -> str:
    return (
        f"{result.series} series, {result.rows:,} rows, {result.labelled_windows} labelled windows; "
        f"bounds chosen on {result.split} for {result.false_per_week:g} false episodes a week"
    )


def _show(result: Result) -> None:
    people.print(_said(result) + "; on the rest, now and as tuned:")
    table = Table(header_style="bold")
    table.add_column("detector", no_wrap=True)
    for column in ("CPU us\na row", "false\na week", "windows\nseen", "precision", "delay", "budget\nspent"):
        table.add_column(column, justify="right")
    for each in result.detectors:
        rows = [each.now, each.tuned] if each.choices else [each.now]
        for told, what in zip(rows, (each.detector, "  [dim]tuned[/]"), strict=False):
            cpu = f"{each.cpu_us_per_row:.0f}" if told is each.now else ""
            table.add_row(what, cpu, *_told(told), _spent(told, result.false_per_week))
    people.print(table)
    for each in result.detectors:
        if not each.choices:
            people.print(f"[dim]{each.detector}: {each.why}[/]")


def _told(told: Told) -> list[str]:
    return [
        f"{told.false_per_week:,.1f}",
        f"{told.windows_seen} of {told.windows}" if told.windows else "-",
        "-" if told.precision is None else f"{told.precision:.0%}",
        "-" if told.delay_median_s is None else f"{told.delay_median_s / 60:,.0f} min",
    ]


def _spent(told: Told, budget: float) -> str:
    if not budget:
        return "-"
    spent = told.false_per_week / budget
    return f"[{'red' if spent > 1 else 'green'}]{spent:,.0%}[/]"
