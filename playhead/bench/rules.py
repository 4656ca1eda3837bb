"""The rules of one series in plain Python: baseline, bounds, episodes, as one would write them oneself.

They start and end episodes exactly as `models.anomaly.bank.BankDetector` does, and leave out what it does on
top: the evidence and the budget of pages. This module needs nothing but the standard library, as programs in
environments of their own run it. The Kafka Streams program says the same in Java.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

State = list[float]
"""mean, variance, count, far run, flagged run, normal run, open severity."""


class Change(NamedTuple):
    """What a sample changes about its series' episode."""

    phase: str
    """`start`, `update` or `end`."""
    severity: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The figures; they mean what they mean in `BankFigures` and `Limits`."""

    rate: float
    scoring_samples: int
    baseline_samples: int
    high: float
    critical: float
    flagged_weight: float
    relearn_after: int
    open_after: list[int]
    clear_after: int
    relative_scale: float
    worse: int
    warn_bound: float
    critical_bound: float
    noise: float

    def step(self, state: State, value: float) -> Change | None:
        """Judge a sample of the series whose state is given, then learn it."""
        mean, variance, count, far_run, flagged_run, normal_run, open_severity = state
        scale = max(math.sqrt(variance), self.relative_scale * abs(mean), self.noise)
        difference = value - mean
        deviation = difference / scale if count >= self.scoring_samples else 0.0
        severity = self._severity(deviation, count, value)

        change = None
        if severity > 0:
            flagged_run += 1
            normal_run = 0
            if open_severity == 0:
                if flagged_run >= self.open_after[severity - 1]:
                    change = Change("start", severity)
            elif severity > open_severity:
                change = Change("update", severity)
            if change is not None:
                open_severity = max(open_severity, severity)
        elif open_severity == 0:
            flagged_run = normal_run = 0
        else:
            normal_run += 1
            if normal_run >= self.clear_after:
                change = Change("end", int(open_severity))
                flagged_run = normal_run = open_severity = 0

        weight = max(self.rate, 1.0 / (count + 1.0))
        if abs(deviation) >= self.high:
            far_run += 1
            if far_run >= self.relearn_after:
                state[:] = (value, 0.0, 1.0, 0, flagged_run, normal_run, open_severity)
                return change
            weight *= self.flagged_weight
            difference = math.copysign(self.high * scale, difference)
        else:
            far_run = 0
        moved = weight * difference
        variance = (1.0 - weight) * (variance + moved * difference)
        state[:] = (mean + moved, variance, count + 1.0, far_run, flagged_run, normal_run, open_severity)
        return change

    def _severity(self, deviation: float, count: float, value: float) -> int:
        strength = abs(deviation) if deviation * self.worse >= 0.0 else 0.0
        crossed = (value - self.warn_bound) / (self.critical_bound - self.warn_bound)
        beyond = 4 if crossed >= 1.0 else 2 if crossed >= 0.0 else 0
        if strength < self.high:
            return beyond
        young = count < self.baseline_samples
        if strength < self.critical:
            return max(1 if young else 3, beyond)
        return max(2 if young else 4, beyond)


def fresh() -> State:
    """Return the state of a series that nothing is known of."""
    return [0.0] * 7
