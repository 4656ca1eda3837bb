"""`playhead bench memory`: how much memory a worker takes while it drains a backlog."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from config import load
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors

ROWS = 10


@tells_errors
def bench_memory(
    events: Annotated[int, typer.Option(min=100_000, help="Backlog to drain.")] = 10_000_000,
    series: Annotated[int, typer.Option(min=10, help="Series that it is of.")] = 10_000,
    events_per_record: Annotated[int, typer.Option(min=1, max=10_000, help="1: not packed.")] = 1,
    output: Annotated[Path | None, typer.Option("-o", help="Write the JSON here too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Drain a backlog with one worker and look at its resident memory all the while.

    Example: [bold]playhead bench memory --events 1000000[/]
    """
    from playhead.bench import memory

    with notes.status("Starting") as spinner:
        result = memory.run(
            load(os.environ).settings,
            events=events,
            series=series,
            events_per_record=events_per_record,
            report=spinner.update,
        )
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    if as_json:
        print_json(result)
        return
    table = Table("after s", "events", "RSS MB", header_style="bold")
    looks = [look for look in result.looks if look.events]
    for look in [*looks[:: max(len(looks) // ROWS, 1)], looks[-1]]:
        table.add_row(f"{look.seconds:.1f}", f"{look.events:,}", f"{look.rss_mb:.0f}")
    people.print(table)
    people.print(
        f"{result.events:,} events in {result.seconds:.1f} s ({result.events_per_s:,.0f}/s): "
        f"{result.started_mb:.0f} MB before, {result.warm_mb:.0f} MB after a tenth, "
        f"peak {result.peak_mb:.0f} MB: growth {result.growth_mb:.0f} MB"
    )
