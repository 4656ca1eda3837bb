"""`playhead bench learned`: how many series a core sustains with a learned model each."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

from config import load
from playhead.cli.bench_results import Output, write_json
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors


@tells_errors
def bench_learned(
    series: Annotated[int, typer.Option(min=1, help="Series judged side by side.")] = 200,
    windows: Annotated[int, typer.Option(min=10, help="Windows of each, once the models are warm.")] = 100,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a window costs each learned model, and how many series a core sustains at the cadence.

    Example: [bold]playhead bench learned --series 100[/]
    """
    from playhead.bench import learned

    with notes.status("Measuring") as spinner:
        result = learned.run(load(os.environ).settings, series=series, windows=windows, report=spinner.update)
    write_json(result, output)
    if as_json:
        print_json(result)
        return
    table = Table("model", "CPU us/window", "series/core", "snapshot kB", "snapshot us", header_style="bold")
    for each in result.models:
        table.add_row(
            each.model,
            f"{each.us_per_window:.1f}",
            f"{each.series_per_core:,}",
            f"{each.snapshot_bytes / 1000:.1f}",
            f"{each.snapshot_us:.0f}",
        )
    people.print(table)
    people.print(
        f"a window of each series every {result.cadence_s:g} s; "
        f"load average {result.load_average:.1f} on {result.cpus} cores"
    )
