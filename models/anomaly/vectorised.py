"""Many series at once: the rules of `BankDetector` on numpy arrays, a batch of events at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.anomaly.bank import NEVER_PAGES, BankDetector, BankFigures, EpisodePhase, Limits, Paging, Verdict
from models.anomaly.base import ALARM_SCORE, LARGEST, RELATIVE_SCALE, SMALLEST_SCALE
from models.anomaly.rounds import Grid, Index, Rounds
from models.anomaly.state import Stateful
from models.anomaly.verdicts import (
    NOTHING,
    BatchVerdicts,
    Bytes,
    Expired,
    Flagged,
    Floats,
    Slots,
    grade,
    grade_beyond,
    graded,
    score_beyond,
)

Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]

UNUSED_MS: Final = int(np.iinfo(np.int64).min)
"""Last time of a slot that no series holds."""

_FIRST_CAPACITY: Final = 1024

_AT_ONCE: Final = 8192
"""Events stepped at once: so few that most series stay quiet throughout and that arrays stay in the cache."""

_QUIET_NARROW: Final = 16
"""A quiet round over fewer series than this costs more on arrays than its events do one by one."""

_QUIET_WIDE: Final = 1024
"""Rounds over so many series cost next to nothing an event as they are."""


@dataclass
class SeriesBank(Stateful):
    """Judge and learn batches of events of many series, each as a `BankDetector` of its own would.

    A series is known by its slot, a small number that the caller chooses and opens first. Events of one
    series are judged in the order of the batch. Times tell how long a series is known, and which are idle.

    A series costs 112 bytes; the arrays double as slots are opened. Events are not checked beyond assertions
    that values are finite and slots open: the caller has refused others already.

    Args:
        figures: Shared by all series.

    Example:
        >>> from models.budget.evidence import EvidenceFigures
        >>> figures = BankFigures(rate=0.002, scoring_samples=50, baseline_samples=100, high=3.0,
        ...                       critical=5.0, flagged_weight=0.1, relearn_after=1000,
        ...                       open_after=(3, 2, 2, 1), clear_after=5, page_after=2,
        ...                       evidence=EvidenceFigures(2.0, 1.0, 10.0, 2.5, 0, 1e8, 0.01))
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
    _opened_ms: Times = field(init=False)
    _last_ms: Times = field(init=False)
    _far_run: npt.NDArray[np.int32] = field(init=False)
    _flagged_run: npt.NDArray[np.int32] = field(init=False)
    _normal_run: npt.NDArray[np.int32] = field(init=False)
    _worse: Bytes = field(init=False)
    _open_severity: Bytes = field(init=False)
    _evidence: Floats = field(init=False)
    _episodes: Floats = field(init=False)
    _log_sum: Floats = field(init=False)
    _static_episodes: Floats = field(init=False)
    _crossed: npt.NDArray[np.bool_] = field(init=False)
    _paged: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        for name, dtype in _COLUMNS.items():
            setattr(self, name, np.zeros(0, dtype))

    @property
    def capacity(self) -> int:
        """Slots there is room for without growing."""
        return len(self._mean)

    def open(self, slot: int, limits: Limits, time_ms: int) -> None:
        """Let a new series hold a slot, whatever was in it before."""
        self.open_many([slot], [limits], [time_ms])

    def open_many(self, slots: Sequence[int], limits: Sequence[Limits], time_ms: Sequence[int]) -> None:
        """Let a new series hold each slot, whatever was in it before."""
        while max(slots, default=-1) >= self.capacity:
            self._grow(max(2 * self.capacity, _FIRST_CAPACITY))
        at = np.array(slots, dtype=np.intp)
        for name in _COLUMNS:
            getattr(self, name)[at] = 0
        self._warn[at] = [each.warn for each in limits]
        self._critical[at] = [each.critical for each in limits]
        self._noise[at] = [max(each.noise, SMALLEST_SCALE) for each in limits]
        self._worse[at] = [each.worse for each in limits]
        self._opened_ms[at] = self._last_ms[at] = time_ms

    def expire_before(self, time_ms: int) -> Expired:
        """Free the slots of series whose newest event, or opening, is older than a time."""
        idle = (self._last_ms < time_ms) & (self._last_ms != UNUSED_MS)
        slots = np.flatnonzero(idle).astype(np.int32)
        self._last_ms[slots] = UNUSED_MS
        return Expired(slots, self._open_severity[slots])

    def step_many(
        self,
        slots: Slots,
        time_ms: Times,
        values: Floats,
        page_log_p: Floats | float = NEVER_PAGES,
    ) -> BatchVerdicts:
        """Judge each event, then learn it, in the order of the batch.

        Args:
            slots: int32[n], open slots.
            time_ms: int64[n], event times.
            values: float64[n], finite.
            page_log_p: ln of the p-value from which an episode pages, for all or for each event.
        """
        assert np.isfinite(values).all(), "a value is not finite"
        values = np.clip(values, -LARGEST, LARGEST)
        places = slots.astype(np.intp)  # what numpy indexes with: any other integer is converted at each use
        score = np.zeros(len(values))
        levels = np.broadcast_to(page_log_p, score.shape)
        self._see(places, time_ms)
        flagged = [NOTHING]
        for start in range(0, len(values), _AT_ONCE):
            rounds = Rounds.of(slots[start : start + _AT_ONCE], start)
            flagged += self._step_rounds(rounds, places, time_ms, values, score, levels)
        columns = [np.concatenate(column) for column in zip(*flagged, strict=True)]
        in_order = np.argsort(columns[0])
        return BatchVerdicts(score, *(column[in_order] for column in columns))

    def _step_rounds(
        self, rounds: Rounds, places: Index, time_ms: Times, values: Floats, score: Floats, levels: Floats
    ) -> Iterator[Flagged]:
        rest = rounds
        if len(rounds.count) < _QUIET_WIDE:
            rest = rounds.after(self._step_quiet(rounds, places, values, score))
        for events in rest.wide():
            yield self._step_round(places[events], time_ms, values[events], events, score, levels)
        special: list[tuple[int, Verdict]] = []
        for events in rest.rest():
            special += self._step_series(
                int(places[events[0]]), time_ms, values[events], events, score, levels
            )
        if special:
            yield Flagged.of(special).told()

    def _step_quiet(self, rounds: Rounds, places: Index, values: Floats, score: Floats) -> Index:
        """Judge and learn the first events of each series while they are nothing special; return how many.

        What `BankDetector.step_quiet` does, for all series side by side: baselines walk on as if no event
        were special, then all events are judged at once, and each series goes back to before its first
        special one. The arithmetic is that of `_step_round`, in the same order.
        """
        figures = self.figures
        grid = rounds.grid(_QUIET_NARROW)
        slot = places[rounds.order[rounds.first]]
        count, value, of = self._count[slot], values[grid.events], slot[grid.rank]
        seen = count[grid.rank] + grid.number
        mean, variance = self._mean[slot], self._variance[slot]
        before = _walk(grid, value, np.maximum(figures.rate, 1.0 / (seen + 1.0)), mean, variance)

        scale = np.maximum(
            np.sqrt(before[1]), np.maximum(RELATIVE_SCALE * np.abs(before[0]), self._noise[of])
        )
        deviation = (value - before[0]) / scale * (seen >= figures.scoring_samples)
        distance = np.abs(deviation)
        score[grid.events] = ALARM_SCORE * (distance * (deviation * self._worse[of] >= 0.0)) / figures.high
        warn = self._warn[of]
        crossed = (value - warn) / (self._critical[of] - warn)
        special = np.flatnonzero((distance >= figures.high) | (crossed >= 0.0))

        done = np.minimum(rounds.count, len(grid.edges) - 1)
        whole = done.copy()
        np.minimum.at(done, grid.rank[special], grid.number[special])
        done[(self._flagged_run[slot] > 0) | (self._far_run[slot] > 0)] = 0
        back = np.flatnonzero(done < whole)
        mean[back], variance[back] = before[:, grid.edges[done[back]] + back]
        self._mean[slot], self._variance[slot], self._count[slot] = mean, variance, count + done
        return done

    def _grow(self, capacity: int) -> None:
        for name, dtype in _COLUMNS.items():
            column = getattr(self, name)
            grown = np.full(capacity, UNUSED_MS if name == "_last_ms" else 0, dtype)
            grown[: len(column)] = column
            setattr(self, name, grown)

    def _see(self, slots: Index, time_ms: Times) -> None:
        """Remember the newest time of each series."""
        assert (self._last_ms[slots] != UNUSED_MS).all(), "a slot is not open"
        np.maximum.at(self._last_ms, slots, time_ms)

    def _step_round(
        self, slot: Index, time_ms: Times, value: Floats, events: Index, score: Floats, page_log_p: Floats
    ) -> Flagged:
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
        fresh, flagged = at[:0], NOTHING
        if len(at):
            score[events[at]] = np.maximum(graded(strength[at], figures), score_beyond(crossed[at]))
            severity = np.maximum(grade(strength[at], count[at], figures), grade_beyond(crossed[at]))
            sigmas = np.where(count[at] >= figures.scoring_samples, deviation[at], np.nan)
            bound = self._bound_crossed(slot[at], crossed[at])
            log_p = self._move_evidence(
                slot[at], time_ms[events[at]], severity > 0, strength[at], crossed[at]
            )
            phase, pages = self._move_episodes(slot[at], severity, log_p <= page_log_p[events[at]])
            flagged = Flagged(events[at], severity, mean[at], sigmas, bound, phase, log_p, pages).told()
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
        self._episodes[slot[fresh]] = 0.0
        self._log_sum[slot[fresh]] = 0.0
        return flagged

    def _move_evidence(
        self, slot: Index, time_ms: Times, bad: Bools, strength: Floats, crossed: Floats
    ) -> Floats:
        """Add to the evidence of the running episodes, where they have not paged; return its ln p-values."""
        figures = self.figures.evidence
        excess = np.maximum(strength / self.figures.high, np.where(crossed >= 0.0, 1.0 + crossed, 0.0))
        grows = bad & ~self._paged[slot]
        evidence = self._evidence[slot] + np.where(grows, np.minimum(excess, figures.most_excess), 0.0)
        over_critical = self._crossed[slot] | (bad & (crossed >= 1.0))
        self._evidence[slot], self._crossed[slot] = evidence, over_critical
        log_p = np.zeros(len(slot))
        some = np.flatnonzero(bad)
        of = slot[some]
        log_p[some] = figures.log_p(
            time_ms[some] - self._opened_ms[of],
            self._count[of],
            self._episodes[of],
            self._log_sum[of],
            evidence[some],
            self._static_episodes[of],
            over_critical[some],
        )
        return log_p

    def _move_episodes(self, slot: Index, severity: Bytes, rare: Bools) -> tuple[Bytes, Bytes]:
        """Return what each event changes about its series' episode and whether that pages; change it."""
        figures = self.figures
        open_severity = self._open_severity[slot]
        flagged_run, normal_run = self._flagged_run[slot] + 1, self._normal_run[slot] + 1
        bad, running = severity > 0, open_severity > 0
        enough = flagged_run >= np.array((0, *figures.open_after))[severity]
        phase = np.zeros(len(slot), np.int8)
        phase[bad & ~running & enough] = EpisodePhase.STARTED
        paged = self._paged[slot]
        lasts = (flagged_run >= figures.page_after) | self._crossed[slot]
        now = ~paged & rare & bad & lasts & (running | enough)
        phase[bad & running & ((severity > open_severity) | now)] = EpisodePhase.WORSENED
        phase[~bad & running & (normal_run >= figures.clear_after)] = EpisodePhase.ENDED

        over = ~bad & (~running | (phase == EpisodePhase.ENDED))
        risen = bad & (phase > 0)
        self._learn_episodes(slot[over & (flagged_run > 1)])
        self._paged[slot] = (paged | now) & ~over
        highest = np.maximum(severity, open_severity)
        self._open_severity[slot] = np.where(over, 0, np.where(risen, highest, open_severity))
        self._flagged_run[slot] = np.where(over, 0, np.where(bad, flagged_run, flagged_run - 1))
        self._normal_run[slot] = np.where(over | bad, 0, normal_run)
        return phase, np.where(now, Paging.NOW, np.where(paged, Paging.BEFORE, Paging.NO)).astype(np.int8)

    def _learn_episodes(self, over: Index) -> None:
        """Learn how much evidence each episode had that is over."""
        self._episodes[over] += 1.0
        self._log_sum[over] += np.log(self._evidence[over])
        self._static_episodes[over] += self._crossed[over]
        self._evidence[over] = 0.0
        self._crossed[over] = False

    def _count_far(self, slot: Index, far: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Count the samples in a row far from the baseline; return where it starts afresh."""
        run = np.where(far, self._far_run[slot] + 1, 0)
        afresh = run >= self.figures.relearn_after
        self._far_run[slot] = np.where(afresh, 0, run)
        return afresh

    def _bound_crossed(self, slot: Index, crossed: Floats) -> Floats:
        bound = np.where(crossed >= 1.0, self._critical[slot], self._warn[slot])
        return np.where(crossed >= 0.0, bound, np.nan)

    def _step_series(
        self, slot: int, time_ms: Times, values: Floats, events: Index, score: Floats, page_log_p: Floats
    ) -> list[tuple[int, Verdict]]:
        """Judge and learn several events of one series, one by one; return those that are special."""
        detector = BankDetector(self.figures, self._limits(slot), self._opened_ms.item(slot))
        for name, column in _LEARNED:
            setattr(detector, name, getattr(self, column).item(slot))
        scores: list[float] = []
        special: list[tuple[int, Verdict]] = []
        samples = values.tolist()
        while len(scores) < len(samples):
            scores += detector.step_quiet(samples, len(scores))
            if len(scores) < len(samples):
                event = int(events[len(scores)])
                verdict = detector.step_one(time_ms.item(event), samples[len(scores)], page_log_p.item(event))
                special.append((event, verdict))
                scores.append(verdict.score)
        for name, column in _LEARNED:
            getattr(self, column)[slot] = getattr(detector, name)
        score[events] = scores
        return special

    def _limits(self, slot: int) -> Limits:
        return Limits(
            self._worse.item(slot), self._warn.item(slot), self._critical.item(slot), self._noise.item(slot)
        )


_COLUMNS: Final[dict[str, Any]] = {
    "_mean": np.float64,
    "_variance": np.float64,
    "_count": np.float64,
    "_warn": np.float64,
    "_critical": np.float64,
    "_noise": np.float64,
    "_opened_ms": np.int64,
    "_last_ms": np.int64,
    "_far_run": np.int32,
    "_flagged_run": np.int32,
    "_normal_run": np.int32,
    "_worse": np.int8,
    "_open_severity": np.int8,
    "_evidence": np.float64,
    "_episodes": np.float64,
    "_log_sum": np.float64,
    "_static_episodes": np.float64,
    "_crossed": np.bool_,
    "_paged": np.bool_,
}

_LEARNED: Final = tuple(
    (name, f"_{name}")
    for name in (
        "mean",
        "variance",
        "count",
        "far_run",
        "flagged_run",
        "normal_run",
        "open_severity",
        "evidence",
        "episodes",
        "log_sum",
        "static_episodes",
        "crossed",
        "paged",
    )
)
"""What a `BankDetector` learns, and the columns that hold it."""


def _walk(grid: Grid, value: Floats, weight: Floats, mean: Floats, variance: Floats) -> Floats:
    """Learn the events of a grid into mean and variance of their series; return what each event met."""
    before = np.empty((2, len(value)))
    rest = 1.0 - weight
    for start, end in pairwise(grid.edges.tolist()):
        level, spread = mean[: end - start], variance[: end - start]
        before[0, start:end], before[1, start:end] = level, spread
        difference = value[start:end] - level
        moved = weight[start:end] * difference
        level += moved
        moved *= difference
        spread += moved
        spread *= rest[start:end]
    return before
