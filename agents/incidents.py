"""Makes one incident of many symptoms: anomalies ─▶ incidents."""

from __future__ import annotations

from agents.keyed import keep
from agents.ports import App, Publish
from config import Settings
from models.incidents import Incidents, Subject
from topics import ANOMALIES


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Follow the anomalies of each subject and tell its incident at each change that matters."""
    keep(
        app,
        settings,
        publish,
        name="incidents",
        spec=ANOMALIES,
        state=Subject,
        step=Incidents(settings.incidents).step,
    )
