"""The anomalies that the ledger of a live stream tells, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models import words
from models.segment_verdicts import GOOD, MISSING, Reports, Standing
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.fields import Cell, derive_id

BOTH = "both"
METRIC = "segments_missing"
DETECTOR = "segments"


@dataclass(frozen=True, slots=True)
class Moment:
    """When and of which stream something is told."""

    stream: str
    time_ms: int
    head: int
    """The newest segment that any pipeline has spoken of."""


def pipeline_anomaly(
    now: Moment, phase: Phase, name: str, standby: str, stands: Standing, whole: Mapping[str, Reports]
) -> Anomaly:
    """Return one step of the failure of pipeline `name`, with its twins as the contrast.

    Args:
        standby: who can take over; empty where nobody can.
        whole: what is known of every pipeline's segments.
    """
    twins = [reports for twin, reports in whole.items() if twin != name]
    bearing_out = sum(1 for reports in twins if stands.faults and reports.get(stands.faults[-1]) == GOOD)
    cell = {"stream": now.stream, "pipeline": name}
    if phase is Phase.END:
        return _anomaly(now, phase, name, cell, Severity.HIGH, 0, f"pipeline {name} is well again")
    return _anomaly(
        now,
        phase,
        name,
        cell,
        Severity.HIGH if standby else Severity.CRITICAL,
        max(stands.fault_run, 1),
        f"pipeline {name} {_what(name, stands, whole)}, {_contrast(standby, len(twins))}",
        standby=standby,
        confidence=(bearing_out + 1) / (len(twins) + 2),  # rule of succession
    )


def shared_anomaly(now: Moment, phase: Phase, run: int, pipelines: list[str]) -> Anomaly:
    """Return one step of trouble that all pipelines share: nothing that a switch would mend."""
    said = (
        "a pipeline has segments again"
        if phase is Phase.END
        else f"pipelines {words.listed(pipelines)} are bad in the same {run} segments: content or upstream"
    )
    return _anomaly(now, phase, BOTH, {"stream": now.stream}, Severity.CRITICAL, run, said)


def _what(name: str, stands: Standing, whole: Mapping[str, Reports]) -> str:
    count = max(stands.fault_run, 1)
    defects = sorted({whole[name][at] for at in stands.faults[-count:]})
    verb = "misses" if defects == [MISSING] else f"is defective ({words.listed(defects)}) for"
    return f"{verb} {count} segments in a row" if count > 1 else f"{verb} segments again and again"


def _contrast(standby: str, twins: int) -> str:
    if standby:
        return f"{standby} has them"
    return "and no other is well" if twins else "and there is no other"


def _anomaly(
    now: Moment,
    phase: Phase,
    name: str,
    cell: Cell,
    severity: Severity,
    run: int,
    said: str,
    *,
    standby: str = "",
    confidence: float = 1.0,
) -> Anomaly:
    series = words.name(f"{now.stream}/{name}")
    cause = Cause(cell=cell, score=1.0, excess_viewers=0.0, explained=1.0, contrast=words.sentence(said))
    return Anomaly(
        id=derive_id("segments", series, phase, now.time_ms, now.head),
        time_ms=now.time_ms,
        subject=words.name(f"stream={now.stream}"),
        series=series,
        phase=phase,
        kind=AnomalyKind.INGEST_FAILURE,
        severity=severity,
        score=1.0,
        confidence=confidence,
        metric=METRIC,
        value=float(run),
        detector=DETECTOR,
        cell=cell,
        causes=[] if phase is Phase.END else [cause],
        standby=standby,
        from_sequence=now.head + 1 if standby else None,
        detail=words.sentence(said),
    )
