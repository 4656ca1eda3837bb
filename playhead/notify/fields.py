"""What templates may say of a notice: each name that may stand in braces, and its value."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from config.notify import NotifySettings, ReceiverSettings
from models import words
from models.notices import Notice
from topics.anomalies import Severity
from topics.deliveries import NoticeKind
from topics.fields import cell_key

ACTIONS = {
    NoticeKind.PAGE: "trigger",
    NoticeKind.ACKNOWLEDGED: "acknowledge",
    NoticeKind.RESOLVED: "resolve",
}
"""``event_action`` of PagerDuty's Events API v2."""

PAGERDUTY_SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "info",
}

COLOURS = {
    Severity.CRITICAL: "#b3001b",
    Severity.HIGH: "#e8590c",
    Severity.MEDIUM: "#f2b705",
    Severity.LOW: "#3b82f6",
}
DONE_COLOUR = "#2f9e44"


def fields_of(notice: Notice, receiver: ReceiverSettings, settings: NotifySettings) -> dict[str, Any]:
    """Return all that a template may name."""
    incident = notice.incident
    over = notice.kind is NoticeKind.RESOLVED
    acknowledgement = incident.acknowledgement
    return {
        "id": notice.id,
        "event": notice.kind.value,
        "action": ACTIONS[notice.kind],
        "key": receiver.key,
        "incident": incident.incident,
        "subject": incident.subject,
        "kind": incident.kind.value,
        "state": incident.state.value,
        "severity": incident.severity.name.lower(),
        "pagerduty_severity": PAGERDUTY_SEVERITIES[incident.severity],
        "colour": DONE_COLOUR if over else COLOURS[incident.severity],
        "headline": _headline(notice),
        "summary": incident.summary,
        "cause": cell_key(incident.cause) if incident.cause else "unknown or external",
        "cell": {**incident.scope, **incident.cause},
        "contrast": incident.contrast,
        "viewers": incident.impact_viewers,
        "impact": words.viewers(incident.impact_viewers) if incident.impact_viewers >= 1 else "",
        "owner": incident.owner,
        "reason": acknowledgement.reason if acknowledgement is not None else "",
        "mitigations": words.listed(incident.mitigations) if incident.mitigations else "",
        "pages": incident.pages,
        "time": iso(incident.time_ms),
        "opened": iso(incident.opened_ms),
        "resolved": "" if incident.resolved_ms is None else iso(incident.resolved_ms),
        "runbook_url": settings.runbook_url.format(kind=incident.kind.value, subject=incident.subject),
        "incident_url": settings.incident_url.format(incident=incident.incident),
        "show_command": f"playhead incidents show {incident.incident}",
        "ack_command": "" if over else f"playhead incidents ack {incident.incident}",
    }


def _headline(notice: Notice) -> str:
    incident = notice.incident
    if notice.kind is NoticeKind.RESOLVED:
        return f"resolved: {incident.subject}"
    if notice.kind is NoticeKind.ACKNOWLEDGED:
        return f"{incident.owner} has it: {incident.subject}"
    return f"{incident.severity.name}: {incident.subject}{' again' if incident.pages > 1 else ''}"


def iso(time_ms: int) -> str:
    """Return a moment as RFC 3339 has it.

    >>> iso(1590958558123)
    '2020-05-31T20:55:58.123Z'
    """
    told = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return f"{told:%Y-%m-%dT%H:%M:%S}.{time_ms % 1_000:03}Z"
