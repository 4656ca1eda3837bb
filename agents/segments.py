"""Keeps the ledger of each live stream's segments: ingest.segments ─▶ anomalies."""

from __future__ import annotations

from agents.keyed import keep
from agents.ports import App, Publish
from config import Settings
from models.segment_ledger import Ledger, SegmentLedger
from topics import SEGMENTS


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Follow the pipelines of each live stream, and tell which of them fails and who can take over."""
    keep(
        app,
        settings,
        publish,
        name="segments",
        spec=SEGMENTS,
        state=Ledger,
        step=SegmentLedger(settings.segments).step,
    )
