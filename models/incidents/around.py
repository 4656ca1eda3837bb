"""What is known around an incident when it is told how it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.incidents.family import Families
from topics.incidents import Incident
from topics.silences import Silence


def _nothing(incident: Incident) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Around:
    """What people wish, what else is going on, and what is in force."""

    silences: Sequence[Silence] = ()
    """All of them, also those that have ended: why one ended is told."""
    families: Families = field(default_factory=Families)
    """Of all incidents that are not over; the incident itself may be among them."""
    mitigations_of: Callable[[Incident], list[str]] = _nothing
    """Returns what is in force because of an incident, in words."""
