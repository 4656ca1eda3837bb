"""What is known of a scope, what a window shows of it, and when that is trouble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from config.sections import QoeSettings
from models.cohort_stats import Departure
from models.qoe_baselines import Baselines
from models.qoe_cells import Cohort, Leaves
from models.qoe_episodes import Episode
from models.qoe_hours import Factors
from models.qoe_measures import Row, bounds, viewers_hurt
from topics.anomalies import Severity


class Scope(msgspec.Struct):
    """What is known of one scope, or of all of them together."""

    baselines: Baselines = msgspec.field(default_factory=Baselines)
    episodes: list[Episode] = []
    seen_ms: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """A cohort that departs so far that it is trouble."""

    cohort: Cohort
    departure: Departure
    severity: Severity


@dataclass(frozen=True, slots=True)
class Seen:
    """A scope in a window: what it is made of, and what departs in it, worst first."""

    scope: Scope
    leaves: Leaves
    cohorts: list[Cohort]
    priors: Mapping[str, float]
    """By metric, the baseline of a cohort without a past."""
    factors: Factors
    """What the hour does to what is expected."""
    findings: list[Finding]


class Verdicts:
    """Says which departures are trouble: certain, beyond their bound, and felt by viewers."""

    def __init__(self, qoe: QoeSettings) -> None:
        self._qoe = qoe
        self._bounds = bounds(qoe)

    def worst_first(self, departures: Iterable[tuple[Cohort, Departure]]) -> list[Finding]:
        """Return the departures that are trouble."""
        found = []
        for cohort, departure in departures:
            severity = self.severity(departure)
            if severity is not None and self.hurt(cohort.sums, departure) >= self._qoe.min_impact_viewers:
                found.append(Finding(cohort, departure, severity))
        return sorted(found, key=lambda finding: (-finding.severity, -finding.departure.sigmas))

    def severity(self, departure: Departure) -> Severity | None:
        """Return how bad a departure is: it must be certain, and beyond its bound."""
        bound, measured = self._bounds[departure.metric], self._measured(departure)
        if departure.sigmas < self._qoe.sigmas_high or measured < bound.warn:
            return None
        if measured >= bound.critical and departure.sigmas >= self._qoe.sigmas_critical:
            return Severity.CRITICAL
        return Severity.HIGH

    def lasts(self, departure: Departure) -> bool:
        """Whether it is trouble still, held to half of what starts an episode."""
        half = self._bounds[departure.metric].warn / 2
        return self.stands_out(departure) and self._measured(departure) >= half

    def stands_out(self, departure: Departure) -> bool:
        """Whether it is half as certain as what starts an episode."""
        return departure.sigmas >= self._qoe.sigmas_high / 2

    @staticmethod
    def hurt(sums: Row, departure: Departure) -> float:
        """Return how many viewers a departure reaches."""
        return viewers_hurt(sums, departure.metric, departure.value, departure.baseline, departure.excess)

    def _measured(self, departure: Departure) -> float:
        return departure.value if self._bounds[departure.metric].of_value else departure.rise
