"""How long it takes to name the causes of a bad window at a million viewers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from config import Settings
from models.localisation import Cells, Localiser
from topics.fields import Cell

SIZES: Final = {
    "cdn": 5,
    "isp": 40,
    "region": 30,
    "device": 6,
    "platform": 8,
    "bitrate_kbps": 7,
    "p2p": 2,
    "app_version": 8,
}
"""How many values each dimension has."""
DIMENSIONS: Final = tuple(SIZES)
LEAVES: Final = 5_000
HEALTHY: Final = 0.02
SUFFERING: Final = 0.25

SCENARIOS: Final[dict[str, tuple[Cell, ...]]] = {
    "in health": (),
    "one CDN": ({"cdn": "2"},),
    "one ISP on one CDN": ({"cdn": "1", "isp": "3"},),
    "a CDN and a release": ({"cdn": "2"}, {"app_version": "5"}),
    "everyone": ({},),
}
"""What is at fault."""


class LocaliseCost(msgspec.Struct, frozen=True, kw_only=True):
    """What it took to explain one window."""

    scenario: str
    viewers: int
    leaf_cells: int
    windows_learned: int
    explain_ms: float
    """Median of the rounds."""
    explain_most_ms: float
    cpu_ms: float
    """CPU time of the median round: what it takes where nothing else runs."""
    causes: list[Cell]
    """Those that act, as named."""
    right: bool
    """Whether they are those at fault."""


@dataclass(frozen=True, slots=True)
class Population:
    """Viewers in leaf cells of very different size, whose rates differ and wander."""

    values: list[tuple[str, ...]]
    viewers: NDArray[np.float64]
    healthy: NDArray[np.float64]

    @classmethod
    def of(cls, viewers: int, seed: int) -> Population:
        """Return a population whose large values of each dimension are few, as those of real ones are."""
        rng = np.random.default_rng(seed)
        columns = [rng.choice(size, 4 * LEAVES, p=_zipf(size)) for size in SIZES.values()]
        codes = np.unique(np.stack(columns, axis=1), axis=0)
        codes = codes[rng.permutation(len(codes))[:LEAVES]]
        weights = rng.lognormal(0.0, 1.0, len(codes))
        habits = [rng.normal(0.0, 0.2, size) for size in SIZES.values()]
        healthy = HEALTHY * np.exp(sum(habit[codes[:, axis]] for axis, habit in enumerate(habits)))
        values = [tuple(str(code) for code in row) for row in codes.tolist()]
        return cls(values, viewers * weights / weights.sum(), np.minimum(healthy, 0.2))

    def window(self, rng: np.random.Generator, *faults: Cell) -> Cells:
        """Return a window in which the viewers of `faults` suffer."""
        total = rng.poisson(self.viewers)
        rate = self.healthy * np.exp(rng.normal(0.0, 0.03))
        for fault in faults:
            places = [(DIMENSIONS.index(name), value) for name, value in fault.items()]
            inside = np.array([all(leaf[at] == value for at, value in places) for leaf in self.values])
            rate = np.where(inside, np.maximum(rate, SUFFERING), rate)
        return Cells.of(DIMENSIONS, self.values, rng.binomial(total, rate), total)


def _zipf(size: int) -> NDArray[np.float64]:
    weights = 1 / np.arange(1, size + 1)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def run(
    settings: Settings, *, viewers: int, rounds: int, report: Callable[[str], None]
) -> list[LocaliseCost]:
    """Return what each scenario takes, after as many healthy windows as the judge of cohorts remembers."""
    population, rng = Population.of(viewers, seed=1), np.random.default_rng(2)
    localiser = Localiser(settings.localisation)
    for _ in range(settings.qoe.history_windows):
        localiser.learn_one(population.window(rng))
    costs = []
    for scenario, faults in SCENARIOS.items():
        report(scenario)
        window = population.window(rng, *faults)
        seconds, cpu_seconds = [], []
        for _ in range(rounds):
            start, cpu_start = time.perf_counter(), time.process_time()
            causes = localiser.explain(window)
            seconds.append(time.perf_counter() - start)
            cpu_seconds.append(time.process_time() - cpu_start)
        acting = [cause.cell for cause in causes if cause.acts]
        costs.append(
            LocaliseCost(
                scenario=scenario,
                viewers=viewers,
                leaf_cells=len(population.values),
                windows_learned=len(localiser.history),
                explain_ms=1000 * median(seconds),
                explain_most_ms=1000 * max(seconds),
                cpu_ms=1000 * median(cpu_seconds),
                causes=acting,
                right=sorted(map(str, acting)) == sorted(map(str, faults)),
            )
        )
    return costs
