"""Many series at once: the rules of `BankDetector` on numpy arrays, a batch of events at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.anomaly.bank import BankDetector, BankFigures, EpisodePhase, Limits, Verdict
from models.anomaly.base import ALARM_SCORE, CRITICAL_SCORE, LARGEST, RELATIVE_SCALE, SMALLEST_SCALE
from models.anomaly.rounds import Index, Rounds
from models.anomaly.state import Stateful
from topics.anomalies import Severity

Floats = npt.NDArray[np.float64]
Slots = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.int8]

UNUSED_MS: Final = int(np.iinfo(np.int64).min)
"""Last time of a slot that no series holds."""

_FIRST_CAPACITY: Final = 1024


class BatchVerdicts(NamedTuple):
    """The verdicts on a batch: a score for each event, the rest for those flagged or ending an episode.

    After `score`, every array has one entry for each such event, in the order of the batch. The fields are
    those of `Verdict`.
    """

    score: Floats
    event: Index
    """Where in the batch it is."""
    severity: Bytes
    baseline: Floats
    deviation_sigmas: Floats
    bound: Floats
    phase: Bytes


class Expired(NamedTuple):
    """Slots freed, and the severity of the episode each had open, 0 where none."""

    slots: Slots
    open_severity: Bytes


@dataclass
class SeriesBank(Stateful):
    """Judge and learn batches of events of many series, each as a `BankDetector` of its own would.

    A series is known by its slot, a small number that the caller chooses and opens first. Events of one
    series are judged in the order of the batch. Times serve only to tell idle series.

    A series costs 70 bytes; the arrays double as slots are opened. Events are not checked beyond assertions
    that values are finite and slots open: the caller has refused others already.

    Args:
        figures: Shared by all series.

    Example:
        >>> figures = BankFigures(rate=0.002, scoring_samples=50, baseline_samples=100, high=3.0,
        ...                       critical=5.0, flagged_weight=0.1, relearn_after=1000,
        ...                       open_after=(3, 2, 2, 1), clear_after=5)
        >>> bank = SeriesBank(figures)
        >>> bank.open(0, Limits(worse=1, warn=0.01, critical=0.05), time_ms=0)
        >>> bank.open(1, Limits(), time_ms=0)
        >>> slots = np.array([0, 1, 0], dtype=np.int32)
        >>> verdicts = bank.step_many(slots, np.array([1000, 1000, 2000]), np.array([0.002, 7.0, 0.06]))
        >>> verdicts.event.tolist(), verdicts.severity.tolist(), verdicts.bound.tolist()
        ([2], [4], [0.05])
    """

    figures: BankFigures
    _mean: Floats = field(init=False)
    _variance: Floats = field(init=False)
    _count: Floats = field(init=False)
    _warn: Floats = field(init=False)
    _critical: Floats = field(init=False)
    _noise: Floats = field(init=False)
    _last_ms: npt.NDArray[np.int64] = field(init=False)
    _far_run: npt.NDArray[np.int32] = field(init=False)
    _flagged_run: npt.NDArray[np.int32] = field(init=False)
    _normal_run: npt.NDArray[np.int32] = field(init=False)
    _worse: Bytes = field(init=False)
    _open_severity: Bytes = field(init=False)

    def __post_init__(self) -> None:
        for name, dtype in _COLUMNS.items():
            setattr(self, name, np.zeros(0, dtype))

    @property
    def capacity(self) -> int:
        """Slots there is room for without growing."""
        return len(self._mean)

    def open(self, slot: int, limits: Limits, time_ms: int) -> None:
        """Let a new series hold a slot, whatever was in it before."""
        while slot >= self.capacity:
            self._grow(max(2 * self.capacity, _FIRST_CAPACITY))
        for name in _COLUMNS:
            getattr(self, name)[slot] = 0
        self._warn[slot], self._critical[slot] = limits.warn, limits.critical
        self._noise[slot], self._worse[slot] = max(limits.noise, SMALLEST_SCALE), limits.worse
        self._last_ms[slot] = time_ms

    def expire_before(self, time_ms: int) -> Expired:
        """Free the slots of series whose newest event, or opening, is older than a time."""
        idle = (self._last_ms < time_ms) & (self._last_ms != UNUSED_MS)
        slots = np.flatnonzero(idle).astype(np.int32)
        self._last_ms[slots] = UNUSED_MS
        return Expired(slots, self._open_severity[slots])

    def step_many(self, slots: Slots, time_ms: npt.NDArray[np.int64], values: Floats) -> BatchVerdicts:
        """Judge each event, then learn it, in the order of the batch.

        Args:
            slots: int32[n], open slots.
            time_ms: int64[n], event times.
            values: float64[n], finite.
        """
        assert np.isfinite(values).all(), "a value is not finite"
        values = np.clip(values, -LARGEST, LARGEST)
        places = slots.astype(np.intp)  # what numpy indexes with: any other integer is converted at each use
        score = np.zeros(len(values))
        rounds = Rounds.of(slots)
        self._see(places, time_ms)
        flagged = [_NOTHING]
        for events in rounds.wide():
            flagged.append(self._step_round(places[events], values[events], events, score))
        for events in rounds.rest():
            flagged.append(self._step_series(int(places[events[0]]), values[events], events, score))
        columns = [np.concatenate(column) for column in zip(*flagged, strict=True)]
        in_order = np.argsort(columns[0])
        return BatchVerdicts(score, *(column[in_order] for column in columns))

    def _grow(self, capacity: int) -> None:
        for name, dtype in _COLUMNS.items():
            column = getattr(self, name)
            grown = np.full(capacity, UNUSED_MS if name == "_last_ms" else 0, dtype)
            grown[: len(column)] = column
            setattr(self, name, grown)

    def _see(self, slots: Index, time_ms: npt.NDArray[np.int64]) -> None:
        """Remember the newest time of each series."""
        assert (self._last_ms[slots] != UNUSED_MS).all(), "a slot is not open"
        np.maximum.at(self._last_ms, slots, time_ms)

    def _step_round(self, slot: Index, value: Floats, events: Index, score: Floats) -> _Flagged:
        """Judge and learn one event of each of several series."""
        figures = self.figures
        mean, variance, count = self._mean[slot], self._variance[slot], self._count[slot]
        scale = np.maximum(np.sqrt(variance), np.maximum(RELATIVE_SCALE * np.abs(mean), self._noise[slot]))
        difference = value - mean
        deviation = difference / scale * (count >= figures.scoring_samples)
        distance = np.abs(deviation)
        strength = distance * (deviation * self._worse[slot] >= 0.0)
        score[events] = ALARM_SCORE * strength / figures.high
        weight = np.maximum(figures.rate, 1.0 / (count + 1.0))
        warn = self._warn[slot]
        crossed = (value - warn) / (self._critical[slot] - warn)

        far = distance >= figures.high
        busy = (self._flagged_run[slot] > 0) | (self._far_run[slot] > 0)
        at = np.flatnonzero(far | busy | (crossed >= 0.0))
        fresh, flagged = at[:0], _NOTHING
        if len(at):
            score[events[at]] = np.maximum(_graded(strength[at], figures), _score_beyond(crossed[at]))
            severity = np.maximum(_grade(strength[at], count[at], figures), _grade_beyond(crossed[at]))
            sigmas = np.where(count[at] >= figures.scoring_samples, deviation[at], np.nan)
            bound = self._bound_crossed(slot[at], crossed[at])
            phase = self._move_episodes(slot[at], severity)
            flagged = _Flagged(events[at], severity, mean[at], sigmas, bound, phase).told()
            fresh = at[self._count_far(slot[at], far[at])]
            cut = np.flatnonzero(far)
            weight[cut] *= figures.flagged_weight
            difference[cut] = np.copysign(figures.high * scale[cut], difference[cut])
        moved = weight * difference
        self._mean[slot] = mean + moved
        self._variance[slot] = (1.0 - weight) * (variance + moved * difference)
        self._count[slot] = count + 1.0
        self._mean[slot[fresh]] = value[fresh]
        self._variance[slot[fresh]] = 0.0
        self._count[slot[fresh]] = 1.0
        return flagged

    def _move_episodes(self, slot: Index, severity: Bytes) -> Bytes:
        """Return what each event changes about its series' episode, and change it."""
        figures = self.figures
        open_severity = self._open_severity[slot]
        flagged_run, normal_run = self._flagged_run[slot] + 1, self._normal_run[slot] + 1
        bad, running = severity > 0, open_severity > 0
        enough = flagged_run >= np.array((0, *figures.open_after))[severity]
        phase = np.zeros(len(slot), np.int8)
        phase[bad & ~running & enough] = EpisodePhase.STARTED
        phase[bad & running & (severity > open_severity)] = EpisodePhase.WORSENED
        phase[~bad & running & (normal_run >= figures.clear_after)] = EpisodePhase.ENDED

        over = ~bad & (~running | (phase == EpisodePhase.ENDED))
        risen = bad & (phase > 0)
        self._open_severity[slot] = np.where(over, 0, np.where(risen, severity, open_severity))
        self._flagged_run[slot] = np.where(over, 0, np.where(bad, flagged_run, flagged_run - 1))
        self._normal_run[slot] = np.where(over | bad, 0, normal_run)
        return phase

    def _count_far(self, slot: Index, far: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Count the samples in a row far from the baseline; return where it starts afresh."""
        run = np.where(far, self._far_run[slot] + 1, 0)
        afresh = run >= self.figures.relearn_after
        self._far_run[slot] = np.where(afresh, 0, run)
        return afresh

    def _bound_crossed(self, slot: Index, crossed: Floats) -> Floats:
        bound = np.where(crossed >= 1.0, self._critical[slot], self._warn[slot])
        return np.where(crossed >= 0.0, bound, np.nan)

    def _step_series(self, slot: int, values: Floats, events: Index, score: Floats) -> _Flagged:
        """Judge and learn several events of one series, one by one."""
        detector = BankDetector(self.figures, self._limits(slot))
        for name, column in _LEARNED:
            setattr(detector, name, getattr(self, column).item(slot))
        scores: list[float] = []
        special: list[tuple[int, Verdict]] = []
        samples = values.tolist()
        while len(scores) < len(samples):
            scores += detector.step_quiet(samples, len(scores))
            if len(scores) < len(samples):
                verdict = detector.step_one(0, samples[len(scores)])
                special.append((int(events[len(scores)]), verdict))
                scores.append(verdict.score)
        for name, column in _LEARNED:
            getattr(self, column)[slot] = getattr(detector, name)
        score[events] = scores
        return _Flagged.of(special).told() if special else _NOTHING

    def _limits(self, slot: int) -> Limits:
        return Limits(
            self._worse.item(slot), self._warn.item(slot), self._critical.item(slot), self._noise.item(slot)
        )


class _Flagged(NamedTuple):
    """`BatchVerdicts` without the scores, in the order of a round."""

    event: Index
    severity: Bytes
    baseline: Floats
    deviation_sigmas: Floats
    bound: Floats
    phase: Bytes

    @classmethod
    def of(cls, verdicts: list[tuple[int, Verdict]]) -> _Flagged:
        """Return verdicts as columns."""
        return cls(
            np.array([event for event, _ in verdicts], np.int64),
            np.array([verdict.severity for _, verdict in verdicts], np.int8),
            np.array([verdict.baseline for _, verdict in verdicts], np.float64),
            np.array([verdict.deviation_sigmas for _, verdict in verdicts], np.float64),
            np.array([verdict.bound for _, verdict in verdicts], np.float64),
            np.array([verdict.phase for _, verdict in verdicts], np.int8),
        )

    def told(self) -> _Flagged:
        """Return only the events that are flagged or change an episode."""
        told = (self.severity > 0) | (self.phase > 0)
        return self if told.all() else _Flagged._make(column[told] for column in self)


_COLUMNS: Final[dict[str, Any]] = {
    "_mean": np.float64,
    "_variance": np.float64,
    "_count": np.float64,
    "_warn": np.float64,
    "_critical": np.float64,
    "_noise": np.float64,
    "_last_ms": np.int64,
    "_far_run": np.int32,
    "_flagged_run": np.int32,
    "_normal_run": np.int32,
    "_worse": np.int8,
    "_open_severity": np.int8,
}

_LEARNED: Final = tuple(
    (name, f"_{name}")
    for name in ("mean", "variance", "count", "far_run", "flagged_run", "normal_run", "open_severity")
)
"""What a `BankDetector` learns, and the columns that hold it."""

_NOTHING: Final = _Flagged.of([])


def _graded(strength: Floats, figures: BankFigures) -> Floats:
    """`graded` of each strength."""
    high, critical = figures.high, figures.critical
    step = CRITICAL_SCORE - ALARM_SCORE
    beyond = 1.0 - (1.0 - CRITICAL_SCORE) * critical / np.maximum(strength, critical)
    between = ALARM_SCORE + step * (strength - high) / (critical - high)
    return np.where(
        strength < high,
        ALARM_SCORE * strength / high,
        np.where(strength < critical, between, beyond),
    )


def _score_beyond(crossed: Floats) -> Floats:
    """`score_beyond` of each progress."""
    beyond = 1.0 - (1.0 - CRITICAL_SCORE) / np.fmax(crossed, 1.0)
    between = ALARM_SCORE + (CRITICAL_SCORE - ALARM_SCORE) * crossed
    return np.where(crossed >= 1.0, beyond, np.where(crossed >= 0.0, between, 0.0))


def _grade(strength: Floats, count: Floats, figures: BankFigures) -> Bytes:
    provisional = count < figures.baseline_samples
    high = np.where(provisional, Severity.LOW, Severity.HIGH)
    critical = np.where(provisional, Severity.MEDIUM, Severity.CRITICAL)
    grade = np.where(strength >= figures.critical, critical, high)
    return np.where(strength >= figures.high, grade, 0).astype(np.int8)


def _grade_beyond(crossed: Floats) -> Bytes:
    grade = np.where(crossed >= 1.0, Severity.CRITICAL, Severity.MEDIUM)
    return np.where(crossed >= 0.0, grade, 0).astype(np.int8)
