"""The live-ingest actor keeps `ingest.selection` true: commands ─▶ ingest.selection, outcomes."""

from __future__ import annotations

from agents.keyed import keep
from agents.ports import App, Publish
from config import Settings
from models.selection import ACTOR, Selected, Selection
from topics import COMMANDS


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Obey the commands to each live stream."""
    keep(
        app,
        settings,
        publish,
        name=ACTOR,
        spec=COMMANDS,
        state=Selected,
        step=Selection(settings.actors).step,
    )
