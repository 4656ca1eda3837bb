"""The life of the incidents of a subject: anomalies, what people do, and the time, folded in one at a time.

The incident is open while any register says that its series is anomalous, unless a person has closed it.
Severity, impact and the record that leads the summary are the worst the incident has seen.
"""

from __future__ import annotations

import msgspec

from config.sections import IncidentSettings
from models import words
from models.incidents.around import Around
from models.incidents.people import acted
from models.incidents.standing import stand
from models.incidents.symptoms import Lead, Subject, forgetful, taken
from models.incidents.telling import changes, summary
from topics import INCIDENTS
from topics.anomalies import Anomaly, Phase
from topics.emission import Emission
from topics.fields import derive_id
from topics.incident_notes import IncidentNote
from topics.incidents import Incident, IncidentState, TimelineEntry

ALONE = Around()


class Incidents:
    """Folds the anomalies of each subject, and the notes about it, into its incidents.

    Args:
        settings: when trouble that comes back is the same incident, when it pages, what is remembered.

    Example:
        >>> from config import load
        >>> from topics.anomalies import AnomalyKind, Severity
        >>> start = Anomaly(
        ...     time_ms=60_000, id="a1", subject="cdn=7", series="cdn=7/stalled_ratio", phase=Phase.START,
        ...     kind=AnomalyKind.STREAMING_QUALITY_DROP, severity=Severity.HIGH, score=0.9, confidence=0.99,
        ...     metric="stalled_ratio", value=0.041, baseline=0.012, cell={"cdn": "7"}, impact_viewers=893)
        >>> subject, told = Incidents(load({}).settings.incidents).step(None, start)
        >>> told[0].record.summary
        'cdn=7: 4.1 % of viewers stall, expected 1.2 % — about 890 viewers'
        >>> Incidents(load({}).settings.incidents).step(subject, start)[1]
        []
    """

    def __init__(self, settings: IncidentSettings) -> None:
        self._settings = settings

    def step(
        self, state: Subject | None, record: Anomaly | IncidentNote, around: Around = ALONE
    ) -> tuple[Subject, list[Emission]]:
        """Return what is known after `record`, and the incident where it has changed."""
        before = state or Subject()
        if isinstance(record, IncidentNote):
            return self._noted(before, record, around)
        return self._departed(before, record, around)

    def stands(self, incident: Incident, around: Around, now_ms: int) -> bool:
        """Whether `incident`, as it was told, still stands so at `now_ms`."""
        now_ms = max(now_ms, incident.time_ms)
        return stand(incident, around, now_ms, self._settings) == incident

    # -- notes --------------------------------------------------------------------------------------------

    def _noted(self, before: Subject, note: IncidentNote, around: Around) -> tuple[Subject, list[Emission]]:
        told = before.incident
        if told is None or told.incident != note.incident:
            return before, []  # the subject has another incident by now
        now_ms = max(told.time_ms, note.time_ms)
        incident, said = (told, []) if note.action is None else acted(told, note.action, now_ms)
        incident = stand(incident, around, now_ms, self._settings)
        if incident == told and not said:
            return before, []
        change = derive_id("incident-change", told.incident, note.id or now_ms)
        incident = msgspec.structs.replace(incident, id=change, time_ms=now_ms)
        said += changes(told, incident, around, self._settings.impact_growth)
        return self._told(before, incident, said, now_ms)

    # -- anomalies ----------------------------------------------------------------------------------------

    def _departed(self, before: Subject, anomaly: Anomaly, around: Around) -> tuple[Subject, list[Emission]]:
        if not anomaly.id:
            causes = (anomaly.series, anomaly.phase, anomaly.time_ms)
            anomaly = msgspec.structs.replace(anomaly, id=derive_id("anomaly", *causes))
        known = before.series.get(anomaly.series)
        if known is not None and known.has_seen(anomaly):
            return before, []
        if anomaly.phase is not Phase.END and self._is_history(before.incident, anomaly):
            before = forgetful(before)
        after = taken(before, anomaly, self._settings)
        if after.lead is None:
            return after, []
        incident = self._incident(after, after.lead, anomaly)
        incident = stand(incident, around, incident.time_ms, self._settings)
        said = changes(after.incident, incident, around, self._settings.impact_growth)
        return self._told(after, incident, said, anomaly.time_ms) if said else (after, [])

    def _is_history(self, incident: Incident | None, anomaly: Anomaly) -> bool:
        """Whether the last incident has been over for so long that this is another."""
        if incident is None or incident.resolved_ms is None:
            return False
        return anomaly.time_ms - incident.resolved_ms > self._settings.reopen_within_s * 1_000

    def _incident(self, subject: Subject, lead: Lead, anomaly: Anomaly) -> Incident:
        """Return the incident as the series have it after `anomaly`."""
        told = subject.incident or _opened(anomaly)
        explained = subject.explained
        causes = explained.causes if explained is not None else []
        # An episode may begin among some and become everybody's.
        scope = explained.scope if explained is not None else lead.scope
        cause = causes[0] if causes else None
        worsens = anomaly.phase is not Phase.END
        time_ms = max(told.time_ms, anomaly.time_ms)
        reopens = worsens and subject.firing and told.state is IncidentState.RESOLVED
        reopenings = [*told.reopenings, time_ms] if reopens else told.reopenings
        return msgspec.structs.replace(
            told,
            id=derive_id("incident-change", told.incident, anomaly.id),
            time_ms=time_ms,
            kind=lead.kind,
            severity=max(told.severity, lead.severity),
            summary=summary(anomaly.subject, scope, lead, cause, subject.impact_viewers),
            cause=cause.cell if cause is not None else {},
            causes=causes,
            scope=scope,
            contrast=cause.contrast if cause is not None else "",
            only_cdn=subject.only_cdn,
            standby=explained.standby if explained is not None else "",
            from_sequence=explained.from_sequence if explained is not None else None,
            impact_viewers=subject.impact_viewers,
            opened_ms=min(told.opened_ms, anomaly.time_ms),
            firing=subject.firing,
            metrics=subject.metrics,
            cell=lead.cell,
            within_budget=subject.within_budget,
            reopenings=reopenings[-self._settings.flaps :],
            resolved_by="" if worsens else told.resolved_by,
        )

    def _told(
        self, subject: Subject, incident: Incident, said: list[str], time_ms: int
    ) -> tuple[Subject, list[Emission]]:
        entries = [TimelineEntry(time_ms=time_ms, what=words.sentence(what)) for what in said]
        timeline = self._bounded([*incident.timeline, *entries])
        incident = msgspec.structs.replace(incident, timeline=timeline)
        return msgspec.structs.replace(subject, incident=incident), [Emission(INCIDENTS, incident)]

    def _bounded(self, timeline: list[TimelineEntry]) -> list[TimelineEntry]:
        """Keep how it began and what came last."""
        most = self._settings.timeline_entries
        return timeline if len(timeline) <= most else [timeline[0], *timeline[len(timeline) - most + 1 :]]


def _opened(anomaly: Anomaly) -> Incident:
    """Return the incident that `anomaly` opens, before it is said what it is about."""
    return Incident(
        time_ms=anomaly.time_ms,
        incident=derive_id("incident", anomaly.subject, anomaly.id),
        subject=anomaly.subject,
        state=IncidentState.OPEN,
        kind=anomaly.kind,
        severity=anomaly.severity,
        summary="",
        opened_ms=anomaly.time_ms,
        origin_ms=anomaly.origin_ms,
    )
