"""`playhead config`: what is set, and where each value came from."""

from __future__ import annotations

import os
import re
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from config import Loaded, load
from config.settings import DEFAULT_FILES
from playhead.cli.output import AsJson, people, print_json, tells_errors

MASK = "****"
SECRET = re.compile(r"(_key|_keys|\.keys)(\.|$)")
"""In the name of a setting that nobody is to be shown."""
PASSWORD = re.compile(r"(://[^:/@]*:)[^/]*(@)")


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
        style = "dim" if origin in DEFAULT_FILES else "bold cyan"
        table.add_row(name, Text(str(value)), Text(origin, style=style))
    people.print(table)


def masked(name: str, value: Any) -> Any:
    """Return what may be shown of a setting: keys are hidden, and the passwords in addresses.

    >>> masked("redis_url", "redis://ada:secret@cache:6379/0")
    'redis://ada:****@cache:6379/0'
    >>> masked("gateway.keys", ["a", "b"]), masked("gateway.keys", [])
    ('****', [])
    >>> masked("steering.other_keys.last", "s")
    '****'
    """
    if SECRET.search(name) and value:
        return MASK
    if isinstance(value, str):
        return PASSWORD.sub(rf"\1{MASK}\2", value)
    return value


def settings_rows(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """Return name, value and origin of every setting; secrets are masked."""
    rows: list[tuple[str, Any, str]] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict) and path not in loaded.origins:
            for name, inner in value.items():
                walk(inner, f"{path}.{name}" if path else name)
            return
        rows.append((path, masked(path, value), loaded.origins.get(path, "")))

    walk(loaded.settings.model_dump(mode="json"), "")
    return rows
