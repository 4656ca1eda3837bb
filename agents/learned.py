"""Judges windows of chosen series by learned models: telemetry.windows ─▶ anomalies.

A lane of its own, so that models of tens of microseconds a window never hold the samples back: it may run in
a worker of its own (`playhead worker --agents learned`), and in as many as `telemetry.windows` has
partitions. Its pages are paid from the budget's share `learned`.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import structlog

from agents import metrics
from agents.ledger import Ledger
from agents.ports import App, Batch, Publish
from agents.telemetry import PHASES
from agents.telemetry_windows import rule_of
from config import Settings
from config.learned import LearnedMetric
from models.anomaly.bank import EpisodePhase, Paging
from models.anomaly.build import learned_series, watched_metrics
from models.anomaly.learned import LearnedSeries, LearnedVerdict
from models.anomaly.state import SnapshotError
from models.budget.spending import PageBudget
from topics import ANOMALIES, TELEMETRY_WINDOWS, ContractError
from topics.anomalies import Anomaly, AnomalyKind, Evidence, Phase, Severity
from topics.emission import Emission
from topics.fields import derive_id
from topics.telemetry import split_series
from topics.telemetry_windows import SeriesWindows

NAME: Final = "learned"
MAX_NAME: Final = 180
"""Letters of a series' name in anomalies, whose names have an end."""

EXPIRY_CHECKS: Final = 4
"""How often in the time after which a silent series expires such series are looked for."""

log = structlog.get_logger(__name__)


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Judge each partition of `telemetry.windows`."""
    del publish  # a lane publishes what its processor returns
    app.lane(NAME, TELEMETRY_WINDOWS, lambda partition, _: WindowScorer(partition, settings))


class _Judged:
    """One series: its model, the newest window that it has learned, and its snapshot while it holds."""

    __slots__ = ("end_ms", "model", "rule", "saved")

    def __init__(self, rule: LearnedMetric, model: LearnedSeries) -> None:
        self.rule = rule
        self.model = model
        self.end_ms = -1
        self.saved: bytes | None = None


class _Saved(msgspec.Struct, array_like=True):
    series: str
    end_ms: int
    model: bytes


class _State(msgspec.Struct, array_like=True):
    series: list[_Saved]
    newest_ms: int
    expiry_period: int
    budget: bytes


_STATES = msgspec.msgpack.Decoder(_State)


class WindowScorer:
    """Implements `agents.ports.LaneProcessor` for one partition of `telemetry.windows`."""

    def __init__(self, partition: int, settings: Settings) -> None:
        self._partition = partition
        self._settings = settings
        self._watched = watched_metrics(settings.detection)
        self._expire_after_ms = round(settings.learned.expire_after_s * 1000)
        self._series: dict[str, _Judged] = {}
        self._newest_ms = 0
        self._expiry_period = 0
        budget = settings.budget
        share = budget.shares.learned / TELEMETRY_WINDOWS.partitions
        self._budget = PageBudget(
            budget.false_pages_per_week * share,
            memory_ms=round(budget.pace_memory_s * 1000),
            period_ms=round(budget.pace_period_s * 1000),
        )
        self._ledger = Ledger(f"{NAME}/{partition}", self._budget, share, budget)

    def process(self, batch: Batch) -> list[Emission]:
        """Return the anomalies that the windows of `batch` start, worsen or end."""
        emissions: list[Emission] = []
        for index, value in enumerate(batch.values):
            try:
                record = TELEMETRY_WINDOWS.decode(value)
            except ContractError as error:
                batch.refuse(index, error.reason)
                continue
            evidence = Evidence(
                topic=batch.topic, partition=self._partition, offset=max(batch.offsets[index], 0)
            )
            emissions += self.judge(record, evidence)
            batch.tally(processed=len(record.series))
        return emissions

    def judge(self, record: SeriesWindows, evidence: Evidence | None = None) -> list[Emission]:
        """Return what follows from one record."""
        emissions = self._expire(record.time_ms)
        fresh = [
            row
            for row, series in enumerate(record.series)
            if (known := self._judged(series)) is not None and known.end_ms < record.time_ms
        ]
        if not fresh:
            return emissions  # told twice: the lane before has gone back to its checkpoint
        level, ledger = self._spend(record.time_ms, len(fresh))
        for row in fresh:
            series = record.series[row]
            judged = self._series[series]
            judged.end_ms, judged.saved = record.time_ms, None
            value = _statistic(record, judged.rule, row)
            verdict = judged.model.step_one(record.time_ms, value, level)
            if verdict.phase is not EpisodePhase.NONE:
                emissions.append(self._told(record, series, value, verdict, level, evidence))
        return [*emissions, *ledger]

    def idle(self) -> list[Emission]:
        """Say nothing: silence of a series is told when it is forgotten."""
        return []

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return the series and what their models have learned; only what changed is encoded anew."""
        saved = []
        for series, judged in self._series.items():
            if judged.saved is None:
                judged.saved = judged.model.snapshot()
            saved.append(_Saved(series, judged.end_ms, judged.saved))
        state = _State(saved, self._newest_ms, self._expiry_period, self._budget.snapshot())
        return msgspec.msgpack.encode(state)

    def restore(self, data: bytes) -> None:
        """Go on from `snapshot`; a series whose figures have changed since is learned anew."""
        state = _STATES.decode(data)
        self._newest_ms, self._expiry_period = state.newest_ms, state.expiry_period
        anew = 0
        for saved in state.series:
            judged = self._judged(saved.series)
            if judged is None:
                continue  # no pattern chooses it any more
            judged.end_ms = saved.end_ms
            try:
                judged.model.restore(saved.model)
            except SnapshotError:
                judged.model = self._model(saved.series, judged.rule)
                anew += 1
        try:
            self._budget.restore(state.budget)
        except SnapshotError as error:
            log.warning("the budget begins anew", partition=self._partition, reason=str(error))
        if anew:
            log.warning("series are learned anew: their figures have changed", series=anew)

    # -- series -------------------------------------------------------------------------------------------

    def _judged(self, series: str) -> _Judged | None:
        """Return what is known of a series, new ones included; None where it is not to be judged."""
        judged = self._series.get(series)
        if judged is not None:
            return judged
        rule = rule_of(self._settings.learned, split_series(series)[1])
        if rule is None:
            return None
        if len(self._series) >= self._settings.learned.max_judged_series:
            metrics.UNJUDGED_WINDOWS.labels(self._partition).inc()
            return None
        judged = self._series[series] = _Judged(rule, self._model(series, rule))
        return judged

    def _model(self, series: str, rule: LearnedMetric) -> LearnedSeries:
        limits = self._watched.limits_of(split_series(series)[1])
        return learned_series(rule.model, limits.worse, series, self._settings)

    def _expire(self, now_ms: int) -> list[Emission]:
        """Now and then, forget the series that have been silent too long, and end their episodes."""
        self._newest_ms = max(self._newest_ms, now_ms)
        period = self._newest_ms * EXPIRY_CHECKS // self._expire_after_ms
        if period == self._expiry_period:
            return []
        self._expiry_period = period
        before_ms = self._newest_ms - self._expire_after_ms
        silent = [series for series, judged in self._series.items() if judged.end_ms < before_ms]
        ended = [self._silent(series) for series in silent if self._series[series].model.open_severity]
        for series in silent:
            del self._series[series]
        return ended

    # -- words --------------------------------------------------------------------------------------------

    def _spend(self, time_ms: int, tests: int) -> tuple[float, list[Emission]]:
        """Return the level of pages for so many windows; now and then, also what was spent so far."""
        before_ms = self._budget.newest_ms
        level = float(self._budget.spend(np.full(tests, time_ms, dtype=np.int64))[0])
        return level, list(self._ledger.told(before_ms))

    def _told(
        self,
        record: SeriesWindows,
        series: str,
        value: float,
        verdict: LearnedVerdict,
        level: float,
        evidence: Evidence | None,
    ) -> Emission:
        service, metric, tags = split_series(series)
        phase = PHASES[verdict.phase]
        model = self._series[series].rule.model
        self._budget.record(
            episodes=int(phase is Phase.START), pages=int(verdict.pages is Paging.NOW), static_pages=0
        )
        return Emission(
            ANOMALIES,
            Anomaly(
                id=derive_id(NAME, series, record.time_ms, phase),
                time_ms=record.time_ms,
                subject=service,
                series=told_series(series),
                phase=phase,
                kind=self._watched.kind_of(metric) or AnomalyKind.TRAFFIC_ANOMALY,
                severity=Severity(max(verdict.severity, Severity.LOW)),
                score=min(verdict.score, 1.0),
                confidence=min(verdict.score, 1.0),
                metric=metric,
                value=value,
                baseline=verdict.baseline,
                detector=f"{NAME}/{model}",
                window_ms=record.window_ms,
                cell={"service": service, **tags},
                pages=verdict.pages is not Paging.NO,
                p_value=math.exp(verdict.log_p) if verdict.severity else None,
                page_level=math.exp(level),
                origin_ms=record.origin_ms,
                evidence=evidence,
            ),
        )

    def _silent(self, series: str) -> Emission:
        service, metric, _ = split_series(series)
        judged = self._series[series]
        return Emission(
            ANOMALIES,
            Anomaly(
                id=derive_id(NAME, series, "silent", judged.end_ms),
                time_ms=judged.end_ms + self._expire_after_ms,
                subject=service,
                series=told_series(series),
                phase=Phase.END,
                kind=self._watched.kind_of(metric) or AnomalyKind.TRAFFIC_ANOMALY,
                severity=Severity(judged.model.open_severity),
                score=0.0,
                confidence=0.0,
                metric=metric,
                value=0.0,
                detector=f"{NAME}/{judged.rule.model}",
                pages=False,
                detail="the series has fallen silent",
            ),
        )


def told_series(series: str) -> str:
    """Return the name under which anomalies speak of a series' windows.

    Another than that of its samples: the bank judges those, and an incident keeps each judge's word apart.

    >>> told_series("playback/buffering_ratio{region=eu}")
    'playback/buffering_ratio{region=eu} (windows)'
    """
    return f"{series[:MAX_NAME]} (windows)"


def _statistic(record: SeriesWindows, rule: LearnedMetric, row: int) -> float:
    if rule.statistic == "sum":
        return record.mean[row] * record.count[row]
    columns: dict[str, list[float] | list[int]] = {
        "mean": record.mean,
        "min": record.min,
        "max": record.max,
        "count": record.count,
    }
    return float(columns[rule.statistic][row])
