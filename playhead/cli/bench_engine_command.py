"""`playhead bench engine`: the lane beside its alternatives, in one run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from config import load
from playhead.cli.bench_results import Output, Picture, called, write_json, write_picture
from playhead.cli.missing import tell_missing
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors
from playhead.cli.steps import Steps

if TYPE_CHECKING:
    from playhead.bench.results import EngineResult

AXIS_NAMES = ("series", "steady", "partitions", "record", "packing")


@tells_errors
def bench_engine(
    events: Annotated[int, typer.Option(min=20_000, help="Backlog of the fastest contestants.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the base point; medians are told.")] = 1,
    axis: Annotated[
        list[str] | None,
        typer.Option(help=f"Vary this too: {', '.join(AXIS_NAMES)}. May be given more than once."),
    ] = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="All axes, all rates, two rounds of the base point: half an hour."),
    ] = False,
    contestants: Annotated[
        str, typer.Option(help="Who takes part, with commas; NAME-2 is two processes. Empty: all.")
    ] = "",
    rate: Annotated[
        list[float] | None, typer.Option(min=100, help="Events a second while latency is measured.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="How long, at each rate; 0 for no latency.")] = 10,
    output: Output = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Measure the telemetry lane beside plain Faust, Quix Streams, Kafka Streams and the client's ceiling.

    Example: [bold]playhead bench engine --contestants lane,lane-2,faust,ceiling --seconds 0[/]
    """
    # Loaded here, as it brings scipy: a second that no other command should wait for.
    from playhead.bench import engine
    from playhead.bench.engine_picture import draw

    axes = AXIS_NAMES if full else tuple(axis or ())
    for name in axes:
        if name not in AXIS_NAMES:
            raise fail(f"--axis {name}: there are {', '.join(AXIS_NAMES)}", Exit.USAGE)
    plan = engine.Plan(
        events=events,
        rounds=max(rounds, 2) if full else rounds,
        axes=axes,
        axis_rounds=1,
        contestants=[name for name in contestants.split(",") if name] or engine.CONTESTANTS,
        rates_per_s=engine.RATES_PER_S if full else tuple(rate or engine.RATES_PER_S[:1]),
        latency_seconds=seconds,
    )
    with Steps(plan.steps, quiet=as_json) as steps:
        result = engine.run(load(os.environ).settings, plan, called(), steps.report, steps.step)
    write_json(result, output)
    write_picture(result, picture, draw)
    if as_json:
        print_json(result)
    else:
        _show(result)
    if result.machine.busy:
        notes.print(
            f"[yellow]warning:[/] the machine was busy (load {result.machine.load_at_start:.1f} on "
            f"{result.machine.cores} cores): only ratios within this run mean something",
            soft_wrap=True,
        )
    tell_missing(result.missing)
    if any(row.agrees is False for row in result.throughput):
        raise typer.Exit(int(Exit.FAILED))


def _show(result: EngineResult) -> None:
    from playhead.bench.tables import LATENCY_HEAD, THROUGHPUT_HEAD, latency_cells, throughput_cells

    people.print(f"{result.machine}")
    for at in dict.fromkeys(row.at for row in result.throughput):
        table = Table(*THROUGHPUT_HEAD[1:], title=at, title_justify="left", header_style="bold")
        for row in result.throughput:
            if row.at == at:
                table.add_row(*throughput_cells(row)[1:])
        people.print(table)
    if result.latency:
        live = Table(*LATENCY_HEAD, header_style="bold")
        for each in result.latency:
            live.add_row(*latency_cells(each))
        people.print(live)
