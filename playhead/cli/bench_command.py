"""`playhead bench`: how fast, beside what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from config import load
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors


def register(app: typer.Typer) -> None:
    """Add `bench` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Measure speed, side by side with the alternative.")
    group.command("engine")(bench_engine)
    app.add_typer(group, name="bench")


@tells_errors
def bench_engine(
    events: Annotated[int, typer.Option(min=200_000, help="Backlog of single-event records.")] = 2_000_000,
    plain_events: Annotated[
        int, typer.Option(min=1_000, help="How much of it the plain Faust agent reads.")
    ] = 40_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are told.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Events a second while latency is measured.")] = 2_000,
    seconds: Annotated[float, typer.Option(min=10, help="... for so long.")] = 20,
    output: Annotated[Path | None, typer.Option("-o", help="Write the JSON here too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the telemetry lane beside a plain `async for` Faust agent doing the same job.

    Example: [bold]playhead bench engine --rounds 1[/]
    """
    # Loaded here, as it brings Faust: a second that no other command should wait for.
    from playhead.bench import engine

    settings = load(os.environ).settings
    with notes.status("Measuring") as spinner:
        result = engine.run(
            settings,
            events=events,
            plain_events=plain_events,
            rounds=rounds,
            rate=rate,
            seconds=seconds,
            report=spinner.update,
        )
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    if as_json:
        print_json(result)
        return
    table = Table("contestant", "events/s", "ratio", "CPU us/event", "RSS MB", header_style="bold")
    for each in result.throughput:
        table.add_row(
            each.contestant,
            f"{each.events_per_s:,.0f}",
            f"{each.ratio:.1f}",
            f"{each.cpu_us_per_event:.2f}",
            f"{each.rss_mb:.0f}",
        )
    people.print(table)
    live = Table("contestant", "events/s", "alerts", "p50 ms", "p99 ms", header_style="bold")
    for row in result.latency:
        live.add_row(
            row.contestant,
            f"{row.rate_per_s:,.0f}",
            str(row.alerts),
            f"{row.p50_ms:.0f}",
            f"{row.p99_ms:.0f}",
        )
    people.print(live)
