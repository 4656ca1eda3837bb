"""`playhead bench`: how fast, how soon, how often wrong, beside what."""

from __future__ import annotations

import typer

from playhead.cli import bench_learned_command, bench_memory_command, bench_recovery_command
from playhead.cli.bench_alarms_command import bench_alarms, bench_detectors
from playhead.cli.bench_assignment_command import bench_assignment
from playhead.cli.bench_cmcd_command import bench_cmcd
from playhead.cli.bench_engine_command import bench_engine
from playhead.cli.bench_localise_command import bench_localise
from playhead.cli.bench_report_command import bench_report
from playhead.cli.bench_scaling_command import bench_scaling
from playhead.cli.bench_steering_command import bench_steering


def register(app: typer.Typer) -> None:
    """Add `bench` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Measure speed, side by side with the alternatives.")
    group.command("recovery")(bench_recovery_command.bench_recovery)
    group.command("memory")(bench_memory_command.bench_memory)
    group.command("learned")(bench_learned_command.bench_learned)
    group.command("engine")(bench_engine)
    group.command("scaling")(bench_scaling)
    group.command("assignment")(bench_assignment)
    group.command("localise")(bench_localise)
    group.command("alarms")(bench_alarms)
    group.command("steering")(bench_steering)
    group.command("cmcd")(bench_cmcd)
    group.command("detectors")(bench_detectors)
    group.command("report")(bench_report)
    app.add_typer(group, name="bench")
