"""`playhead gateway`: serve players, browsers and other tools over HTTP."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from config import load
from playhead.cli.output import tells_errors
from playhead.logs import configure


def register(app: typer.Typer) -> None:
    """Add `gateway` to the command line."""
    app.command("gateway")(run)


@tells_errors
def run(
    parts: Annotated[
        str, typer.Option(help="Parts to serve, separated by commas; all where none is named.")
    ] = "",
    host: Annotated[
        str | None, typer.Option(help="Where to listen; the setting gateway.host by default.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The port; the setting gateway.port by default.")] = None,
) -> None:
    """Serve players, browsers and other tools over HTTP; any number may stand behind one address.

    Example: [bold]playhead gateway --port 8088[/]
    """
    # Loaded here, as they take long to import: no other command should wait for them.
    import uvicorn

    from playhead.brokers import client_config
    from playhead.gateway.app import build

    settings = load(os.environ).settings
    configure(settings.log)
    names = [name.strip() for name in parts.split(",") if name.strip()]
    application = build(settings, client_config(settings), names)
    uvicorn.run(
        application,
        host=settings.gateway.host if host is None else host,
        port=settings.gateway.port if port is None else port,
        log_config=None,
        access_log=False,
    )
