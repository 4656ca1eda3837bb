"""What the hour does to a measure: factors by time of day, and of the week once that is known.

Evenings are worse in many services: more watch, and what is shared is full. A baseline of the last minutes
learns that only after it has come. So each measure of a scope has a profile: what its whole audience sees in
an hour over what it sees in all hours. Baselines are learned without it; what is expected now is the
baseline times the factor of now.

A profile has a value for each hour of the day and, once some weeks are known, of the week. Values between the
middles of two hours are interpolated, for audiences come and go by the minute. They are shrunk towards 1,
those of the week towards those of the day, by how much was seen; a day cannot move one far by itself, for
what it saw may have been trouble. Hours are those of UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.sections import QoeSettings
from models.cohort_stats import AS_EVER, Factor

HOUR_MS: Final = 3_600_000
DAY_HOURS: Final = 24
WEEK_HOURS: Final = 168
MEAN, SEEN = 0, 1
Rows = NDArray[np.float32]
MOST_OFF: Final = 2.0
"""A day counts in its hour as no more than this many times, nor less than one over this, of what it was."""


class Profile(msgspec.Struct):
    """What the hours do to one measure."""

    first: int = -1
    """The first hour learned, since the epoch."""
    hour: int = -1
    """The hour that is running ..."""
    over: float = 0.0
    """... and what was counted in it, above ..."""
    under: float = 0.0
    """... and below the line."""
    mean: float = 0.0
    """Of all hours of the day that are known."""
    hours: bytes = b""
    """Float32, shape (24 + 168, 3): of each hour of the day, then of the week, its mean, the days or weeks
    seen and the bad units of late. There may be thousands of profiles.
    """

    def learn(self, time_ms: int, over: float, under: float, memory: int) -> None:
        """Take a window in: the sums of a proportion, or a level and 1.

        Args:
            memory: a day weighs in its hour as one of all seen, and never less than one of so many.
        """
        hour = time_ms // HOUR_MS
        if hour != self.hour:
            self._close(memory)
            self.hour = hour
            self.first = hour if self.first < 0 else self.first
        self.over += over
        self.under += under

    def rows(self) -> Rows:
        """Return `hours` as it is meant."""
        return np.frombuffer(self.hours, np.float32).reshape(-1, 3)

    def _close(self, memory: int) -> None:
        if self.under > 0:
            rows = self.rows().copy() if self.hours else np.zeros((DAY_HOURS + WEEK_HOURS, 3), np.float32)
            for place in (self.hour % DAY_HOURS, DAY_HOURS + self.hour % WEEK_HOURS):
                mean, seen, units = rows[place].tolist()
                rows[place] = _with_a_day(mean, seen, units, self.over / self.under, self.over, memory)
            known = rows[:DAY_HOURS, SEEN] > 0
            self.mean = float(rows[:DAY_HOURS, MEAN][known].mean())
            self.hours = rows.tobytes()
        self.over = self.under = 0.0


def _with_a_day(
    mean: float, seen: float, units: float, value: float, more_units: float, memory: int
) -> tuple[float, float, float]:
    if seen and mean > 0:
        value = min(max(value, mean / MOST_OFF), mean * MOST_OFF)
    weight = 1 / min(seen + 1, memory)
    return mean + weight * (value - mean), seen + 1, units + more_units - (units / memory if seen else 0.0)


@dataclass(frozen=True, slots=True)
class Factors:
    """What is expected now, as multiples of what baselines say; 1 where nothing is known of the hour."""

    shares: Mapping[str, Factor] = field(default_factory=dict)
    """By metric that is a proportion."""
    levels: Mapping[str, Factor] = field(default_factory=dict)
    """By metric that is a mean, or told as a percentile."""

    def share(self, metric: str) -> Factor:
        """Return the factor of a proportion."""
        return self.shares.get(metric, AS_EVER)

    def level(self, metric: str) -> Factor:
        """Return the factor of a level."""
        return self.levels.get(metric, AS_EVER)


NO_FACTORS: Final = Factors()


class Hours(msgspec.Struct):
    """The profiles of one scope."""

    shares: dict[str, Profile] = {}
    levels: dict[str, Profile] = {}

    def factors(self, time_ms: int, qoe: QoeSettings) -> Factors:
        """Return the factors at `time_ms`."""
        if not self.shares and not self.levels:
            return NO_FACTORS
        return Factors(
            {name: self.share_at(name, time_ms, qoe) for name in self.shares},
            {name: factor(each, time_ms, qoe, 0.0) for name, each in self.levels.items()},
        )

    def share_at(self, metric: str, time_ms: int, qoe: QoeSettings) -> Factor:
        """Return the factor of one proportion."""
        profile = self.shares.get(metric)
        return AS_EVER if profile is None else factor(profile, time_ms, qoe, qoe.hour_prior_units)


def factor(profile: Profile, time_ms: int, qoe: QoeSettings, prior_units: float) -> Factor:
    """Return what the time does to a measure, as a multiple of what it is on the average of the day.

    Where one hour is much unlike the next, it is not known when in it the measure changes, nor, of few days,
    how far: the factor is the less sure, until baselines have learned it too.

    Args:
        prior_units: so many bad units are held to have been seen at the average.

    Example:
        >>> from config import load
        >>> qoe, profile = load({}).settings.qoe, Profile()
        >>> for hour in range(49):
        ...     profile.learn(hour * HOUR_MS, 12.0 if hour % 24 >= 18 else 5.0, 1_000.0, memory=4)
        >>> noon, six, eleven = (factor(profile, int(at * HOUR_MS), qoe, 0.0) for at in (12, 18, 23))
        >>> [f"{each.times:.2f} +- {each.unsure:.2f}" for each in (noon, six, eleven)]
        ['0.79 +- 0.00', '1.21 +- 0.37', '1.62 +- 0.00']
    """
    known = profile.hour - profile.first
    if qoe.hour_most <= 1 or known < qoe.hour_least_days * DAY_HOURS or profile.mean <= 0:
        return AS_EVER
    weekly = known >= qoe.hour_least_weeks * WEEK_HOURS
    middle = time_ms / HOUR_MS - 0.5
    before = int(middle // 1)
    share = middle - before
    last, here, after = (
        _of_hour(profile, hour, qoe, prior_units, weekly) for hour in (before - 1, before, before + 1)
    )
    times = min(max((1 - share) * here.value + share * after.value, 1 / qoe.hour_most), qoe.hour_most)
    values = last.value, here.value, after.value
    doubt = 0.25 + 1 - min(here.weight, after.weight)
    return Factor(times, doubt * (max(values) - min(values)))


class _OfHour(NamedTuple):
    value: float
    weight: float
    """How much of it is its own, not what it was drawn to."""


def _of_hour(profile: Profile, hour: int, qoe: QoeSettings, prior_units: float, weekly: bool) -> _OfHour:
    rows = profile.rows()
    found = _shrunk(profile.mean, rows[hour % DAY_HOURS].tolist(), 1.0, qoe, prior_units)
    if weekly:
        row = rows[DAY_HOURS + hour % WEEK_HOURS].tolist()
        of_week = _shrunk(profile.mean, row, found.value, qoe, prior_units)
        return _OfHour(of_week.value, max(found.weight, of_week.weight))
    return found


def _shrunk(whole: float, row: list[float], towards: float, qoe: QoeSettings, prior_units: float) -> _OfHour:
    """Return an hour over the mean of all, drawn to `towards` as far as little was seen of it."""
    mean, seen, units = row
    if not seen:
        return _OfHour(towards, 0.0)
    weight = seen / (seen + qoe.hour_prior_days)
    if prior_units:
        weight *= units / (units + prior_units)
    return _OfHour(towards + weight * (mean / whole - towards), weight)
