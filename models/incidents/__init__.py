"""Incidents: many symptoms of one cause, one incident, from open to resolved, and whether it pages."""

from __future__ import annotations

from models.incidents.around import Around
from models.incidents.fold import Incidents
from models.incidents.symptoms import Subject

__all__ = ["Around", "Incidents", "Subject"]
