"""Incidents as alerts of a Prometheus Alertmanager, by its API v2: ``POST /api/v2/alerts``.

An incident that has paged is an alert until it is over. An Alertmanager takes an alert for over at its
`endsAt`, so it is told again and again with a later one; where we fall silent, the alert lapses. It knows an
alert by all its labels: where they change, as when the cause is refined, the alert of before is ended by the
message that begins the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from config.notify import NotifySettings, ReceiverSettings
from models.notices import Notice, concerns, notice_of
from playhead.notify.channels import Message, Told, due, encoded
from playhead.notify.fields import fields_of, iso
from topics.deliveries import DeliveryStatus, NoticeDelivery, NoticeKind, delivery_key
from topics.incidents import Incident, IncidentState

PATH = "/api/v2/alerts"
OURS = "playhead_incident"
"""Label by which an alert of ours is known when it comes back."""

_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")


class AlertmanagerChannel:
    """Tells all that is due in one message.

    Args:
        name: the receiver's.
        receiver: its settings; `url` is the Alertmanager's address.
        settings: how often an alert is renewed, and when it lapses.
    """

    def __init__(self, name: str, receiver: ReceiverSettings, settings: NotifySettings) -> None:
        base = receiver.url.rstrip("/")
        self.url = base if base.endswith(PATH) else base + PATH
        self._name = name
        self._receiver = receiver
        self._settings = settings
        self._renewed_ms: dict[str, int] = {}

    def next(self, incidents: Iterable[Incident], told: Told, now_ms: int) -> Message | None:
        """Return the alerts that begin, end, change or are to be renewed."""
        alerts: list[dict[str, Any]] = []
        notices: list[tuple[Notice, dict[str, str]]] = []
        for incident in incidents:
            last = told(delivery_key(self._name, incident.incident))
            new = due(incident, self._name, self._receiver, told, now_ms, self._settings.max_age_s)
            if new is None and not self._lasts(incident, last, now_ms):
                continue
            notice = new or notice_of(incident, self._name) or _still(incident, last)
            if notice is None:
                continue
            labels = labels_of(incident)
            if last is not None and last.labels and last.labels != labels:
                alerts.append(self._alert(notice, last.labels, now_ms, ends_ms=now_ms))
            alerts.append(self._alert(notice, labels, now_ms))
            notices.append((notice, labels))
        headers = {"Content-Type": "application/json"}
        return Message(encoded(alerts), headers, notices) if alerts else None

    def sent(self, message: Message, now_ms: int) -> None:
        """Remember when each alert is to be renewed."""
        for notice, _ in message.notices:
            if notice.kind is NoticeKind.RESOLVED:
                self._renewed_ms.pop(notice.incident.incident, None)
            else:
                self._renewed_ms[notice.incident.incident] = now_ms

    def _lasts(self, incident: Incident, last: NoticeDelivery | None, now_ms: int) -> bool:
        """Whether an alert that is there is to be renewed, or to be told under other labels."""
        if last is None or last.kind is NoticeKind.RESOLVED or incident.state is IncidentState.RESOLVED:
            return False
        if not concerns(incident, self._receiver) or last.status is DeliveryStatus.REFUSED:
            return False
        renewed_ms = self._renewed_ms.get(incident.incident, 0)
        return now_ms - renewed_ms >= 1_000 * self._settings.renew_s or last.labels != labels_of(incident)

    def _alert(
        self, notice: Notice, labels: dict[str, str], now_ms: int, ends_ms: int | None = None
    ) -> dict[str, Any]:
        incident = notice.incident
        if ends_ms is None and notice.kind is NoticeKind.RESOLVED:
            ends_ms = incident.resolved_ms or now_ms
        if ends_ms is None:
            ends_ms = now_ms + int(1_000 * self._settings.lapse_s)
        fields = fields_of(notice, self._receiver, self._settings)
        annotations = {
            name: fields[name] for name in ("summary", "contrast", "impact", "owner", "mitigations")
        }
        annotations |= {"runbook_url": fields["runbook_url"], "command": fields["show_command"]}
        alert: dict[str, Any] = {
            "labels": labels,
            "annotations": {name: str(text) for name, text in annotations.items() if text},
            "startsAt": iso(incident.opened_ms),
            "endsAt": iso(max(ends_ms, incident.opened_ms + 1)),
        }
        return alert | ({"generatorURL": fields["incident_url"]} if fields["incident_url"] else {})


def labels_of(incident: Incident) -> dict[str, str]:
    """Return what an Alertmanager is to know the alert by: the cause, and what it may be routed by."""
    cell = incident.cause or {**incident.scope, **incident.cell}
    return {
        **{_NO_LABEL.sub("_", name): value for name, value in cell.items()},
        "alertname": incident.kind.value,
        "severity": incident.severity.name.lower(),
        "subject": incident.subject,
        OURS: incident.incident,
    }


def _still(incident: Incident, last: NoticeDelivery | None) -> Notice | None:
    """Return the notice told last of an incident that pages no more but is not over."""
    return None if last is None else Notice(last.notice, last.kind, incident)
