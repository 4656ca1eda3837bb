"""`incidents.notes`: what the incidents agent is to take into account besides anomalies, by subject.

People act on an incident and time passes for it, but its state is kept with its subject: a note brings both
to the partition where that state lives.
"""

from __future__ import annotations

from topics.fields import Name, Record
from topics.operator import OperatorAction
from topics.spec import TopicSpec


class IncidentNote(Record, frozen=True, kw_only=True):
    """Look at an incident again: because of what a person did or, where nobody did, of the time it is."""

    incident: Name
    subject: Name
    action: OperatorAction | None = None


INCIDENT_NOTES = TopicSpec(
    name="incidents.notes",
    key="subject",
    value=IncidentNote,
    key_of=lambda note: note.subject,
    describes="What people did about incidents, and times at which to look at them again.",
    producers=("incidents",),
    consumers=("incidents",),
    internal=True,
)
