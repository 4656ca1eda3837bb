"""Which silence holds for an incident: matched by what it is about, bounded by time and by impact."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from topics.fields import Cell
from topics.incidents import Incident
from topics.silences import Silence

INCIDENT, SUBJECT, KIND, METRIC = "incident", "subject", "kind", "metric"


def matches(match: Cell, incident: Incident) -> bool:
    """Whether all that `match` says is true of `incident`. What says nothing matches nothing.

    A metric must be that of every series that fires: an incident that fires for more than was expected wakes.

    Example:
        >>> from topics.anomalies import AnomalyKind, Severity
        >>> from topics.incidents import IncidentState
        >>> incident = Incident(
        ...     time_ms=1, incident="i", subject="cdn=7", state=IncidentState.OPEN, severity=Severity.HIGH,
        ...     kind=AnomalyKind.STREAMING_QUALITY_DROP, summary="", opened_ms=1, cause={"cdn": "7"},
        ...     scope={"title": "final"}, metrics=["stalled_ratio"])
        >>> [matches(each, incident) for each in ({"cdn": "7", "metric": "stalled_*"}, {"isp": "3"}, {})]
        [True, False, False]
    """
    known = {
        **incident.scope,
        **incident.cell,
        **incident.cause,
        INCIDENT: incident.incident,
        SUBJECT: incident.subject,
        KIND: incident.kind.value,
    }
    wanted = [(name, text) for name, text in match.items() if name != METRIC]
    metric = match.get(METRIC)
    return (
        bool(match)
        and all(name in known and fnmatchcase(known[name], text) for name, text in wanted)
        and (metric is None or _all_match(metric, incident.metrics))
    )


def _all_match(metric: str, firing: list[str]) -> bool:
    return bool(firing) and all(fnmatchcase(each, metric) for each in firing)


def is_current(silence: Silence, now_ms: int) -> bool:
    """Whether it was neither taken back nor has lapsed."""
    return silence.enabled and now_ms < silence.until_ms


def is_outgrown(silence: Silence, incident: Incident) -> bool:
    """Whether the incident has hit more viewers than it is silenced for."""
    bound = silence.wake_over_viewers
    return bound is not None and incident.impact_viewers > bound


def current(silences: Iterable[Silence], incident: Incident, now_ms: int) -> list[Silence]:
    """Return the silences about `incident` that have not ended, outgrown ones included."""
    return [each for each in silences if is_current(each, now_ms) and matches(each.match, incident)]


def holding(silences: Iterable[Silence], incident: Incident, now_ms: int) -> Silence | None:
    """Return the silence that holds for `incident` now, of several the one that lasts longest."""
    found = [each for each in current(silences, incident, now_ms) if not is_outgrown(each, incident)]
    return max(found, key=lambda each: (each.until_ms, each.silence), default=None)
