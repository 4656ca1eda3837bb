"""Scores metric samples as they come: telemetry ─▶ anomalies.

One anomaly tells the start of an episode, one each time it worsens, one its end: however many samples are
out of line, the stream of anomalies stays small.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from agents.ports import App, Batch, Publish
from agents.sample_columns import WHOLE, Events, Floats, Ints
from agents.sample_reader import SampleReader
from agents.series_register import SeriesRegister
from agents.telemetry_windows import SeriesSummer
from config import Settings
from models.anomaly.bank import EpisodePhase, Limits, Paging
from models.anomaly.build import series_bank, watched_metrics
from models.anomaly.state import SnapshotError
from models.anomaly.verdicts import BatchVerdicts
from models.budget.spending import PageBudget
from topics import ANOMALIES, SPENDING, TELEMETRY
from topics.anomalies import Anomaly, AnomalyKind, Evidence, Phase, Severity
from topics.emission import Emission
from topics.fields import derive_id
from topics.spending import Spending
from topics.telemetry import split_series

NAME = "telemetry"
DETECTOR = "bank"
FIRST_CAPACITY = 1024
KNOWN_METRICS = 10_000
"""Names whose limits are remembered: many series share few of them."""

EXPIRY_CHECKS = 4
"""How often in the time after which a silent series expires such series are looked for."""

PHASES = {
    EpisodePhase.STARTED: Phase.START,
    EpisodePhase.WORSENED: Phase.UPDATE,
    EpisodePhase.ENDED: Phase.END,
}

log = structlog.get_logger(__name__)


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Run a bank of series over each partition of `telemetry`."""
    del publish  # a lane publishes what its processor returns
    app.lane(NAME, TELEMETRY, lambda partition, _: SampleScorer(partition, settings))


class _State(msgspec.Struct, array_like=True):
    bank: bytes
    series: list[bytes]
    """By slot; a free one is empty."""
    expiry_period: int
    last_ms: bytes
    budget: bytes = b""
    windows: bytes = b""


_STATES = msgspec.msgpack.Decoder(_State)


class SampleScorer:
    """Implements `agents.ports.LaneProcessor` for one partition of `telemetry`."""

    def __init__(self, partition: int, settings: Settings) -> None:
        self._partition = partition
        self._detection = settings.detection
        self._budget_settings = settings.budget
        self._learned = settings.learned
        self._max_future_ms = settings.engine.max_future_ms
        self._watched = watched_metrics(settings.detection)
        self._limits_of = lru_cache(KNOWN_METRICS)(self._watched.limits_of)
        self._forget_all()

    def _forget_all(self) -> None:
        self._bank = series_bank(self._detection)
        self._series = SeriesRegister(self._detection.max_series, self._open)
        self._reader = SampleReader(self._series)
        self._new: list[tuple[int, Limits, int]] = []
        """Series that the batch at hand has met: slot, limits and the broker's time."""
        self._last_ms: Ints = np.zeros(0, dtype=np.int64)
        self._expiry_period = 0
        self._windows = SeriesSummer(self._partition, self._learned)
        budget = self._budget_settings
        self._budget = PageBudget(
            budget.false_pages_per_week * budget.shares.telemetry / TELEMETRY.partitions,
            memory_ms=round(budget.pace_memory_s * 1000),
            period_ms=round(budget.pace_period_s * 1000),
        )

    def process(self, batch: Batch) -> list[Emission]:
        """Return the anomalies that the samples of `batch` start, worsen or end."""
        silent = self._expire(batch.times_ms[0])
        events = self._reader.read(batch)
        self._open_new()
        arrived_ms = np.array(batch.times_ms, dtype=np.int64)[events.record]
        timely = self._timely(batch, events, arrived_ms)
        events, arrived_ms = events.where(timely), arrived_ms[timely]
        # Idleness goes by the broker's time: series replayed side by side may be years apart in their own.
        levels, ledger = self._spend(arrived_ms)
        verdicts = self._bank.step_many(events.slot, arrived_ms, events.value, levels)
        windows = self._windows.take(events.slot, events.time_ms, events.value, arrived_ms)
        return [*silent, *self._tell(batch, events, verdicts, levels), *ledger, *windows]

    def idle(self) -> list[Emission]:
        """Say nothing: silence of a series is told when it is forgotten."""
        return []

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return the series and what is known of each."""
        state = _State(
            self._bank.snapshot(),
            self._series.names,
            self._expiry_period,
            self._last_ms.tobytes(),
            self._budget.snapshot(),
            self._windows.snapshot(),
        )
        return msgspec.msgpack.encode(state)

    def restore(self, data: bytes) -> None:
        """Go on from `snapshot`; where the figures have changed since, all series are learned anew."""
        state = _STATES.decode(data)
        self._forget_all()
        try:
            self._bank.restore(state.bank)
            if state.budget:
                self._budget.restore(state.budget)
        except SnapshotError as error:
            log.warning("learning all series anew", partition=self._partition, reason=str(error))
            self._forget_all()
            return
        self._expiry_period = state.expiry_period
        self._series.restore(state.series)
        self._windows.restore(state.windows, [name.decode() for name in state.series])
        self._last_ms = np.frombuffer(state.last_ms, dtype=np.int64).copy()

    # -- time ---------------------------------------------------------------------------------------------

    def _timely(self, batch: Batch, events: Events, arrived_ms: Ints) -> NDArray[np.bool_]:
        """Return which events are in time; refuse what is from the future of its arrival or long late."""
        future = events.time_ms > arrived_ms + self._max_future_ms
        for i in np.flatnonzero(future).tolist():
            self._refuse(
                batch,
                events,
                i,
                f"time_ms: {events.time_ms[i]} is from the future: more than {self._max_future_ms} ms after"
                f" its arrival at {arrived_ms[i]}",
            )
        # What is from the future must not make what follows it late.
        time_ms = np.where(future, 0, events.time_ms) if future.any() else events.time_ms
        late = future & False
        if self._may_be_late(events.slot, time_ms):
            newest = _newest_before(events.slot, time_ms, self._last_ms)
            late = ~future & (time_ms < newest - self._detection.max_late_ms)
        for i in np.flatnonzero(late).tolist():
            self._refuse(
                batch,
                events,
                i,
                f"late: {events.time_ms[i]} ms is more than {self._detection.max_late_ms} ms before the"
                f" newest sample of {self._series.name(int(events.slot[i]))}, at {newest[i]}",
            )
        np.maximum.at(self._last_ms, events.slot, time_ms)
        timely: NDArray[np.bool_] = ~(future | late)
        batch.tally(processed=int(timely.sum()), late=int(late.sum()))
        return timely

    def _may_be_late(self, slot: NDArray[np.int32], time_ms: Ints) -> bool:
        """Whether an event may be late: a bound that is cheap to tell, and true of next to no batch."""
        if not len(time_ms):
            return False
        oldest_ms = time_ms - self._last_ms[slot]
        reach_ms = int(time_ms.max() - time_ms.min())
        return max(reach_ms, -int(oldest_ms.min())) > self._detection.max_late_ms

    @staticmethod
    def _refuse(batch: Batch, events: Events, event: int, reason: str) -> None:
        inside = int(events.inside[event])
        batch.refuse(int(events.record[event]), reason, None if inside == WHOLE else inside)

    # -- series -------------------------------------------------------------------------------------------

    def _open(self, slot: int, metric: str, arrived_ms: int) -> None:
        """Note a series that is new in this batch."""
        self._new.append((slot, self._limits_of(metric), arrived_ms))
        self._windows.open(slot, self._series.name(slot), metric)

    def _open_new(self) -> None:
        """Begin to know the new series, all at once: one by one, they would cost more than their samples."""
        if not self._new:
            return
        slots, limits, arrived_ms = zip(*self._new, strict=True)
        self._new.clear()
        if max(slots) >= len(self._last_ms):
            more = max(max(slots) + 1 - len(self._last_ms), len(self._last_ms), FIRST_CAPACITY)
            self._last_ms = np.concatenate((self._last_ms, np.zeros(more, dtype=np.int64)))
        self._last_ms[list(slots)] = 0
        self._bank.open_many(slots, limits, arrived_ms)

    def _expire(self, now_ms: int) -> list[Emission]:
        """Now and then, forget the series that have been silent too long, and end their episodes."""
        period = now_ms * EXPIRY_CHECKS // self._detection.expire_after_ms
        if period == self._expiry_period:
            return []
        self._expiry_period = period
        expired = self._bank.expire_before(now_ms - self._detection.expire_after_ms)
        emissions = []
        for slot, severity in zip(expired.slots.tolist(), expired.open_severity.tolist(), strict=True):
            if severity:
                emissions.append(self._silent(self._series.name(slot), slot, Severity(severity)))
            self._series.free(slot)
            self._windows.forget(slot)
        return emissions

    def _spend(self, arrived_ms: Ints) -> tuple[Floats, list[Emission]]:
        """Return the level of pages of each event; now and then, also what was spent so far."""
        if not len(arrived_ms):
            return np.zeros(0), []
        before = self._budget.newest_ms // self._budget.period_ms
        levels = self._budget.spend(arrived_ms)
        told = 0 < before < self._budget.newest_ms // self._budget.period_ms
        return levels, [Emission(SPENDING, self._ledger())] if told else []

    def _ledger(self) -> Spending:
        budget, detector = self._budget, f"{NAME}/{self._partition}"
        return Spending(
            id=derive_id("spending", detector, budget.newest_ms),
            time_ms=budget.newest_ms,
            detector=detector,
            since_ms=budget.since_ms,
            share=self._budget_settings.shares.telemetry / TELEMETRY.partitions,
            false_pages_per_week=self._budget_settings.false_pages_per_week,
            page_level=budget.level,
            tests=budget.tests,
            spent=budget.spent,
            episodes=budget.episodes,
            pages=budget.pages,
            static_pages=budget.static_pages,
        )

    def _silent(self, series: str, slot: int, severity: Severity) -> Emission:
        service, metric, _ = split_series(series)
        last_ms = int(self._last_ms[slot])
        return Emission(
            ANOMALIES,
            Anomaly(
                id=derive_id("telemetry", series, "silent", last_ms),
                time_ms=last_ms + self._detection.expire_after_ms,
                subject=service,
                series=series,
                phase=Phase.END,
                kind=self._watched.kind_of(metric) or AnomalyKind.TRAFFIC_ANOMALY,
                severity=severity,
                score=0.0,
                confidence=0.0,
                metric=metric,
                value=0.0,
                detector=DETECTOR,
                pages=False,
                detail="the series has fallen silent",
            ),
        )

    def _tell(self, batch: Batch, events: Events, verdicts: BatchVerdicts, levels: Floats) -> list[Emission]:
        emissions = []
        flagged = np.asarray(verdicts.event)
        for at in np.flatnonzero(verdicts.phase).tolist():
            event = int(flagged[at])
            record = int(events.record[event])
            series = self._series.name(int(events.slot[event]))
            service, metric, tags = split_series(series)
            phase = PHASES[EpisodePhase(verdicts.phase[at])]
            sigmas = float(verdicts.deviation_sigmas[at])
            known = not math.isnan(sigmas)
            severity = Severity(max(int(verdicts.severity[at]), Severity.LOW))
            offset = batch.offsets[record]
            pages, static = Paging(verdicts.pages[at]), not math.isnan(verdicts.bound[at])
            self._budget.record(
                episodes=int(phase is Phase.START),
                pages=int(pages is Paging.NOW),
                static_pages=int(pages is Paging.NOW and static),
            )
            emissions.append(
                Emission(
                    ANOMALIES,
                    Anomaly(
                        id=derive_id(NAME, self._partition, offset, int(events.inside[event]), phase),
                        time_ms=int(events.time_ms[event]),
                        subject=service,
                        series=series,
                        phase=phase,
                        kind=self._watched.kind_of(metric) or AnomalyKind.TRAFFIC_ANOMALY,
                        severity=severity,
                        score=min(float(verdicts.score[event]), 1.0),
                        confidence=math.erf(abs(sigmas) / math.sqrt(2)) if known else 0.5,
                        metric=metric,
                        value=float(events.value[event]),
                        baseline=float(verdicts.baseline[at]) if known else None,
                        deviation_sigmas=sigmas if known else None,
                        bound=float(verdicts.bound[at]) if static else None,
                        detector=DETECTOR,
                        cell={"service": service, **tags},
                        pages=pages is not Paging.NO,
                        p_value=math.exp(verdicts.log_p[at]) if verdicts.severity[at] else None,
                        page_level=math.exp(levels[event]),
                        origin_ms=max(batch.times_ms[record], 0),
                        evidence=Evidence(topic=batch.topic, partition=self._partition, offset=offset),
                    ),
                )
            )
        return emissions


def _newest_before(slot: NDArray[np.int32], time_ms: Ints, last_ms: Ints) -> Ints:
    """Return for each event the newest time of its series before it, in the batch or from earlier."""
    order = np.argsort(slot, kind="stable")
    times, slots = time_ms[order], slot[order]
    first = np.ones(len(slots), dtype=bool)
    first[1:] = slots[1:] != slots[:-1]
    # Each series is lifted above the one before, so that one running maximum serves them all.
    lift = (np.cumsum(first) - 1) << 43
    before = np.empty_like(times)
    before[1:] = times[:-1]
    before[first] = last_ms[slots[first]]
    running: Ints = np.maximum.accumulate(np.maximum(before, last_ms[slots]) + lift) - lift
    newest: Ints = np.empty_like(running)
    newest[order] = running
    return newest
