"""What the figures of `[qoe]` do to a made-up title: false episodes, trouble that creeps in, evenings.

    python scripts/simulate_qoe.py health --seeds 4 --figure learn_sigmas 1.5 3 1e9
    python scripts/simulate_qoe.py ramps --seeds 20 --figure learn_sigmas 1.5 3 1e9
    python scripts/simulate_qoe.py evenings --window-minutes 5 --figure hour_most 4 1

The title is watched on three CDNs by three ISPs, by 3,000 viewers each, whose healthy rates wander from
window to window by the share `--wander`. `health` is a week of it for each seed. A ramp raises the share that
stalls on one CDN by so many points a minute, up to 20 points; it is told when that CDN is. An evening, from
19 to 23, raises the time spent stalled from 0.5 % to 1.2 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from config import load
from models.qoe import QoeJudge
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, Phase
from topics.cohorts import MEASURES

AT = {name: column for column, name in enumerate(MEASURES)}
CELLS = [("t", cdn, isp) for cdn in "abc" for isp in "xyz"]
VIEWERS = 3_000
STALL = 0.02
MINUTE_MS, DAY_MINUTES, WARM_UP = 60_000, 1_440, 60
RAMPS = (0.05, 0.1, 0.2, 0.5)
"""Points a minute."""
MOST_POINTS = 20.0

Rates = Callable[[float], tuple[np.ndarray, np.ndarray, float]]
"""By minute: of each cell the share of viewers who stall and of their time, and how many watch."""


@dataclass(frozen=True)
class Trial:
    """What is tried, and on what."""

    figures: dict[str, dict[str, str]]
    """By what it is called, the figures of `[qoe]` that are not as shipped."""
    seeds: int
    wander: float
    window_minutes: int

    def starts(self, name: str, minutes: int, rates: Rates, seed: int) -> Iterator[Anomaly]:
        """Yield the beginnings of episodes of a title in so many minutes."""
        set_so = {"window_s": str(60 * self.window_minutes), **self.figures[name]}
        judge = QoeJudge(
            load({f"PLAYHEAD_QOE__{key.upper()}": value for key, value in set_so.items()}).settings
        )
        for window in self._windows(minutes, rates, seed):
            yield from (each for each in judge.judge(window)[1] if each.phase is Phase.START)

    def _windows(self, minutes: int, rates: Rates, seed: int) -> Iterator[MergedWindow]:
        rng = np.random.default_rng(seed)
        for minute in range(0, minutes, self.window_minutes):
            stall, time, viewers = rates(minute)
            factors = rng.lognormal(0, self.wander, len(CELLS))
            watched = int(viewers * self.window_minutes)
            stalled_minutes = rng.binomial(watched, np.minimum(time * factors, 1))
            sums = np.zeros((len(CELLS), len(MEASURES)))
            sums[:, AT["viewers"]] = int(viewers)
            sums[:, AT["stalled_viewers"]] = rng.binomial(int(viewers), np.minimum(stall * factors, 1))
            sums[:, AT["stall_ms"]] = stalled_minutes * MINUTE_MS
            sums[:, AT["play_ms"]] = (watched - stalled_minutes) * MINUTE_MS
            length_ms = self.window_minutes * MINUTE_MS
            yield MergedWindow(minute * MINUTE_MS, length_ms, ("title", "cdn", "isp"), CELLS, sums, None)


def steady(_minute: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return rates in health."""
    return np.full(len(CELLS), STALL), np.full(len(CELLS), 0.002), VIEWERS


def ramp(points_a_minute: float) -> Rates:
    """Return rates of which those on CDN b creep up after the warm-up."""

    def rates(minute: float) -> tuple[np.ndarray, np.ndarray, float]:
        stall, time, viewers = steady(minute)
        stall[3:6] += min(points_a_minute * max(minute - WARM_UP, 0), MOST_POINTS) / 100
        return stall, time, viewers

    return rates


def evening(turning_h: float) -> Rates:
    """Return rates that are worse in the evening, which comes and goes within so long."""

    def rates(minute: float) -> tuple[np.ndarray, np.ndarray, float]:
        hour = minute / 60 % 24
        up, down = (min(max((hour - at) / turning_h + 0.5, 0), 1) for at in (19, 23))
        late = (math.cos(math.pi * down) - math.cos(math.pi * up)) / 2
        time = np.full(len(CELLS), 0.005 + 0.007 * late)
        return 4 * time, time, VIEWERS * (1 + late)

    return rates


def health(trial: Trial) -> None:
    """Print the episodes of a title in health."""
    for name in trial.figures:
        found = [
            each for seed in range(trial.seeds) for each in trial.starts(name, 7 * DAY_MINUTES, steady, seed)
        ]
        pages = sum(each.pages for each in found)
        print(f"{name:20} {len(found) / trial.seeds:6.2f} episodes a week, {pages / trial.seeds:.2f} page")


def ramps(trial: Trial) -> None:
    """Print how often and how soon a ramp is told."""
    for points in RAMPS:
        for name in trial.figures:
            found = []
            for seed in range(trial.seeds):
                minutes = WARM_UP + round(MOST_POINTS / points) + 60
                told = trial.starts(name, minutes, ramp(points), seed)
                at = (each.time_ms / MINUTE_MS - WARM_UP for each in told if each.cell.get("cdn") == "b")
                found += [first for first in [next((minute for minute in at if minute > 0), None)] if first]
            median = float(np.median(found)) if found else math.nan
            print(
                f"{points:4.2f} points/min, {name:20} {len(found):3} of {trial.seeds} told,"
                f" {median:5.0f} min, {min(points * median, MOST_POINTS):5.1f} points"
            )


def evenings(trial: Trial) -> None:
    """Print how many episodes begin on the first two days, and on the three after them."""
    for turning_h in (0.5, 1.0, 2.0):
        for name in trial.figures:
            days = [
                int(each.time_ms // (DAY_MINUTES * MINUTE_MS))
                for seed in range(trial.seeds)
                for each in trial.starts(name, 5 * DAY_MINUTES, evening(turning_h), seed)
            ]
            late = sum(day >= 2 for day in days)
            print(
                f"turning in {turning_h:3.1f} h, {name:20} {len(days) - late:3} episodes in"
                f" {2 * trial.seeds} evenings, then {late:3} in {3 * trial.seeds}"
            )


SIMULATIONS = {"health": health, "ramps": ramps, "evenings": evenings}


def main() -> None:
    """Run one of the simulations."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=SIMULATIONS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--wander", type=float, default=0.03)
    parser.add_argument("--window-minutes", type=int, default=1)
    parser.add_argument("--figure", nargs="+", required=True, help="its name, and the values to try")
    asked = parser.parse_args()
    name, *values = asked.figure
    figures = {f"{name} = {value}": {name: value} for value in values}
    SIMULATIONS[asked.what](Trial(figures, asked.seeds, asked.wander, asked.window_minutes))


if __name__ == "__main__":
    main()
