"""`playhead bench cmcd`: how many reports of players one core takes, beside a plain endpoint."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

from config import load
from playhead.cli.bench_results import Output, write_json
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors


@tells_errors
def bench_cmcd(
    seconds: Annotated[float, typer.Option(min=1, help="How long each turn takes.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are told.")] = 3,
    connections: Annotated[int, typer.Option(min=1, help="Players with a request on its way.")] = 32,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Reports to a request; give it several times for several.")
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Measure how many reports one core of the gateway takes, beside a plain FastAPI endpoint.

    Example: [bold]playhead bench cmcd --batch 1 --batch 20 --rounds 1[/]
    """
    from playhead.bench import cmcd

    with notes.status("Measuring") as spinner:
        result = cmcd.run(
            load(os.environ).settings,
            seconds=seconds,
            rounds=rounds,
            connections=connections,
            batches=batch or [1, 20],
            report=spinner.update,
        )
    write_json(result, output)
    if as_json:
        print_json(result)
        return
    table = Table(
        "contestant", "to a request", "records/s", "... of one core", "ratio", "p50 ms", "p99 ms",
        header_style="bold",
    )  # fmt: skip
    for each in result.contestants:
        table.add_row(
            each.contestant,
            str(each.records_per_request),
            f"{each.records_per_s:,.0f}",
            f"{each.records_per_cpu_s:,.0f}",
            f"{each.ratio:.1f}",
            f"{each.p50_ms:.1f}",
            f"{each.p99_ms:.1f}",
        )
    people.print(table)
