"""`playhead up`, `down`, `status`, `doctor`: the Kafka and Redis that everything else needs."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

import typer
from rich.table import Table

from config import load
from playhead.cli.output import AsJson, Exit, notes, people, print_json, tells_errors
from playhead.engine import broker, doctor
from playhead.engine.broker import Options

STATE_STYLES = {"running": "green", "unreachable": "bold red", "stopped": "dim"}
VERDICT_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the services' commands to the command line."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command("doctor")(examine)


def options() -> Options:
    """Return where services come from, as the settings and the environment say."""
    settings = load(os.environ).settings
    found = replace(Options.from_environment(), brokers=settings.brokers, redis_url=settings.redis_url)
    return replace(found, data_folder=Path(settings.data_dir).absolute()) if settings.data_dir else found


@tells_errors
def up(as_json: AsJson = False) -> None:
    """Bring up Kafka and Redis: the ones you name, Docker's, or ones of this machine.

    Example: [bold]playhead up[/]
    """
    with notes.status("Looking for Kafka and Redis") as spinner:
        services = broker.up(options(), report=spinner.update)
    if as_json:
        print_json(asdict(services))
        return
    for service in (services.kafka, services.redis):
        if service is not None:
            how = "was up already" if service.was_running else "is up"
            people.print(f"[green]●[/] {service.name} {how} at [bold]{service.address}[/] ({service.origin})")
    for warning in services.warnings:
        notes.print(f"[yellow]warning:[/] {warning}", soft_wrap=True)


@tells_errors
def down(as_json: AsJson = False) -> None:
    """Stop what `up` started; data is kept, and services you named stay up.

    Example: [bold]playhead down[/]
    """
    with notes.status("Stopping"):
        stopped = broker.down(options())
    if as_json:
        print_json({"stopped": stopped})
        return
    people.print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


@tells_errors
def status(as_json: AsJson = False) -> None:
    """Show how Kafka and Redis are; exit code 3 where Kafka does not answer.

    Example: [bold]playhead status --json[/]
    """
    found = broker.status(options())
    if as_json:
        print_json(asdict(found))
    else:
        table = Table("service", "state", "address", "from", "pid", "log", box=None, header_style="bold")
        for service in (found.kafka, found.redis):
            state = f"[{STATE_STYLES[service.state]}]{service.state}[/]"
            pid = str(service.pid or "")
            table.add_row(service.name, state, service.address or "", service.origin, pid, service.log or "")
        people.print(table)
    if found.kafka.state != "running":
        raise typer.Exit(int(Exit.UNAVAILABLE))


@tells_errors
def examine(as_json: AsJson = False) -> None:
    """Check that this machine has what Playhead needs, and say how to mend what is missing.

    Example: [bold]playhead doctor[/]
    """
    checks = doctor.doctor(options())
    for check in checks:
        if as_json:
            print_json(asdict(check))
            continue
        people.print(f"[{VERDICT_STYLES[check.verdict]}]{check.verdict:>4}[/]  {check.name}: {check.detail}")
        if check.fix:
            people.print(f"      [bold]{check.fix}[/]")
    if any(check.verdict == "fail" for check in checks):
        raise typer.Exit(int(Exit.FAILED))
