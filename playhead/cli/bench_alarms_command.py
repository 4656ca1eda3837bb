"""`playhead bench alarms`: how many false pages healthy series make, and how soon faults are told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from config import load
from playhead.cli.bench_results import Output, Picture, write_json, write_picture
from playhead.cli.meter import Meter
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors


@tells_errors
def bench_alarms(
    series: Annotated[int, typer.Option(min=100, help="Healthy series, of ten kinds.")] = 1_000,
    days: Annotated[float, typer.Option(min=0.1, help="How long they run.")] = 7.0,
    minutes_per_step: Annotated[int, typer.Option(min=1, help="Minutes between samples.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 1,
    recordings: Annotated[
        Path | None, typer.Option(help="Judge the CSV files of a folder instead, timestamp,value.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="... with the labelled windows by file, as JSON.")
    ] = None,
    output: Output = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Count the false pages of simulated healthy series against the budget, and time injected faults.

    Example: [bold]playhead bench alarms --series 10000 --days 30[/]
    """
    from playhead.bench import alarms
    from playhead.bench.alarms_picture import draw

    if (recordings is None) != (labels is None):
        raise fail("--recordings and --labels come together", Exit.USAGE)
    if recordings is not None and labels is not None:
        _judge_recordings(recordings, labels, as_json=as_json)
        return
    steps = alarms.steps_of(days, minutes_per_step)
    with Meter("Simulating", steps) as meter:
        result = alarms.run(
            load(os.environ).settings,
            series=series,
            days=days,
            minutes_per_step=minutes_per_step,
            seed=seed,
            progress=meter.update,
        )
    write_json(result, output)
    write_picture(result, picture, draw)
    if as_json:
        print_json(result)
        return
    table = Table("healthy series", "samples", "beyond 3 sd", "episodes", "pages", header_style="bold")
    for each in result.by_kind:
        table.add_row(
            each.kind,
            f"{each.samples:,}",
            f"{each.beyond_three_sigmas:,}",
            f"{each.episodes:,}",
            f"{each.pages:,}",
        )
    people.print(table)
    people.print(
        f"{result.pages} false pages in {result.weeks:.2f} weeks: {result.pages_per_week:.2f} a week, "
        f"95 % interval {result.low:.2f} to {result.high:.2f}; budget {result.budget_pages_per_week:g} a week"
    )
    faults = Table("fault of an hour", "sd", "recorded", "after", "paged", "after", header_style="bold")
    for row in result.faults:
        faults.add_row(
            row.kind,
            f"{row.sigmas:g}",
            f"{row.recorded:.0%}",
            _samples(row.recorded_median),
            f"{row.paged:.0%}",
            _samples(row.paged_median),
        )
    people.print(faults)


@tells_errors
def bench_detectors(
    samples: Annotated[int, typer.Option(min=100, help="Samples that each detector judges.")] = 3_000,
    as_json: AsJson = False,
) -> None:
    """Measure what a sample costs each detector, and how much it keeps of a series.

    Example: [bold]playhead bench detectors[/]
    """
    from playhead.bench import detectors

    with notes.status("Measuring") as spinner:
        costs = detectors.run(load(os.environ).settings, samples=samples, report=spinner.update)
    if as_json:
        print_json(costs)
        return
    table = Table("detector", "CPU us a sample", "bytes of state", header_style="bold")
    for cost in costs:
        table.add_row(cost.detector, f"{cost.us_per_sample:.1f}", f"{cost.state_bytes:,}")
    people.print(table)


def _judge_recordings(folder: Path, labels: Path, *, as_json: bool) -> None:
    from playhead.bench import quiet

    try:
        result = quiet.run(load(os.environ).settings, folder, labels)
    except (OSError, ValueError, KeyError) as error:
        raise fail(f"{folder} with {labels}: {error}; expected CSV files and windows by file") from error
    if as_json:
        print_json(result)
        return
    people.print(
        f"{result.files} series side by side for {result.weeks:.2f} weeks, outside the labels: "
        f"{result.episodes:,} episodes, {result.pages} pages, {result.pages_per_week:.2f} a week "
        f"(95 % interval {result.low:.2f} to {result.high:.2f}; budget {result.budget_pages_per_week:g})"
    )
    people.print(
        f"of {result.windows} labelled windows {result.windows_recorded} were recorded and "
        f"{result.windows_paged} paged"
    )


def _samples(median: float | None) -> str:
    return "-" if median is None else f"{median:g} samples"
