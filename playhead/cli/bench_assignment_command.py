"""`playhead bench assignment`: a simulation of who gets which partition, and of hot keys."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from playhead.cli.bench_results import Output, Picture, write_json, write_picture
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors

PARTITIONS = (16, 64, 256, 1024)
EXPONENTS = (1.1, 1.2, 1.3, 1.4, 1.5)
SPLITS = (1, 16)
TRIALS = 50


@tells_errors
def bench_assignment(
    workers: Annotated[int, typer.Option(min=2, max=PARTITIONS[0], help="Workers.")] = 16,
    keys: Annotated[int, typer.Option(min=100, help="Series.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    output: Output = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Simulate what assignors move when workers come and go, and what hot keys do to partitions and workers.

    Example: [bold]playhead bench assignment --picture hot-keys.svg[/]
    """
    from playhead.bench.assignment_picture import draw
    from playhead.lab.assignment import simulate

    with notes.status("Simulating"):
        result = simulate(
            workers=workers,
            partitions=PARTITIONS,
            exponents=EXPONENTS,
            splits=SPLITS,
            keys=keys,
            trials=TRIALS,
            seed=seed,
        )
    write_json(result, output)
    write_picture(result, picture, draw)
    if as_json:
        print_json(result)
        return
    table = Table(
        "strategy",
        "partitions",
        "change",
        "had to move",
        "moved besides",
        "most",
        "least",
        header_style="bold",
    )
    for row in result.moves:
        change = f"{row.workers} workers, {row.change.removeprefix('a worker ')}"
        counts = (f"{row.needed:.1f}", f"{row.moved:.1f}", str(row.most), str(row.least))
        table.add_row(row.strategy, str(row.partitions), change, *counts)
    people.print(table)
    hot = Table(
        "Zipf", "partitions", "split", "hottest partition", "hottest worker", "usable", header_style="bold"
    )
    for each in result.hot_keys:
        hot.add_row(
            f"{each.exponent:g}",
            str(each.partitions),
            str(each.split),
            f"{each.hottest_partition:.1%}",
            f"{each.hottest_worker:.1%}",
            f"{each.usable:.0%}",
        )
    people.print(hot)
