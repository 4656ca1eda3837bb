"""`playhead bench localise`: how long naming a cause takes."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

from config import load
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors
from topics.fields import cell_key


@tells_errors
def bench_localise(
    viewers: Annotated[int, typer.Option(min=1_000, help="Viewers of the window.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are told.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure how long the causes of a bad window take, at a million viewers in eight dimensions.

    Example: [bold]playhead bench localise[/]
    """
    from playhead.bench import localising

    with notes.status("Measuring") as spinner:
        costs = localising.run(
            load(os.environ).settings, viewers=viewers, rounds=rounds, report=spinner.update
        )
    if as_json:
        print_json(costs)
        return
    table = Table("at fault", "named", "ms", "most ms", "CPU ms", header_style="bold")
    for cost in costs:
        named = ", ".join(cell_key(cell) for cell in cost.causes) or "nobody"
        table.add_row(
            cost.scenario,
            named if cost.right else f"[bold red]{named}[/]",
            f"{cost.explain_ms:.0f}",
            f"{cost.explain_most_ms:.0f}",
            f"{cost.cpu_ms:.0f}",
        )
    people.print(table)
