"""Verdicts on a batch of events as columns: the vectorised forms of `bank.Verdict` and of its grades."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.anomaly.bank import BankFigures, Verdict
from models.anomaly.base import ALARM_SCORE, CRITICAL_SCORE
from models.anomaly.rounds import Index
from topics.anomalies import Severity

Floats = npt.NDArray[np.float64]
Slots = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.int8]


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
    log_p: Floats
    pages: Bytes


class Expired(NamedTuple):
    """Slots freed, and the severity of the episode each had open, 0 where none."""

    slots: Slots
    open_severity: Bytes


class Flagged(NamedTuple):
    """`BatchVerdicts` without the scores, in the order of a round."""

    event: Index
    severity: Bytes
    baseline: Floats
    deviation_sigmas: Floats
    bound: Floats
    phase: Bytes
    log_p: Floats
    pages: Bytes

    @classmethod
    def of(cls, verdicts: list[tuple[int, Verdict]]) -> Flagged:
        """Return verdicts as columns."""
        return cls(
            np.array([event for event, _ in verdicts], np.int64),
            np.array([verdict.severity for _, verdict in verdicts], np.int8),
            np.array([verdict.baseline for _, verdict in verdicts], np.float64),
            np.array([verdict.deviation_sigmas for _, verdict in verdicts], np.float64),
            np.array([verdict.bound for _, verdict in verdicts], np.float64),
            np.array([verdict.phase for _, verdict in verdicts], np.int8),
            np.array([verdict.log_p for _, verdict in verdicts], np.float64),
            np.array([verdict.pages for _, verdict in verdicts], np.int8),
        )

    def told(self) -> Flagged:
        """Return only the events that are flagged or change an episode."""
        told = (self.severity > 0) | (self.phase > 0)
        return self if told.all() else Flagged._make(column[told] for column in self)


NOTHING: Final = Flagged.of([])


def graded(strength: Floats, figures: BankFigures) -> Floats:
    """`base.graded` of each strength."""
    high, critical = figures.high, figures.critical
    step = CRITICAL_SCORE - ALARM_SCORE
    beyond = 1.0 - (1.0 - CRITICAL_SCORE) * critical / np.maximum(strength, critical)
    between = ALARM_SCORE + step * (strength - high) / (critical - high)
    return np.where(
        strength < high,
        ALARM_SCORE * strength / high,
        np.where(strength < critical, between, beyond),
    )


def score_beyond(crossed: Floats) -> Floats:
    """`thresholds.score_beyond` of each progress."""
    beyond = 1.0 - (1.0 - CRITICAL_SCORE) / np.fmax(crossed, 1.0)
    between = ALARM_SCORE + (CRITICAL_SCORE - ALARM_SCORE) * crossed
    return np.where(crossed >= 1.0, beyond, np.where(crossed >= 0.0, between, 0.0))


def grade(strength: Floats, count: Floats, figures: BankFigures) -> Bytes:
    """Return the severity of each strength, for series that have seen so many samples."""
    provisional = count < figures.baseline_samples
    high = np.where(provisional, Severity.LOW, Severity.HIGH)
    critical = np.where(provisional, Severity.MEDIUM, Severity.CRITICAL)
    beyond = np.where(strength >= figures.critical, critical, high)
    return np.where(strength >= figures.high, beyond, 0).astype(np.int8)


def grade_beyond(crossed: Floats) -> Bytes:
    """Return the severity of each progress from a warning bound towards the critical one."""
    beyond = np.where(crossed >= 1.0, Severity.CRITICAL, Severity.MEDIUM)
    return np.where(crossed >= 0.0, beyond, 0).astype(np.int8)
