"""`playhead bench scaling`: what more processes and partitions give, and what a rebalance costs."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

from config import load
from playhead.cli.bench_results import Output, called, write_json
from playhead.cli.output import AsJson, Exit, fail, people, print_json, tells_errors
from playhead.cli.steps import Steps


@tells_errors
def bench_scaling(
    events: Annotated[int, typer.Option(min=20_000, help="Backlog.")] = 1_000_000,
    processes: Annotated[str, typer.Option(help="Worker processes, with commas.")] = "1,2,3,4",
    partitions: Annotated[str, typer.Option(help="Partitions, with commas.")] = "4,8",
    packed: Annotated[int, typer.Option(min=1, help="Events a record.")] = 1,
    rate: Annotated[
        float, typer.Option(min=0, help="Events a second while workers come and go; 0 leaves that out.")
    ] = 20_000,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Measure the lane with several worker processes, and what its outputs show of workers that come and go.

    Example: [bold]playhead bench scaling --processes 1,2 --partitions 4 --events 500000[/]
    """
    from playhead.bench import scaling

    plan = scaling.Plan(
        events=events,
        processes=_numbers("--processes", processes),
        partitions=_numbers("--partitions", partitions),
        packed=packed,
        rebalance_rate_per_s=rate,
    )
    with Steps(plan.steps, quiet=as_json) as steps:
        result = scaling.run(load(os.environ).settings, plan, called(), steps.report, steps.step)
    write_json(result, output)
    if as_json:
        print_json(result)
        return
    from playhead.bench.tables import REBALANCE_HEAD, SCALE_HEAD, rebalance_cells, scale_cells

    people.print(f"{result.machine}")
    table = Table(*SCALE_HEAD, header_style="bold")
    for row in result.throughput:
        table.add_row(*scale_cells(row))
    people.print(table)
    if result.rebalances:
        moves = Table(*REBALANCE_HEAD, header_style="bold")
        for each in result.rebalances:
            moves.add_row(*rebalance_cells(each))
        people.print(moves)


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = sorted({int(each) for each in text.split(",")})
    except ValueError as error:
        raise fail(f"{option} {text!r}: expected numbers with commas, such as 1,2,4", Exit.USAGE) from error
    if numbers[0] < 1:
        raise fail(f"{option} {text!r}: expected numbers of at least 1", Exit.USAGE)
    return numbers
