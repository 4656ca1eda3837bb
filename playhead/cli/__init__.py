"""The `playhead` command: one module per command group, each with a `register(app)`."""

from __future__ import annotations

import faulthandler

import typer

from playhead.cli import (
    bench_command,
    budget_command,
    dead_letters_command,
    demo_command,
    gateway_command,
    incidents_command,
    lab_command,
    latency_command,
    localise_command,
    notify_command,
    place_command,
    plan_command,
    produce_command,
    record_command,
    recording_command,
    replay_command,
    score_command,
    services_command,
    settings_command,
    steer_command,
    subscribe_command,
    topics_command,
    tune_command,
    worker_command,
)

app = typer.Typer(
    name="playhead",
    help="The open control room for video streaming: it keeps every viewer's playhead moving.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
)

for module in (
    dead_letters_command,
    services_command,
    worker_command,
    gateway_command,
    settings_command,
    topics_command,
    produce_command,
    subscribe_command,
    incidents_command,
    notify_command,
    record_command,
    replay_command,
    recording_command,
    score_command,
    localise_command,
    steer_command,
    budget_command,
    tune_command,
    place_command,
    latency_command,
    bench_command,
    plan_command,
    lab_command,
    demo_command,
):
    module.register(app)


def main() -> None:
    """Run the command line."""
    # Where native code crashes, the log should end with who called it.
    faulthandler.enable()
    app()
