"""What a run of a benchmark has no figures of: told to people, and to scripts by the exit code."""

from __future__ import annotations

from collections.abc import Mapping

import typer
from rich.markup import escape

from playhead.cli.output import Exit, notes


def tell_missing(missing: Mapping[str, str]) -> None:
    """Warn of each; call it once all else is written.

    Raises:
        typer.Exit: there are some.
    """
    for name, why in missing.items():
        notes.print(f"[yellow]warning:[/] without {escape(f'{name}: {why}')}", soft_wrap=True)
    if missing:
        raise typer.Exit(int(Exit.FAILED))
