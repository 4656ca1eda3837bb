"""`playhead plan`: what a rate of events needs, with the arithmetic."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from config import load
from config.capacity import CapacitySettings
from playhead.cli.output import AsJson, Exit, fail, people, print_json, tells_errors


def register(app: typer.Typer) -> None:
    """Add `plan` to the command line."""
    app.command("plan")(plan)


@tells_errors
def plan(
    events_per_s: Annotated[float, typer.Option(min=1, help="Packed events a second.")] = 38_000_000,
    series: Annotated[
        float | None, typer.Option(min=1, help="How many series; default: by the rate.")
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(help="JSON of `playhead bench engine`: take the costs of packed events from it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reckon up what a rate of events needs: workers, partitions, brokers, network, disk, state.

    Example: [bold]playhead plan --events-per-s 38000000[/]
    """
    from playhead.lab import capacity

    figures = load(os.environ).settings.capacity
    if measured is not None:
        figures = _measured(figures, measured)
    found = capacity.plan(events_per_s, figures, series)
    if as_json:
        print_json(found)
        return
    table = Table("what", "needed", "because", header_style="bold")
    for need in found.needs:
        amount = (
            f"{need.amount:,.0f}"
            if need.amount >= 100 or need.amount == int(need.amount)
            else f"{need.amount:.3g}"
        )
        table.add_row(need.what, f"{amount} {need.unit}", need.arithmetic)
    people.print(table)
    people.print(
        f"[bold]{found.events_per_s:,.0f} events/s: {found.workers:,} worker processes, {found.partitions:,} "
        f"partitions, {found.brokers:,} brokers[/] (bound by {found.bound_by})"
    )


def _measured(figures: CapacitySettings, path: Path) -> CapacitySettings:
    """Return the figures with the costs that the lane and Kafka had with packed records in a run."""
    from playhead.bench.results import EngineResult

    try:
        result = msgspec.json.decode(path.read_bytes(), type=EngineResult)
    except (OSError, msgspec.MsgspecError) as error:
        raise fail(
            f"--measured {path}: {error}; expected JSON of `playhead bench engine -o`", Exit.USAGE
        ) from error
    rows = [row for row in result.throughput if row.contestant == "lane" and row.events_per_record > 1]
    if not rows:
        raise fail(
            f"--measured {path}: has no lane with packed records: run it with --axis packing", Exit.USAGE
        )
    costs: dict[str, Any] = {"worker_us_per_event": rows[0].cpu_us_per_event}
    if rows[0].broker_cpu_us_per_event:
        costs["broker_us_per_event"] = rows[0].broker_cpu_us_per_event
    return figures.model_copy(update=costs)
