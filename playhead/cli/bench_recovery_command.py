"""`playhead bench recovery`: how soon another process goes on where a killed one ended."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

from config import load
from playhead.cli.bench_results import Output, Picture, called, write_json, write_picture
from playhead.cli.missing import tell_missing
from playhead.cli.output import AsJson, people, print_json, tells_errors
from playhead.cli.steps import Steps


@tells_errors
def bench_recovery(
    series: Annotated[int, typer.Option(min=1_000, help="Series of both processes together.")] = 200_000,
    rate: Annotated[
        float, typer.Option(min=1_000, help="Events a second, for those that keep up with so many.")
    ] = 20_000.0,
    kills: Annotated[int, typer.Option(min=1, help="How often a process of each is killed.")] = 3,
    contestants: Annotated[str, typer.Option(help="Who takes part, with commas. Empty: all.")] = "",
    output: Output = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Kill one of two processes under load and time the other: taken over, first new output, caught up.

    The lane first, then Faust with a table, Quix Streams and Kafka Streams with the same job.

    Example: [bold]playhead bench recovery --kills 1 --contestants lane,quix[/]
    """
    from playhead.bench import recovery
    from playhead.bench.recovery_picture import draw
    from playhead.bench.tables import RECOVERY_HEAD, recovery_cells

    plan = recovery.Plan(
        series, rate, kills, [name for name in contestants.split(",") if name] or recovery.CONTESTANTS
    )
    with Steps(plan.steps, quiet=as_json) as steps:
        result = recovery.run(load(os.environ).settings, plan, called(), steps.report, steps.step)
    write_json(result, output)
    write_picture(result, picture, draw)
    if as_json:
        print_json(result)
    else:
        people.print(f"{result.machine}")
        table = Table(*RECOVERY_HEAD, header_style="bold")
        for row in recovery_cells(result):
            table.add_row(*row)
        people.print(table)
        people.print(f"the dead are missed after {result.session_timeout_s:g} s")
    tell_missing(result.missing)
