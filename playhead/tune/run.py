"""Tuning: score what was recorded, choose bounds on one part of it, and tell how they do on the other.

A detector's bounds steer what it learns, so what is told of the chosen ones comes from a second pass.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from config import Settings
from models.anomaly.base import ALARM_SCORE
from models.tuning import Scored, Told, choose, strength_of, tell
from playhead.tune.series import Series
from playhead.tune.tunables import TUNABLES

SERIES_TO_SPLIT = 4
"""From so many series on, every second one is chosen on; fewer are cut in the middle."""

DIGITS = 3
"""Of a chosen bound: more would be of these series only."""

Progress = Callable[[int, int, str], None]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One setting and what it becomes."""

    setting: str
    """Section and name."""
    now: float
    tuned: float


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """One detector, before and after."""

    detector: str
    choices: list[Choice]
    """Empty where the bounds stay: none is better, or none keeps within the budget."""
    why: str
    now_chosen_on: Told
    now: Told
    """On what the bounds were not chosen on, and so are the next."""
    tuned: Told
    cpu_us_per_row: float
    fired_ms: dict[str, list[int]]
    """By series, when it would have fired as tuned."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run found."""

    series: int
    rows: int
    labelled_windows: int
    split: str
    false_per_week: float
    detectors: list[Tuned]


def tune(
    settings: Settings,
    series: Sequence[Series],
    names: Sequence[str],
    false_per_week: float,
    progress: Progress,
    workers: int | None = None,
) -> Result:
    """Return what each detector of `names` tells now, the bounds that suit, and what it would tell with them.

    Args:
        false_per_week: false episodes a week, over all series, that each detector may make.
        progress: told jobs done, all jobs and what is at work.
        workers: processes; as many as there are cores by default.
    """
    parts = _split(series)
    jobs, done = 2 * len(names) * len(series), 0
    found = []
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:

        def scored(name: str, with_settings: Settings, what: str) -> tuple[list[Scored], float]:
            nonlocal done
            results: list[Scored] = []
            cpu_s = 0.0
            told = pool.map(partial(_score, name, with_settings), series)
            for each, part, (scores, seconds) in zip(series, parts, told, strict=True):
                results.append(Scored(each.time_ms, scores, each.windows, part))
                cpu_s += seconds
                done += 1
                progress(done, jobs, what)
            return results, cpu_s

        for name in names:
            found.append(_tune_one(settings, series, name, false_per_week, scored))
            done = len(found) * 2 * len(series)  # a second pass that was not needed counts as done
            progress(done, jobs, name)
    return Result(
        series=len(series),
        rows=sum(len(each.value) for each in series),
        labelled_windows=sum(len(each.windows) for each in series),
        split="every second series" if len(series) >= SERIES_TO_SPLIT else "the first half of each series",
        false_per_week=false_per_week,
        detectors=found,
    )


def _tune_one(
    settings: Settings,
    series: Sequence[Series],
    name: str,
    false_per_week: float,
    scored: Callable[[str, Settings, str], tuple[list[Scored], float]],
) -> Tuned:
    clear_after = settings.detection.clear_after_samples
    tunable = TUNABLES[name]
    first, cpu_s = scored(name, settings, name)
    now_chosen_on = tell(first, ALARM_SCORE, clear_after, choosing=True)
    now = tell(first, ALARM_SCORE, clear_after, choosing=False)
    bound = choose(first, clear_after, false_per_week)
    high, critical = tunable.bounds(settings)
    choices: list[Choice] = []
    why = "no bound keeps within the budget and still sees anything: it stays as it is"
    tuned, second = now, first
    if math.isfinite(bound):
        new_high = _rounded(strength_of(bound, high, critical))
        why = "as good as it is"
        if new_high != high:
            new_critical = _rounded(new_high * critical / high)
            second, _ = scored(name, tunable.with_bounds(settings, new_high, new_critical), f"{name}, tuned")
            tuned = tell(second, ALARM_SCORE, clear_after, choosing=False)
            choices = [
                Choice(setting=f"{tunable.section}.{tunable.high}", now=high, tuned=new_high),
                Choice(setting=f"{tunable.section}.{tunable.critical}", now=critical, tuned=new_critical),
            ]
            why = "within the budget on what it was chosen on"
    return Tuned(
        detector=name,
        choices=choices,
        why=why,
        now_chosen_on=now_chosen_on,
        now=now,
        tuned=tuned,
        cpu_us_per_row=1e6 * cpu_s / max(sum(len(each.value) for each in series), 1),
        fired_ms=_fired(series, second, clear_after),
    )


def _split(series: Sequence[Series]) -> list[NDArray[np.bool_]]:
    """Return which rows of each series bounds are chosen on."""
    if len(series) >= SERIES_TO_SPLIT:
        return [np.full(len(each.value), at % 2 == 0) for at, each in enumerate(series)]
    return [np.arange(len(each.value)) < len(each.value) // 2 for each in series]


def _score(name: str, settings: Settings, series: Series) -> tuple[NDArray[np.float64], float]:
    """Return the score of each row, row by row, and the CPU time it took, in seconds."""
    detector = TUNABLES[name].make(settings)
    scores = np.zeros(len(series.value))
    began = time.process_time()
    for at, (time_ms, value) in enumerate(zip(series.time_ms.tolist(), series.value.tolist(), strict=True)):
        scores[at] = detector.score_one(time_ms, value)
        detector.learn_one(time_ms, value)
    return scores, time.process_time() - began


def _fired(series: Iterable[Series], scored: Iterable[Scored], clear_after: int) -> dict[str, list[int]]:
    fired = {}
    for each, result in zip(series, scored, strict=True):
        flagged = np.flatnonzero(result.score >= ALARM_SCORE)
        starts = flagged[np.diff(flagged, prepend=-clear_after - 1) > clear_after]
        fired[each.name] = each.time_ms[starts].tolist()
    return fired


def _rounded(value: float) -> float:
    """Return `value` with `DIGITS` digits, rounded up: rounded down it would flag what it was to leave."""
    if value <= 0:
        return value
    step = 10.0 ** (math.floor(math.log10(value)) - DIGITS + 1)
    return round(math.ceil(value / step - 1e-9) * step, 10)
