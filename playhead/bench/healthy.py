"""Simulated healthy series of the kinds that make detectors cry wolf, many at once and a minute at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Draw = Callable[["Fleet", slice], Floats]

DAY_MINUTES: Final = 1440


@dataclass
class Fleet:
    """So many series, in equal parts of each kind, drawn step by step.

    Args:
        series: How many.
        seed: Of everything random.
        minutes_per_step: Cadence.
    """

    series: int
    seed: int
    minutes_per_step: int = 1
    step: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.phase = self.rng.uniform(0.0, 1.0, self.series)
        self.scale = np.exp(self.rng.uniform(-2.0, 4.0, self.series))
        self.rate = np.exp(self.rng.uniform(-3.0, 4.0, self.series))
        self.level = np.zeros(self.series)
        self.parts = {
            kind: slice(int(part[0]), int(part[-1]) + 1)
            for kind, part in zip(KINDS, np.array_split(np.arange(self.series), len(KINDS)), strict=True)
        }

    def draw(self) -> Floats:
        """Return the next value of each series, float64[series]."""
        values = np.empty(self.series)
        for kind, part in self.parts.items():
            values[part] = KINDS[kind](self, part)
        self.step += 1
        return values

    def day(self, part: slice) -> Floats:
        """Return where in its day each series is, 0 to 1."""
        day: Floats = self.phase[part] + self.step * self.minutes_per_step / DAY_MINUTES
        return day

    def count(self, part: slice) -> int:
        """Return how many series a part has."""
        return len(self.level[part])

    def normal(self, part: slice) -> Floats:
        """Return standard normal noise."""
        return self.rng.standard_normal(self.count(part))

    def follow(self, part: slice, memory: float, noise: Floats) -> Floats:
        """Return autoregressive levels of the first order, moved on by noise."""
        self.level[part] = memory * self.level[part] + noise
        level: Floats = self.level[part]
        return level


def _gaussian(fleet: Fleet, part: slice) -> Floats:
    return fleet.scale[part] * (10.0 + fleet.normal(part))


def _heavy_tailed(fleet: Fleet, part: slice) -> Floats:
    return fleet.scale[part] * (10.0 + fleet.rng.standard_t(3.0, fleet.count(part)))


def _skewed(fleet: Fleet, part: slice) -> Floats:
    values: Floats = fleet.scale[part] * np.exp(fleet.normal(part))
    return values


def _autocorrelated(fleet: Fleet, part: slice) -> Floats:
    return fleet.scale[part] * (100.0 + fleet.follow(part, 0.9, fleet.normal(part)))


def _slow(fleet: Fleet, part: slice) -> Floats:
    return fleet.scale[part] * (100.0 + fleet.follow(part, 0.99, fleet.normal(part)))


def _wave(fleet: Fleet, part: slice) -> Floats:
    return fleet.scale[part] * (20.0 + 5.0 * np.sin(2 * np.pi * fleet.day(part)) + fleet.normal(part))


def _peak(fleet: Fleet, part: slice) -> Floats:
    peak = np.exp(4.0 * (np.sin(2 * np.pi * fleet.day(part)) - 1.0))
    return fleet.scale[part] * (10.0 + 20.0 * peak + fleet.normal(part))


def _counts(fleet: Fleet, part: slice) -> Floats:
    return fleet.rng.poisson(fleet.rate[part]).astype(np.float64)


def _ratio(fleet: Fleet, part: slice) -> Floats:
    return fleet.rng.binomial(200, 0.002, fleet.count(part)) / 200.0


def _bursts(fleet: Fleet, part: slice) -> Floats:
    volatility = fleet.follow(part, 0.97, 0.2 * fleet.normal(part))
    return fleet.scale[part] * (50.0 + np.exp(volatility / 2.0) * fleet.normal(part))


KINDS: Final[dict[str, Draw]] = {
    "gaussian": _gaussian,
    "heavy-tailed (t, 3 degrees)": _heavy_tailed,
    "skewed (lognormal)": _skewed,
    "autocorrelated (0.9)": _autocorrelated,
    "slow (0.99)": _slow,
    "daily wave": _wave,
    "daily peak": _peak,
    "counts (0.05 to 50)": _counts,
    "ratio (of 200)": _ratio,
    "volatile in bursts": _bursts,
}
"""How the next value of each kind is drawn."""
