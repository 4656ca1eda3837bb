"""Alerts of other tools as anomalies: one series each, firing or ended."""

from __future__ import annotations

from collections.abc import Mapping

from models import words
from topics.anomalies import Anomaly, AnomalyKind, Phase, Severity
from topics.fields import Cell, cell_key, derive_id

DETECTOR = "alertmanager"
ALERT_NAME = "alertname"
SUBJECTS = ("service", "job", "instance", ALERT_NAME)
"""Labels that say what is in trouble where no dimension of playback does; the first that is there."""

SEVERITIES = {
    "critical": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "error": Severity.HIGH,
    "high": Severity.HIGH,
    "major": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "minor": Severity.LOW,
    "low": Severity.LOW,
    "info": Severity.LOW,
    "none": Severity.LOW,
}
"""By what the label ``severity`` says in common use."""


def anomaly_of(
    labels: Mapping[str, str],
    said: str,
    fingerprint: str,
    started_ms: int,
    ended_ms: int | None,
    dimensions: tuple[str, ...],
    *,
    pages: bool = True,
) -> Anomaly:
    """Return an alert as a step of an episode.

    Alerts about the same dimensions of playback, or the same service, are of one subject and so of one
    incident with what Playhead itself finds there. The severity is what the alert says, medium where it says
    nothing known.

    Args:
        said: what it tells people.
        fingerprint: of its labels: one alert, one series.
        started_ms: since when it fires; told again with the same time it is the same.
        ended_ms: when it ended; None while it fires.
        dimensions: labels that are dimensions of playback.
        pages: whether it may wake someone; else it is recorded.
    """
    name = rule_of(labels)
    cell: Cell = {each: labels[each] for each in dimensions if labels.get(each)}
    subject = cell_key(cell) if cell else next((labels[each] for each in SUBJECTS if labels.get(each)), name)
    over = ended_ms is not None
    return Anomaly(
        id=derive_id("alert", fingerprint, started_ms, ended_ms if over else "firing"),
        time_ms=started_ms if ended_ms is None else max(ended_ms, started_ms + 1),
        subject=words.name(subject),
        series=words.name(f"{subject}/{name}~{fingerprint}"),
        phase=Phase.END if over else Phase.START,
        kind=AnomalyKind.ALERT,
        severity=SEVERITIES.get(labels.get("severity", "").lower(), Severity.MEDIUM),
        score=1.0,
        confidence=1.0,
        metric=words.name(name),
        value=0.0 if over else 1.0,
        detector=DETECTOR,
        cell=cell,
        detail=words.sentence(said or f"{name} fires"),
        pages=pages,
    )


def rule_of(labels: Mapping[str, str]) -> str:
    """Return the rule that raised an alert."""
    return labels.get(ALERT_NAME) or DETECTOR
