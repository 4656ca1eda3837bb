"""Which incident another one is a part of: what a wider cause explains needs no page of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

from topics.fields import Cell
from topics.incidents import Incident, IncidentState

MAX_DIMENSIONS = 10
"""Of a cell whose wider cells are looked for: twice as many for each."""

Items = frozenset[tuple[str, str]]


def about(incident: Incident) -> Cell:
    """Return what an incident is about: its cause or, where none is known, whom it hits.

    A cause is compared without the scope it was found in: a CDN that fails for viewers of many titles is one
    cause, though each title's viewers are looked at by themselves.
    """
    return incident.cause or {**incident.scope, **incident.cell}


class Families:
    """Knows, of incidents that are not over, which are parts of which.

    An incident is a part of the widest one that is about all it is about; of incidents about the same, all
    are parts of the one that opened first. So a parent is part of none itself, and all who know the same
    incidents choose the same. What may not page is no parent: its parts would page no more either.
    """

    def __init__(self, incidents: Iterable[Incident] = ()) -> None:
        self._first: dict[Items, Incident] = {}
        for incident in incidents:
            cell = frozenset(about(incident).items())
            known = self._first.get(cell)
            may_lead = incident.state is not IncidentState.RESOLVED and incident.within_budget
            if cell and may_lead and (known is None or _order(incident) < _order(known)):
                self._first[cell] = incident

    def parent_of(self, incident: Incident) -> Incident | None:
        """Return the incident that `incident` is a part of."""
        cell = about(incident)
        for wider in _wider(cell):
            found = self._first.get(wider)
            if found is not None:
                first = len(wider) < len(cell) or _order(found) < _order(incident)
                return found if first else None
        return None


def _wider(cell: Cell) -> Iterator[Items]:
    """Yield all that `cell` lies in, the widest first, itself last."""
    items = sorted(cell.items())
    if len(items) > MAX_DIMENSIONS:
        yield frozenset(items)
        return
    for size in range(1, len(items) + 1):
        yield from map(frozenset, combinations(items, size))


def _order(incident: Incident) -> tuple[int, str]:
    return incident.opened_ms, incident.incident
