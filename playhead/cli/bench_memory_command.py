"""`playhead bench memory`: how much memory a process takes while it drains a backlog."""

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
def bench_memory(
    events: Annotated[
        int, typer.Option(min=100_000, help="Backlog of the fastest contestants.")
    ] = 10_000_000,
    series: Annotated[int, typer.Option(min=10, help="Series that it is of.")] = 10_000,
    many_series: Annotated[
        int, typer.Option(min=11, help="Series of the second backlog, which tells what one costs.")
    ] = 100_000,
    events_per_record: Annotated[int, typer.Option(min=1, max=10_000, help="1: not packed.")] = 1,
    contestants: Annotated[str, typer.Option(help="Who takes part, with commas. Empty: all.")] = "",
    output: Output = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Drain a backlog with one process of each contestant and look at its memory all the while.

    The lane first, then Faust, Quix Streams and Kafka Streams with the same job.

    Example: [bold]playhead bench memory --events 1000000 --contestants lane,quix[/]
    """
    from playhead.bench import memory
    from playhead.bench.memory_picture import draw
    from playhead.bench.tables import MEMORY_HEAD, memory_cells

    plan = memory.Plan(
        events=events,
        series=series,
        many_series=many_series,
        packed=events_per_record,
        contestants=[name for name in contestants.split(",") if name] or memory.CONTESTANTS,
    )
    with Steps(plan.steps, quiet=as_json) as steps:
        result = memory.run(load(os.environ).settings, plan, called(), steps.report, steps.step)
    write_json(result, output)
    write_picture(result, picture, draw)
    if as_json:
        print_json(result)
    else:
        people.print(f"{result.machine}")
        table = Table(*MEMORY_HEAD, header_style="bold")
        for row in memory_cells(result):
            table.add_row(*row)
        people.print(table)
    tell_missing(result.missing)
