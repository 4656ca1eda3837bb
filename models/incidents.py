"""Incidents: many symptoms of one subject, one incident, from open to resolved.

Each series of a subject is a register that holds its newest record by event time, so records told twice,
late or between one another do no harm. The incident is open while any register says that its series is
anomalous. Severity, impact and the record that leads the summary are the worst the incident has seen.

States move along these arrows only::

    open ─▶ resolved ─▶ reopened ─▶ resolved ─▶ …
"""

from __future__ import annotations

import msgspec

from config.sections import IncidentSettings
from models import words
from topics import INCIDENTS
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.emission import Emission
from topics.fields import Cell, cell_key, derive_id
from topics.incidents import Incident, IncidentState, TimelineEntry

IDS_AT_ONE_TIME = 8
MEANING = {
    "stalled_ratio": "of viewers stall",
    "start_failure_ratio": "of starts fail",
    "playback_failure_ratio": "of plays fail",
    "rebuffering_ratio": "of the viewers' time is spent stalling",
}
"""What a ratio is a ratio of, for the summary."""


class Series(msgspec.Struct, frozen=True):
    """The newest record of one series, and the newest causes it gave."""

    time_ms: int
    ids: list[str]
    """Records taken with exactly `time_ms`: an episode may end and another start in one window."""
    firing: bool
    causes: list[Cause] = []
    causes_ms: int = 0
    standby: str = ""
    from_sequence: int | None = None

    def has_seen(self, anomaly: Anomaly) -> bool:
        """Whether `anomaly` was taken already or is older than what is known."""
        return anomaly.time_ms < self.time_ms or (anomaly.time_ms == self.time_ms and anomaly.id in self.ids)


class Lead(msgspec.Struct, frozen=True):
    """The worst record of an incident: what its summary tells."""

    severity: Severity
    impact_viewers: float
    score: float
    id: str
    kind: AnomalyKind
    metric: str
    value: float
    baseline: float | None
    cell: Cell
    detail: str

    @property
    def rank(self) -> tuple[Severity, float, float, str]:
        """The order of badness; the id makes it total."""
        return self.severity, self.impact_viewers, self.score, self.id


class Subject(msgspec.Struct, frozen=True):
    """All that is known of one subject; `incident` is the newest, as last told."""

    series: dict[str, Series] = {}
    incident: Incident | None = None
    lead: Lead | None = None
    impact_viewers: float = 0.0

    @property
    def firing(self) -> list[str]:
        """The series that are anomalous now, in alphabetical order."""
        return sorted(name for name, series in self.series.items() if series.firing)


class Incidents:
    """Folds the anomalies of each subject into its incidents.

    Args:
        settings: when trouble that comes back is the same incident, and how much is remembered.

    Example:
        >>> from config import load
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

    def step(self, state: Subject | None, anomaly: Anomaly) -> tuple[Subject, list[Emission]]:
        """Return what is known after `anomaly`, and the incident where it has changed."""
        before = state or Subject()
        if not anomaly.id:
            causes = (anomaly.series, anomaly.phase, anomaly.time_ms)
            anomaly = msgspec.structs.replace(anomaly, id=derive_id("anomaly", *causes))
        known = before.series.get(anomaly.series)
        if known is not None and known.has_seen(anomaly):
            return before, []
        if anomaly.phase is not Phase.END and self._is_history(before.incident, anomaly):
            forgetful = {name: _without_causes(series) for name, series in before.series.items()}
            before = Subject(series=forgetful)
        after = self._taken(before, anomaly)
        if after.lead is None:
            return after, []
        incident = self._incident(after, after.lead, anomaly)
        changes = self._changes(after.incident, incident)
        if not changes:
            return after, []
        timeline = [
            *incident.timeline,
            *(TimelineEntry(time_ms=anomaly.time_ms, what=what) for what in changes),
        ]
        incident = msgspec.structs.replace(incident, timeline=self._bounded(timeline))
        return msgspec.structs.replace(after, incident=incident), [Emission(INCIDENTS, incident)]

    def _is_history(self, incident: Incident | None, anomaly: Anomaly) -> bool:
        """Whether the last incident has been over for so long that this is another."""
        if incident is None or incident.resolved_ms is None:
            return False
        return anomaly.time_ms - incident.resolved_ms > self._settings.reopen_within_s * 1_000

    def _taken(self, before: Subject, anomaly: Anomaly) -> Subject:
        """Return `before` with the anomaly in the register of its series, and the worst so far."""
        series = dict(before.series)
        if self._has_room(series, anomaly.series):
            series[anomaly.series] = self._register(series.get(anomaly.series), anomaly)
        if anomaly.phase is Phase.END:
            return msgspec.structs.replace(before, series=series)
        lead = _lead(anomaly)
        return msgspec.structs.replace(
            before,
            series=series,
            lead=max(before.lead, lead, key=lambda each: each.rank) if before.lead is not None else lead,
            impact_viewers=max(before.impact_viewers, anomaly.impact_viewers),
        )

    def _has_room(self, series: dict[str, Series], name: str) -> bool:
        """Make room for `name` by forgetting the series that has been quiet for longest."""
        if name in series or len(series) < self._settings.series_per_subject:
            return True
        quiet = [(each.time_ms, other) for other, each in series.items() if not each.firing]
        if not quiet:
            return False
        del series[min(quiet)[1]]
        return True

    def _register(self, known: Series | None, anomaly: Anomaly) -> Series:
        same_time = known is not None and known.time_ms == anomaly.time_ms
        ids = [*known.ids, anomaly.id] if known is not None and same_time else [anomaly.id]
        now = Series(anomaly.time_ms, ids[-IDS_AT_ONE_TIME:], anomaly.phase is not Phase.END)
        if anomaly.causes:
            return msgspec.structs.replace(
                now,
                causes=anomaly.causes[: self._settings.causes],
                causes_ms=anomaly.time_ms,
                standby=anomaly.standby,
                from_sequence=anomaly.from_sequence,
            )
        if known is None:
            return now
        return msgspec.structs.replace(known, time_ms=now.time_ms, ids=now.ids, firing=now.firing)

    def _incident(self, subject: Subject, lead: Lead, anomaly: Anomaly) -> Incident:
        """Return the incident as it stands after `anomaly`."""
        told = subject.incident
        explained = _best_explained(subject)
        causes = explained.causes if explained is not None else []
        cause = causes[0] if causes else None
        scope = anomaly.scope if told is None else told.scope
        firing = subject.firing
        active = bool(firing)
        incident = told.incident if told is not None else derive_id("incident", anomaly.subject, anomaly.id)
        time_ms = anomaly.time_ms if told is None else max(told.time_ms, anomaly.time_ms)
        return Incident(
            id=derive_id("incident-change", incident, anomaly.id),
            time_ms=time_ms,
            incident=incident,
            subject=anomaly.subject,
            state=_next_state(told.state if told is not None else None, active=active),
            kind=lead.kind,
            severity=lead.severity,
            summary=_summary(anomaly.subject, scope, lead, cause, subject.impact_viewers),
            cause=cause.cell if cause is not None else {},
            causes=causes,
            contrast=cause.contrast if cause is not None else "",
            scope=scope,
            standby=explained.standby if explained is not None else "",
            from_sequence=explained.from_sequence if explained is not None else None,
            impact_viewers=subject.impact_viewers,
            owner=told.owner if told is not None else "",
            opened_ms=anomaly.time_ms if told is None else min(told.opened_ms, anomaly.time_ms),
            resolved_ms=None if active else time_ms,
            firing=firing,
            timeline=told.timeline if told is not None else [],
            origin_ms=anomaly.origin_ms if told is None else told.origin_ms,
        )

    def _changes(self, told: Incident | None, now: Incident) -> list[str]:
        """Return what is worth telling, in words; nothing where nothing of weight has changed."""
        if told is None:
            return [words.sentence(f"opened: {now.summary}")]
        if now.state is not told.state:
            if now.state is IncidentState.RESOLVED:
                return [f"resolved after {words.lasting(now.time_ms - now.opened_ms)}"]
            return [words.sentence(f"reopened: {now.summary}")]
        if now.state is IncidentState.RESOLVED:
            return []
        changes = []
        if now.severity > told.severity:
            changes.append(f"worse: {told.severity.name.lower()} became {now.severity.name.lower()}")
        if now.cause != told.cause:
            was = cell_key(told.cause) if told.cause else "unknown"
            changes.append(words.sentence(f"cause refined: {cell_key(now.cause)}, before {was}"))
        if now.standby not in {"", told.standby}:
            changes.append(f"{now.standby} can take over")
        new = sorted(set(now.firing) - set(told.firing))
        if new:
            changes.append(words.sentence(f"also anomalous: {words.listed(new)}"))
        if now.impact_viewers > self._settings.impact_growth * told.impact_viewers:
            changes.append(
                f"larger: {words.viewers(now.impact_viewers)}, before {words.viewers(told.impact_viewers)}"
            )
        return changes

    def _bounded(self, timeline: list[TimelineEntry]) -> list[TimelineEntry]:
        """Keep how it began and what came last."""
        most = self._settings.timeline_entries
        return timeline if len(timeline) <= most else [timeline[0], *timeline[len(timeline) - most + 1 :]]


def _next_state(state: IncidentState | None, *, active: bool) -> IncidentState:
    if not active:
        return IncidentState.RESOLVED
    if state is None:
        return IncidentState.OPEN
    return IncidentState.REOPENED if state is IncidentState.RESOLVED else state


def _without_causes(series: Series) -> Series:
    return Series(series.time_ms, series.ids, series.firing)


def _best_explained(subject: Subject) -> Series | None:
    """Return the series whose causes to believe: anomalous now, best scored, newest."""
    explained = [(name, series) for name, series in subject.series.items() if series.causes]
    if not explained:
        return None
    return max(
        explained,
        key=lambda each: (
            each[1].firing,
            each[1].causes[0].score,
            each[1].causes[0].excess_viewers,
            each[1].causes_ms,
            each[0],
        ),
    )[1]


def _lead(anomaly: Anomaly) -> Lead:
    return Lead(
        severity=anomaly.severity,
        impact_viewers=anomaly.impact_viewers,
        score=anomaly.score,
        id=anomaly.id,
        kind=anomaly.kind,
        metric=anomaly.metric,
        value=anomaly.value,
        baseline=anomaly.baseline,
        cell=anomaly.cell,
        detail=anomaly.detail,
    )


def _summary(subject: str, scope: Cell, lead: Lead, cause: Cause | None, impact_viewers: float) -> str:
    """Return the incident at a glance: where, what, how it should be, how many viewers."""
    where = cell_key({**scope, **cause.cell}) if cause is not None else subject
    if cause is None or cause.cell == lead.cell or not cause.contrast:
        what = _measured(lead)
    else:
        named = ", ".join(f"{dimension}={value}" for dimension, value in cause.cell.items())
        what = cause.contrast.split(";")[0].replace(f" on {named}", "")
    impact = f" — {words.viewers(impact_viewers)}" if impact_viewers >= 1 else ""
    return words.sentence(f"{where}: {what}{impact}")


def _measured(lead: Lead) -> str:
    if lead.metric in MEANING:
        expected = f", expected {words.percent(lead.baseline)}" if lead.baseline is not None else ""
        return f"{words.percent(lead.value)} {MEANING[lead.metric]}{expected}"
    if lead.detail:
        return lead.detail
    expected = f", expected {lead.baseline:.4g}" if lead.baseline is not None else ""
    return f"{lead.metric} is {lead.value:.4g}{expected}"
