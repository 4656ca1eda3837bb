"""`playhead latency-budget`: how long it takes from a viewer's stall to that viewer's move."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from config import load
from models.latency_budget import Budget, budget
from playhead.brokers import NoBrokerError, client_config
from playhead.cli.output import AsJson, Exit, notes, people, print_json, tells_errors
from playhead.latency_measured import Measured, measured


def register(app: typer.Typer) -> None:
    """Add `latency-budget` to the command line."""
    app.command("latency-budget")(show)


@tells_errors
def show(
    live: Annotated[bool, typer.Option("--live", help="Of viewers of live streams.")] = False,
    measure: Annotated[
        bool, typer.Option("--measured", help="Tell beside it what was measured of the incidents on Kafka.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Itemise the time from a viewer's stall to that viewer's move, for the settings as they are.

    The stages are estimates. The exit code is 1 where `latency.target_p95_s` cannot be met; then
    the settings to change are named.

    Example: [bold]PLAYHEAD_QOE__WINDOW_S=10 playhead latency-budget[/]
    """
    settings = load(os.environ).settings
    found = budget(settings, live=live)
    was: list[Measured] = []
    if measure:
        try:
            was = measured(client_config(settings), settings.prefix)
        except NoBrokerError as error:
            notes.print(f"[yellow]nothing measured: {escape(str(error))}[/]")
    if as_json:
        print_json({"budget": found, "meets_target": found.meets_target, "measured": was})
    else:
        _show(found, was)
    if not found.meets_target:
        raise typer.Exit(Exit.FAILED)


def _show(found: Budget, was: list[Measured]) -> None:
    table = Table("stage", "what", "p50", "p95", "p99", "set by", header_style="bold", box=None)
    for stage in found.stages:
        table.add_row(
            stage.name,
            stage.what,
            *(f"{value:.2f} s" for value in (stage.p50_s, stage.p95_s, stage.p99_s)),
            stage.setting,
        )
    table.add_section()
    table.add_row(
        "[bold]whole[/]",
        f"viewers {found.audience}",
        *(f"[bold]{value:.1f} s[/]" for value in (found.p50_s, found.p95_s, found.p99_s)),
        f"target p95 {found.target_p95_s:g} s",
    )
    people.print(table)
    for each in was:
        people.print(
            f"measured {each.name}: p50 {each.p50_s:.2f} s, p99 {each.p99_s:.2f} s, of {each.count:,}"
        )
    if found.meets_target:
        people.print("[green]the target can be met[/]")
        return
    people.print(f"[bold yellow]the target cannot be met[/]: p95 is {found.p95_s:.1f} s")
    for advice in found.advice:
        alone = "enough by itself" if advice.enough else "not enough by itself"
        people.print(f"  set {advice.setting} from {advice.now:g} to {advice.to:g} ({alone})")
