"""`playhead bench recovery`: how soon another process goes on where a killed one ended."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from config import load
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
    output: Annotated[Path | None, typer.Option("-o", help="Write the JSON here too.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the run as SVG here.")] = None,
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
    command = shlex.join(["playhead", *sys.argv[1:]])
    with Steps(plan.steps, quiet=as_json) as steps:
        result = recovery.run(load(os.environ).settings, plan, command, steps.report, steps.step)
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    if picture is not None:
        picture.write_text(draw(result), encoding="utf-8")
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
