"""False pages of the telemetry bank on healthy series, and how soon it tells faults under the same budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from config import Settings
from models.anomaly.bank import EpisodePhase, Limits
from models.anomaly.build import series_bank
from models.anomaly.vectorised import SeriesBank
from models.budget.spending import WEEK_MS, PageBudget
from playhead.bench.healthy import DAY_MINUTES, KINDS, Fleet

MINUTE_MS: Final = 60_000
START_MS: Final = 1_781_481_600_000
FAULT_SIGMAS: Final = (5.0, 10.0, 30.0)
FAULT_STEPS: Final = 60

Index = npt.NDArray[np.int64]


class KindAlarms(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of healthy series made a detector tell."""

    kind: str
    series: int
    samples: int
    beyond_three_sigmas: int
    """Samples a plain bound would have fired at."""
    episodes: int
    pages: int


class FaultDelay(msgspec.Struct, frozen=True, kw_only=True):
    """How soon a lasting shift is told, in samples from its first one."""

    kind: str
    sigmas: float
    series: int
    recorded: float
    """Share of the series with an episode within the hour of the fault."""
    recorded_median: float | None
    paged: float
    paged_median: float | None


class Alarms(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run."""

    series: int
    minutes_per_step: int
    weeks: float
    budget_pages_per_week: float
    page_level: float
    spent: float
    pages: int
    pages_per_week: float
    low: float
    high: float
    """Exact 95 % interval of the rate, were pages Poisson."""
    pages_by_week: list[int]
    by_kind: list[KindAlarms]
    faults: list[FaultDelay]


def run(
    settings: Settings,
    *,
    series: int,
    days: float,
    minutes_per_step: int,
    seed: int,
    progress: Callable[[int, int, str], None],
) -> Alarms:
    """Judge healthy series for so many days, then shift some of each kind and see how soon it is told.

    Args:
        progress: told steps behind, samples judged, and how it stands, after each step; `steps_of` are all.
    """
    fleet = Fleet(series, seed, minutes_per_step)
    watch = _Watch(settings, fleet)
    steps = steps_of(days, minutes_per_step)
    for step in range(steps):
        day = step * minutes_per_step / DAY_MINUTES
        progress(step, step * series, f"day {day:.1f}, {len(watch.page_weeks)} pages")
        watch.step(fleet.draw())
    pages = int(watch.paged.sum())
    weeks = steps * minutes_per_step * MINUTE_MS / WEEK_MS
    low, high = poisson_interval(pages)
    by_kind = [watch.of_kind(kind) for kind in KINDS]
    level, spent = watch.budget.level, watch.budget.spent
    progress(steps, steps * series, "faults")
    return Alarms(
        series=series,
        minutes_per_step=minutes_per_step,
        weeks=weeks,
        budget_pages_per_week=watch.budget.pages_per_week,
        page_level=level,
        spent=spent,
        pages=pages,
        pages_per_week=pages / weeks,
        low=low / weeks,
        high=high / weeks,
        pages_by_week=np.bincount(watch.page_weeks, minlength=math.ceil(weeks)).tolist(),
        by_kind=by_kind,
        faults=watch.faults(),
    )


def steps_of(days: float, minutes_per_step: int) -> int:
    """Return how many samples of each series so many days are."""
    return round(days * DAY_MINUTES / minutes_per_step)


class _Watch:
    """A bank over a fleet, and what it told."""

    def __init__(self, settings: Settings, fleet: Fleet) -> None:
        budget = settings.budget
        self._fleet = fleet
        self._bank: SeriesBank = series_bank(settings.detection)
        self._slots = np.arange(fleet.series, dtype=np.int32)
        series = fleet.series
        self._bank.open_many(range(series), [Limits()] * series, [START_MS] * series)
        self.budget = PageBudget(
            budget.false_pages_per_week * budget.shares.telemetry,
            memory_ms=round(budget.pace_memory_s * 1000),
            period_ms=round(budget.pace_period_s * 1000),
        )
        self._high = settings.detection.z_high
        self.beyond, self.episodes, self.paged = (np.zeros(fleet.series, np.int64) for _ in range(3))
        self.page_weeks: list[int] = []
        self._steps = 0

    def step(self, values: npt.NDArray[np.float64]) -> tuple[Index, Index]:
        """Judge a value of each series; return which series started an episode and which paged."""
        now_ms = START_MS + self._steps * self._fleet.minutes_per_step * MINUTE_MS
        times = np.full(len(values), now_ms)
        verdicts = self._bank.step_many(self._slots, times, values, self.budget.spend(times))
        self._steps += 1
        started = verdicts.event[verdicts.phase == EpisodePhase.STARTED]
        pages = verdicts.event[verdicts.pages == 1]
        self.beyond[verdicts.event[np.abs(verdicts.deviation_sigmas) >= self._high]] += 1
        self.episodes[started] += 1
        self.paged[pages] += 1
        self.page_weeks += [(now_ms - START_MS) // WEEK_MS] * len(pages)
        return started, pages

    def of_kind(self, kind: str) -> KindAlarms:
        """Return what the series of a kind made it tell."""
        part = self._fleet.parts[kind]
        count = int(part.stop - part.start)
        return KindAlarms(
            kind=kind,
            series=count,
            samples=count * self._steps,
            beyond_three_sigmas=int(self.beyond[part].sum()),
            episodes=int(self.episodes[part].sum()),
            pages=int(self.paged[part].sum()),
        )

    def faults(self) -> list[FaultDelay]:
        """Shift a tenth of each kind's series for each strength of fault, all at once, for an hour."""
        fleet, rng = self._fleet, np.random.default_rng(self._fleet.seed + 1)
        spread = np.std([fleet.draw() for _ in range(200)], axis=0)
        shift = np.zeros(fleet.series)
        hit: dict[tuple[str, float], Index] = {}
        for kind, part in fleet.parts.items():
            chosen = rng.permutation(np.arange(part.start, part.stop))
            size = max(len(chosen) // 10, 1)
            for number, sigmas in enumerate(FAULT_SIGMAS):
                hit[kind, sigmas] = chosen[number * size : (number + 1) * size]
                shift[hit[kind, sigmas]] = sigmas * spread[hit[kind, sigmas]]
        recorded, paged = (np.full(fleet.series, FAULT_STEPS) for _ in range(2))
        for step in range(FAULT_STEPS):
            started, pages = self.step(fleet.draw() + shift)
            np.minimum.at(recorded, started, step)
            np.minimum.at(paged, pages, step)
        return [
            FaultDelay(
                kind=kind,
                sigmas=sigmas,
                series=len(which),
                recorded=float((recorded[which] < FAULT_STEPS).mean()),
                recorded_median=_median_of_told(recorded[which]),
                paged=float((paged[which] < FAULT_STEPS).mean()),
                paged_median=_median_of_told(paged[which]),
            )
            for (kind, sigmas), which in hit.items()
        ]


def _median_of_told(delays: Index) -> float | None:
    """Return the median in samples, the first counting as one, over all; None where most never told."""
    median = float(np.median(delays))
    return median + 1.0 if median < FAULT_STEPS else None


def poisson_interval(count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a Poisson mean (Garwood, Biometrika 28, 1936)."""
    low = float(gammaincinv(count, 0.025)) if count else 0.0
    return low, float(gammaincinv(count + 1, 0.975))
