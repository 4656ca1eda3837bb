"""`playhead lab`: worlds of our own making, to try the brain in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from config import load
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors

lab = typer.Typer(help="Try the brain in worlds of our own making.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `lab` to the command line."""
    app.add_typer(lab, name="lab")


@lab.command("fleets")
@tells_errors
def fleets(
    fleets: Annotated[int, typer.Option(min=1, help="How many fleets.")] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="Number of the first one.")] = 1,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes side by side; 0: one for each processor.")
    ] = 0,
    steered: Annotated[
        bool, typer.Option("--steered/--left-alone", help="Steer, or leave the players to themselves.")
    ] = True,
    picture: Annotated[Path | None, typer.Option(help="Draw the run as SVG here.")] = None,
    output: Annotated[Path | None, typer.Option("-o", help="Write every fleet here, as JSON lines.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run simulated fleets of viewers against the brain, and judge what it made of their faults.

    In each fleet something goes wrong: an ISP outage, dead hardware, congestion, corrupt content or a CDN
    that flaps. All of it is simulated and follows from the seed; the brain is the one that runs on Kafka. The
    exit code is 1 where a demand of [fleets] in the settings is not met.

    Example: [bold]playhead lab fleets --fleets 1000 --seed 1 --picture fleets.svg[/]
    """
    from playhead.lab.fleets import run_fleets
    from playhead.lab.fleets_judged import judge
    from playhead.lab.fleets_picture import draw

    settings = load(os.environ).settings.fleets
    seeds = range(seed, seed + fleets)
    bar = Progress(
        TextColumn("fleets"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=notes,
        disable=as_json,
    )
    with bar:
        task = bar.add_task("fleets", total=fleets)
        results = run_fleets(
            seeds,
            workers or os.cpu_count() or 1,
            steered=steered,
            kept=settings.drawn if picture is not None else 0,
            progress=lambda done: bar.update(task, completed=done),
        )
    judgement = judge(results, settings)
    if output is not None:
        output.write_bytes(msgspec.json.Encoder().encode_lines(results))
    if picture is not None:
        drawn = draw(results, judgement, settings.isp_outage_availability, settings.recovery_p99_s)
        picture.write_text(drawn, encoding="utf-8")
    if as_json:
        print_json({"steered": steered, "holds": judgement.holds, **msgspec.to_builtins(judgement)})
    else:
        stories = Table(
            "fault",
            "fleets",
            "availability",
            "worst",
            "failover, worst",
            "recovery p50",
            "p99",
            header_style="bold",
        )
        for story in judgement.stories:
            stories.add_row(
                story.story.value.replace("_", " "),
                f"{story.fleets:,}",
                f"{story.availability_mean:.3%}",
                f"{story.availability_least:.3%}",
                f"{story.failover_least:.2%}",
                f"{story.recovery_p50_s:g} s",
                f"{story.recovery_p99_s:g} s",
            )
        people.print(stories)
        for each in judgement.properties:
            mark = "[green]holds[/]" if each.holds else "[bold red]fails[/]"
            people.print(
                f"{mark}  {each.name}: {each.found} [dim](demanded: {each.demanded}; "
                f"seed {each.worst_seed})[/]"
            )
        if judgement.without_room:
            people.print(
                f"[dim]{judgement.without_room:,} of {judgement.fleets:,} fleets had no room elsewhere for"
                " all whom the fault reached: of these only capacity, turns and the way back are demanded[/]"
            )
    if not judgement.holds:
        raise typer.Exit(Exit.FAILED)


@lab.command("players")
@tells_errors
def players(
    fault: Annotated[str, typer.Option(help="What the CDN does: status, reset, slow or corrupt.")] = "status",
    player: Annotated[
        list[str] | None, typer.Option(help="hls, dash or shaka; may be given several times; all by default.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Screenshots, video and timeline go here.")] = Path("players"),
    as_json: AsJson = False,
) -> None:
    """Let one of three local CDNs fail under real players, and watch the loop close.

    Three CDNs, the gateway and a worker run on this machine over your Kafka, in topics of their own. Players
    are hls.js, dash.js and Shaka in a headless Chromium, beside a crowd of light viewers. The CDN's fault is
    told to nobody: Playhead learns it from the viewers.

    Example: [bold]playhead lab players --fault reset --player hls[/]
    """
    from playhead.lab.cdns import FaultKind
    from playhead.lab.players.browser import PLAYERS
    from playhead.lab.players_shown import show

    chosen = player or list(PLAYERS)
    unknown = [each for each in chosen if each not in PLAYERS]
    if unknown:
        raise fail(f"there is no player {unknown[0]!r}; there are {', '.join(PLAYERS)}", Exit.USAGE)
    if fault not in set(FaultKind):
        raise fail(f"there is no fault {fault!r}; there are {', '.join(FaultKind)}", Exit.USAGE)
    tried = show(load(os.environ).settings, FaultKind(fault), chosen, folder, notes.print)
    if as_json:
        print_json(tried)
        return
    table = Table("player", "moved after", "stalls", "back after", header_style="bold")
    for each in tried.players:
        back = "-" if each.back_s is None else f"{each.back_s:.1f} s"
        table.add_row(each.player, f"{each.moved_s:.1f} s", str(each.stalls), back)
    people.print(table)
    people.print(f"{tried.reason}; screenshots, video and timeline are in {folder}")
