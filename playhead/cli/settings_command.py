"""`playhead config`: what is set, and where each value came from."""

from __future__ import annotations

import os
from typing import Any

import typer
from rich.table import Table

from config import Loaded, load
from playhead.cli.output import AsJson, people, print_json, tells_errors


def register(app: typer.Typer) -> None:
    """Add `config` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Show the settings.")
    group.command("show")(show)
    app.add_typer(group, name="config")


@tells_errors
def show(as_json: AsJson = False) -> None:
    """Show every setting with the file or variable it came from.

    Example: [bold]PLAYHEAD_QOE__WINDOW_S=30 playhead config show[/]
    """
    rows = settings_rows(load(os.environ))
    if as_json:
        for name, value, origin in rows:
            print_json({"name": name, "value": value, "origin": origin})
        return
    table = Table("setting", "value", "from", box=None, header_style="bold")
    for name, value, origin in rows:
        style = "dim" if origin == "default.toml" else "bold cyan"
        table.add_row(name, str(value), f"[{style}]{origin}[/]")
    people.print(table)


def settings_rows(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """Return name, value and origin of every setting; secrets are masked."""
    rows: list[tuple[str, Any, str]] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict) and path not in loaded.origins:
            for name, inner in value.items():
                walk(inner, f"{path}.{name}" if path else name)
            return
        shown = "****" if path.endswith("_key") and value else value
        rows.append((path, shown, loaded.origins.get(path, "")))

    walk(loaded.settings.model_dump(mode="json"), "")
    return rows
