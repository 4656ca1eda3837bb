"""How well a cache node and a CDN are: by the node's own word, by its figures, and by what viewers see.

A node may call itself well and fail every tenth request, and a CDN whose nodes see nothing wrong may still be
the one that viewers stall on. All three are heard, and the worst counts.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from config.health import HealthSettings
from models.levers import CDN
from topics.cdn import NodeReport
from topics.fields import Cell
from topics.incidents import Incident, IncidentState


def health(report: NodeReport, settings: HealthSettings) -> float:
    """Return how well a node is, in [0, 1]: 1 within all bounds, less in proportion beyond them, 0 if down.

    >>> from config import load
    >>> report = NodeReport(time_ms=0, node="n", cdn="a", capacity_gbps=100, load=0.3, error_rate=0.02)
    >>> health(report, load({}).settings.health)
    0.5
    """
    if not report.healthy or (report.error_rate or 0.0) >= settings.sick_error_rate:
        return 0.0
    worth = 1.0
    if report.error_rate:
        worth *= min(settings.error_rate / report.error_rate, 1.0)
    if report.latency_p99_ms:
        worth *= min(settings.latency_p99_ms / report.latency_p99_ms, 1.0)
    if report.cache_hit_ratio is not None and settings.cache_hit_ratio > 0:
        worth *= min(report.cache_hit_ratio / settings.cache_hit_ratio, 1.0)
    return worth


def judged(report: NodeReport, settings: HealthSettings) -> NodeReport:
    """Return the report as down where its own figures say so.

    >>> from config import load
    >>> report = NodeReport(time_ms=0, node="n", cdn="a", capacity_gbps=100, load=0.3, error_rate=0.2)
    >>> judged(report, load({}).settings.health).healthy
    False
    """
    sick = report.healthy and health(report, settings) <= 0.0
    return msgspec.structs.replace(report, healthy=False) if sick else report


def ailing(incidents: Iterable[Incident], audience: Cell, but: str) -> dict[str, str]:
    """Return the CDNs that viewers of an audience, or some of them, ail on, each with what they see.

    Args:
        audience: who would be sent there; what ails others, such as another provider's, is no reason.
        but: the incident that is being answered.
    """
    found = {}
    for incident in incidents:
        cdn = incident.cause.get(CDN)
        if cdn is None or incident.incident == but or incident.state is IncidentState.RESOLVED:
            continue
        whom = {**incident.scope, **incident.cause}
        if all(audience.get(name, value) == value for name, value in whom.items() if name != CDN):
            found[cdn] = f"viewers ail on it: {incident.summary}"
    return found
