"""Scores metric samples as they come: telemetry ─▶ anomalies.

One anomaly tells the start of an episode, one each time it worsens, one its end: however many samples are
out of line, the stream of anomalies stays small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from agents.ports import App, Batch, Publish
from config import Settings
from models.anomaly.bank import EpisodePhase
from models.anomaly.build import series_bank, watched_metrics
from models.anomaly.state import SnapshotError
from models.anomaly.vectorised import BatchVerdicts
from topics import ANOMALIES, TELEMETRY, ContractError
from topics.anomalies import Anomaly, AnomalyKind, Evidence, Phase, Severity
from topics.emission import Emission
from topics.fields import EpochMs, Name, derive_id
from topics.telemetry import Samples, series_key, split_series

NAME = "telemetry"
DETECTOR = "bank"
EXPIRY_CHECKS = 4
"""How often in the time after which a silent series expires such series are looked for."""

PHASES = {
    EpisodePhase.STARTED: Phase.START,
    EpisodePhase.WORSENED: Phase.UPDATE,
    EpisodePhase.ENDED: Phase.END,
}

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

log = structlog.get_logger(__name__)


class _Point(msgspec.Struct, frozen=True):
    """What the hot path needs of a sample whose key names its series."""

    time_ms: EpochMs
    service: Name
    metric: Name
    value: float


_MANY = msgspec.json.Decoder(list[_Point])
_PACKED = msgspec.json.Decoder(Samples)
_WHOLE = -1
"""Stands for the place inside a record that holds one event only."""


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Run a bank of series over each partition of `telemetry`."""
    del publish  # a lane publishes what its processor returns
    app.lane(NAME, TELEMETRY, lambda partition, _: SampleScorer(partition, settings))


@dataclass(frozen=True, slots=True)
class _Events:
    """Events as columns: slot of the series, time, value, and where each stands in the batch."""

    slot: NDArray[np.int32]
    time_ms: Ints
    value: Floats
    record: Ints
    inside: Ints

    def where(self, keep: NDArray[np.bool_]) -> _Events:
        """Return the events for which `keep` is true."""
        return _Events(
            self.slot[keep], self.time_ms[keep], self.value[keep], self.record[keep], self.inside[keep]
        )


class _State(msgspec.Struct, array_like=True):
    bank: bytes
    series: list[str]
    """By slot; a free one is empty."""
    expiry_period: int
    last_ms: bytes


class SampleScorer:
    """Implements `agents.ports.LaneProcessor` for one partition of `telemetry`."""

    def __init__(self, partition: int, settings: Settings) -> None:
        self._partition = partition
        self._detection = settings.detection
        self._max_future_ms = settings.engine.max_future_ms
        self._watched = watched_metrics(settings.detection)
        self._forget_all()

    def _forget_all(self) -> None:
        self._bank = series_bank(self._detection)
        self._series: list[str] = []
        self._slots: dict[str, int] = {}
        self._by_key: dict[bytes, int] = {}
        self._free: list[int] = []
        self._last_ms: Ints = np.zeros(0, dtype=np.int64)
        self._expiry_period = 0

    def process(self, batch: Batch) -> list[Emission]:
        """Return the anomalies that the samples of `batch` start, worsen or end."""
        silent = self._expire(batch.times_ms[0])
        events = self._decode_at_once(batch)
        if events is None:
            events = self._decode_one_by_one(batch)
        arrived_ms = np.array(batch.times_ms, dtype=np.int64)[events.record]
        timely = self._timely(batch, events, arrived_ms)
        events, arrived_ms = events.where(timely), arrived_ms[timely]
        # Idleness goes by the broker's time: series replayed side by side may be years apart in their own.
        verdicts = self._bank.step_many(events.slot, arrived_ms, events.value)
        return [*silent, *self._tell(batch, events, verdicts)]

    def idle(self) -> list[Emission]:
        """Say nothing: silence of a series is told when it is forgotten."""
        return []

    def awake(self) -> list[Emission]:
        """Say nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return the series and what is known of each."""
        state = _State(self._bank.snapshot(), self._series, self._expiry_period, self._last_ms.tobytes())
        return msgspec.msgpack.encode(state)

    def restore(self, data: bytes) -> None:
        """Go on from `snapshot`; where the figures have changed since, all series are learned anew."""
        state = msgspec.msgpack.decode(data, type=_State)
        self._forget_all()
        try:
            self._bank.restore(state.bank)
        except SnapshotError as error:
            log.warning("learning all series anew", partition=self._partition, reason=str(error))
            self._forget_all()
            return
        self._expiry_period = state.expiry_period
        self._series = state.series
        self._slots = {series: slot for slot, series in enumerate(state.series) if series}
        self._by_key = {series.encode(): slot for series, slot in self._slots.items()}
        self._free = [slot for slot, series in enumerate(state.series) if not series]
        self._last_ms = np.frombuffer(state.last_ms, dtype=np.int64).copy()

    # -- decoding -----------------------------------------------------------------------------------------

    def _decode_at_once(self, batch: Batch) -> _Events | None:
        """Decode all records as one array; None where one is packed, is bad or has a key not seen before."""
        values = [value or b"" for value in batch.values]
        slots = [self._by_key.get(key or b"", -1) for key in batch.keys]
        if any(batch.packed) or min(slots) < 0 or max(map(len, values)) > TELEMETRY.max_bytes:
            return None
        try:
            points = _MANY.decode(b"[" + b",".join(values) + b"]")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if len(points) != len(values):  # a value of several records would shift all behind it
            return None
        return _Events(
            np.array(slots, dtype=np.int32),
            np.array([point.time_ms for point in points], dtype=np.int64),
            np.array([point.value for point in points], dtype=np.float64),
            np.arange(len(points)),
            np.full(len(points), _WHOLE),
        )

    def _decode_one_by_one(self, batch: Batch) -> _Events:
        rows: list[tuple[int, int, float, int, int]] = []
        for record, (key, value, packed) in enumerate(
            zip(batch.keys, batch.values, batch.packed, strict=True)
        ):
            try:
                if packed:
                    rows += self._unpack(record, value or b"", batch.times_ms[record])
                    continue
                sample = TELEMETRY.decode(value)
                series = TELEMETRY.key_of(sample)
                slot = self._slot(series, sample.metric, batch.times_ms[record])
                if key == series.encode():
                    self._by_key[key] = slot
                rows.append((slot, sample.time_ms, sample.value, record, _WHOLE))
            except ContractError as error:
                batch.refuse(record, error.reason)
            except (ValueError, RecursionError) as error:
                batch.refuse(record, str(error))
        columns = list(zip(*rows, strict=True)) if rows else [()] * 5
        return _Events(
            np.array(columns[0], dtype=np.int32),
            np.array(columns[1], dtype=np.int64),
            np.array(columns[2], dtype=np.float64),
            np.array(columns[3], dtype=np.int64),
            np.array(columns[4], dtype=np.int64),
        )

    def _unpack(self, record: int, value: bytes, arrived_ms: int) -> list[tuple[int, int, float, int, int]]:
        samples = _PACKED.decode(value)
        parts = [split_series(series) for series in samples.series]
        names = [series_key(*part) for part in parts]
        return [
            (self._slot(names[which], parts[which][1], arrived_ms), time_ms, number, record, inside)
            for inside, (which, time_ms, number) in enumerate(
                zip(samples.which, samples.time_ms, samples.value, strict=True)
            )
        ]

    def _timely(self, batch: Batch, events: _Events, arrived_ms: Ints) -> NDArray[np.bool_]:
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
        time_ms = np.where(future, 0, events.time_ms)
        newest = _newest_before(events.slot, time_ms, self._last_ms)
        late = ~future & (time_ms < newest - self._detection.max_late_ms)
        for i in np.flatnonzero(late).tolist():
            self._refuse(
                batch,
                events,
                i,
                f"late: {events.time_ms[i]} ms is more than {self._detection.max_late_ms} ms before the"
                f" newest sample of {self._series[events.slot[i]]}, at {newest[i]}",
            )
        np.maximum.at(self._last_ms, events.slot, time_ms)
        timely: NDArray[np.bool_] = ~(future | late)
        batch.tally(processed=int(timely.sum()), late=int(late.sum()))
        return timely

    @staticmethod
    def _refuse(batch: Batch, events: _Events, event: int, reason: str) -> None:
        inside = int(events.inside[event])
        batch.refuse(int(events.record[event]), reason, None if inside == _WHOLE else inside)

    # -- series -------------------------------------------------------------------------------------------

    def _slot(self, series: str, metric: str, arrived_ms: int) -> int:
        slot = self._slots.get(series)
        if slot is not None:
            return slot
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self._series)
            self._series.append("")
            if slot >= len(self._last_ms):
                self._last_ms = np.concatenate((self._last_ms, np.zeros(max(slot, 1024), dtype=np.int64)))
        self._series[slot] = series
        self._slots[series] = slot
        self._last_ms[slot] = 0
        self._bank.open(slot, self._watched.limits_of(metric), arrived_ms)
        return slot

    def _expire(self, now_ms: int) -> list[Emission]:
        """Now and then, forget the series that have been silent too long, and end their episodes."""
        period = now_ms * EXPIRY_CHECKS // self._detection.expire_after_ms
        if period == self._expiry_period:
            return []
        self._expiry_period = period
        expired = self._bank.expire_before(now_ms - self._detection.expire_after_ms)
        emissions = []
        for slot, severity in zip(expired.slots.tolist(), expired.open_severity.tolist(), strict=True):
            series = self._series[slot]
            if severity:
                emissions.append(self._silent(series, slot, Severity(severity)))
            self._series[slot] = ""
            self._free.append(slot)
            del self._slots[series]
            self._by_key.pop(series.encode(), None)
        return emissions

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
                detail="the series has fallen silent",
            ),
        )

    def _tell(self, batch: Batch, events: _Events, verdicts: BatchVerdicts) -> list[Emission]:
        emissions = []
        flagged = np.asarray(verdicts.event)
        for at in np.flatnonzero(verdicts.phase).tolist():
            event = int(flagged[at])
            record = int(events.record[event])
            series = self._series[events.slot[event]]
            service, metric, tags = split_series(series)
            phase = PHASES[EpisodePhase(verdicts.phase[at])]
            sigmas = float(verdicts.deviation_sigmas[at])
            known = not math.isnan(sigmas)
            severity = Severity(max(int(verdicts.severity[at]), Severity.LOW))
            offset = batch.offsets[record]
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
                        bound=None if math.isnan(verdicts.bound[at]) else float(verdicts.bound[at]),
                        detector=DETECTOR,
                        cell={"service": service, **tags},
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
