"""What is to be told of an incident outside Playhead: a page, that somebody has it, that it is over."""

from __future__ import annotations

from dataclasses import dataclass

from config.notify import ReceiverSettings
from models.incidents.silences import matches
from topics.anomalies import Severity
from topics.deliveries import NoticeKind
from topics.fields import derive_id
from topics.incidents import Incident, IncidentState


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell one receiver."""

    id: str
    """Derived from what is told: told twice, it is the same."""
    kind: NoticeKind
    incident: Incident


def notice_of(incident: Incident, receiver: str) -> Notice | None:
    """Return what `receiver` is to have been told of `incident` as it stands, or None where that is nothing.

    Nothing is told of what has never paged, nor when a page is no longer needed for another reason than that
    somebody has the incident: a silence is no news to whoever is on call.
    """
    if not incident.pages:
        return None
    if incident.state is IncidentState.RESOLVED:
        kind, of = NoticeKind.RESOLVED, ""
    elif incident.paging:
        kind, of = NoticeKind.PAGE, incident.severity.name
    elif incident.acknowledgement is not None:
        kind, of = NoticeKind.ACKNOWLEDGED, incident.acknowledgement.by
    else:
        return None
    notice = derive_id("notice", receiver, incident.incident, incident.pages, kind, of)
    return Notice(notice, kind, incident)


def concerns(incident: Incident, receiver: ReceiverSettings) -> bool:
    """Whether `receiver` is to be told of `incident` at all."""
    severe = incident.severity >= Severity[receiver.min_severity.upper()]
    return severe and (not receiver.match or matches(receiver.match, incident))
