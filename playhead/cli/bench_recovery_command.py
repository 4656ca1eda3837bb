"""`playhead bench recovery`: how soon another worker goes on where a killed one ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from config import load
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors


@tells_errors
def bench_recovery(
    series: Annotated[int, typer.Option(min=1_000, help="Series of both workers together.")] = 200_000,
    rate: Annotated[float, typer.Option(min=1_000, help="Events a second all the while.")] = 20_000.0,
    kills: Annotated[int, typer.Option(min=1, help="How often a worker is killed.")] = 3,
    output: Annotated[Path | None, typer.Option("-o", help="Write the JSON here too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Kill one of two workers under load and time the other: taken over, first new output, caught up.

    Example: [bold]playhead bench recovery --kills 1[/]
    """
    from playhead.bench import recovery

    with notes.status("Starting") as spinner:
        result = recovery.run(
            load(os.environ).settings, series=series, rate=rate, kills=kills, report=spinner.update
        )
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    if as_json:
        print_json(result)
        return
    table = Table("kill", "series lost", "taken over s", "first output s", "caught up s", header_style="bold")
    for number, each in enumerate(result.kills, start=1):
        table.add_row(
            str(number),
            f"{each.series:,}",
            f"{each.missed_after_s:.1f}",
            f"{each.first_output_s:.1f}",
            f"{each.caught_up_s:.1f}",
        )
    people.print(table)
    people.print(
        f"at {result.rate_per_s:,.0f} events/s; the dead are missed after {result.session_timeout_s:g} s; "
        f"load average {result.load_average:.1f} on {result.cpus} cores"
    )
