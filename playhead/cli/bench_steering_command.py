"""`playhead bench steering`: how fast players are answered, and how soon an alert changes their answers."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table

from config import load
from playhead.cli.bench_results import Output, write_json
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors


@tells_errors
def bench_steering(
    cohorts: Annotated[int, typer.Option(min=10, help="Audiences that are told something.")] = 100_000,
    sites: Annotated[int, typer.Option(min=1, help="Cache nodes that report.")] = 1_000,
    rate: Annotated[float, typer.Option(min=1, help="Polls a second.")] = 1_000,
    seconds: Annotated[float, typer.Option(min=1, help="... for so long.")] = 20,
    commands: Annotated[
        int, typer.Option(min=1, help="Commands whose effect is awaited, and as many alerts.")
    ] = 100,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Measure steering answers over HTTP under load, and the time from an alert to a changed answer.

    Needs a Kafka: `playhead up`.

    Example: [bold]playhead bench steering --cohorts 100000 --rate 1000[/]
    """
    from playhead.bench import steering

    with notes.status("Measuring") as spinner:
        result = steering.run(
            load(os.environ).settings,
            cohorts=cohorts,
            sites=sites,
            rate=rate,
            seconds=seconds,
            commands=commands,
            report=spinner.update,
        )
    write_json(result, output)
    if as_json:
        print_json(result)
        return
    table = Table("measured", "number", "p50 ms", "p99 ms", "most ms", header_style="bold")
    answers, obeyed, alerted = result.answers, result.command_to_answer, result.alert_to_answer
    for name, number, each in (
        (f"answers at {answers.per_s:,.0f}/s", answers.polls, answers),
        ("command to changed answer", obeyed.records, obeyed),
        ("alert to changed answer", alerted.records, alerted),
    ):
        table.add_row(name, f"{number:,}", f"{each.p50_ms:.2f}", f"{each.p99_ms:.2f}", f"{each.most_ms:.2f}")
    people.print(table)
    people.print(
        f"{result.cohorts:,} cohorts, read {result.load_s:.1f} s after the start; "
        f"{answers.wrong} answers wrong, {answers.failed} polls failed"
    )
