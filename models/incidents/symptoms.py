"""What the anomalies of one subject say: a register for each series, and the worst of all.

Each series is a register that holds its newest record by event time, so records told twice, late or between
one another do no harm.
"""

from __future__ import annotations

import msgspec

from config.sections import IncidentSettings
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.fields import Cell
from topics.incidents import Incident

IDS_AT_ONE_TIME = 8


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
    metric: str = ""
    scope: Cell = {}
    """Whom the newest record of trouble looked at."""
    since_ms: int = 0
    """When its trouble, that which lasts or the last one, was first heard of."""
    only_cdn: str = ""
    """The one CDN that served them all when it started: a move changes that."""

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
    scope: Cell = {}

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
    within_budget: bool = False
    """Whether any of the incident's anomalies may page."""

    @property
    def firing(self) -> list[str]:
        """The series that are anomalous now, in alphabetical order."""
        return sorted(name for name, series in self.series.items() if series.firing)

    @property
    def metrics(self) -> list[str]:
        """What the series that are anomalous now measure, in alphabetical order."""
        return sorted({series.metric for series in self.series.values() if series.firing and series.metric})

    @property
    def only_cdn(self) -> str:
        """The one CDN that serves all of whom the anomalous series tell; empty where they differ.

        Series that tell of no CDN, such as an audience that has gone, do not speak against one.
        """
        found = {series.only_cdn for series in self.series.values() if series.firing} - {""}
        return found.pop() if len(found) == 1 else ""

    @property
    def explained(self) -> Series | None:
        """The series whose causes to believe: anomalous now, best scored, newest.

        One that has ended is believed while others of its time last, but not of later trouble.
        """
        since_ms = min((series.since_ms for series in self.series.values() if series.firing), default=0)
        found = [
            (name, series)
            for name, series in self.series.items()
            if series.causes and (series.firing or series.time_ms >= since_ms)
        ]
        if not found:
            return None
        return max(
            found,
            key=lambda each: (
                each[1].firing,
                each[1].causes[0].score,
                each[1].causes[0].excess_viewers,
                each[1].causes_ms,
                each[0],
            ),
        )[1]


def forgetful(subject: Subject) -> Subject:
    """Return `subject` with its last incident gone, and the causes that its series gave with it."""
    series = {name: Series(each.time_ms, each.ids, each.firing) for name, each in subject.series.items()}
    return Subject(series=series)


def taken(before: Subject, anomaly: Anomaly, settings: IncidentSettings) -> Subject:
    """Return `before` with the anomaly in the register of its series, and the worst so far."""
    series = dict(before.series)
    if _has_room(series, anomaly.series, settings.series_per_subject):
        series[anomaly.series] = _register(series.get(anomaly.series), anomaly, settings.causes)
    if anomaly.phase is Phase.END:
        return msgspec.structs.replace(before, series=series)
    lead = _lead(anomaly)
    return msgspec.structs.replace(
        before,
        series=series,
        lead=max(before.lead, lead, key=lambda each: each.rank) if before.lead is not None else lead,
        impact_viewers=max(before.impact_viewers, anomaly.impact_viewers),
        within_budget=before.within_budget or anomaly.pages,
    )


def _has_room(series: dict[str, Series], name: str, most: int) -> bool:
    """Make room for `name` by forgetting the series that has been quiet for longest."""
    if name in series or len(series) < most:
        return True
    quiet = [(each.time_ms, other) for other, each in series.items() if not each.firing]
    if not quiet:
        return False
    del series[min(quiet)[1]]
    return True


def _register(known: Series | None, anomaly: Anomaly, causes: int) -> Series:
    same_time = known is not None and known.time_ms == anomaly.time_ms
    ids = [*known.ids, anomaly.id] if known is not None and same_time else [anomaly.id]
    firing = anomaly.phase is not Phase.END
    scope = anomaly.scope if firing or known is None else known.scope
    lasted = known is not None and known.firing
    now = Series(
        anomaly.time_ms,
        ids[-IDS_AT_ONE_TIME:],
        firing,
        metric=anomaly.metric,
        scope=scope,
        since_ms=anomaly.time_ms,
        only_cdn=anomaly.only_cdn,
    )
    if known is not None and (lasted or not firing):
        now = msgspec.structs.replace(now, since_ms=known.since_ms, only_cdn=known.only_cdn)
    if anomaly.causes:
        return msgspec.structs.replace(
            now,
            causes=anomaly.causes[:causes],
            causes_ms=anomaly.time_ms,
            standby=anomaly.standby,
            from_sequence=anomaly.from_sequence,
        )
    # What was found of trouble that has ended is no evidence of the next.
    if known is None or (firing and not lasted):
        return now
    return msgspec.structs.replace(
        known, time_ms=now.time_ms, ids=now.ids, firing=now.firing, metric=now.metric, scope=scope
    )


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
        scope=anomaly.scope,
    )
