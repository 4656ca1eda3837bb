"""`playhead bench learned`: how many series a core sustains, with a learned model each, at their cadence.

The agent's own processor is given records of windows as they come from the topic, a window of every series
after the other, and the time of one core that it takes is measured: decoding, judging, learning, and the
checkpoint's snapshot apart. No broker is needed.
"""

from __future__ import annotations

import os
import platform
import time

import msgspec
import numpy as np

from agents.learned import WindowScorer
from config import Settings
from config.learned import LearnedMetric, Model
from playhead.bench.arena import Report
from topics import TELEMETRY_WINDOWS
from topics.telemetry_windows import SeriesWindows

MODELS: tuple[Model, ...] = ("forecast", "half_space_trees", "ensemble")
LEVEL = 100.0
SPREAD = 5.0
SAMPLES_A_WINDOW = 10
START_MS = 1_781_980_200_000
MB = 1_000_000


class Sustained(msgspec.Struct, frozen=True):
    """What one model costs."""

    model: str
    series: int
    windows: int
    """Of each series, measured after the models were warm."""
    us_per_window: float
    series_per_core: int
    """Whose windows one core can judge as fast as they come."""
    snapshot_bytes: int
    """Of one series."""
    snapshot_us: float
    """Of one series, at each checkpoint after a window of it."""
    anomalies: int
    """Started while it was measured, on healthy noise."""


class LearnedResult(msgspec.Struct, frozen=True):
    """All models of one run, with where they were measured."""

    machine: str
    cpus: int
    python: str
    load_average: float
    """At the end."""
    cadence_s: float
    """From window to window."""
    models: list[Sustained]


def run(settings: Settings, *, series: int, windows: int, report: Report) -> LearnedResult:
    """Measure every model.

    Args:
        series: judged side by side.
        windows: of each, after those that warm the models up.
    """
    found = []
    for model in MODELS:
        report(f"{model}: {series:,} series")
        found.append(_measure(_only(settings, model, series), model, series, windows, report))
    return LearnedResult(
        machine=platform.machine(),
        cpus=os.cpu_count() or 1,
        python=platform.python_version(),
        load_average=os.getloadavg()[0],
        cadence_s=settings.learned.slide_s,
        models=found,
    )


def _only(settings: Settings, model: Model, series: int) -> Settings:
    """Return settings by which all metrics are judged by `model`."""
    rule = LearnedMetric(pattern="*", statistic="mean", model=model)
    learned = settings.learned.model_copy(update={"metrics": (rule,), "max_judged_series": series})
    return settings.model_copy(update={"learned": learned})


def _measure(settings: Settings, model: Model, series: int, windows: int, report: Report) -> Sustained:
    scorer = WindowScorer(0, settings)
    rng = np.random.default_rng(1)
    slide_ms = round(settings.learned.slide_s * 1000)
    warm_up = _warm_up(settings)
    spent_s, started = 0.0, 0
    for number in range(warm_up + windows):
        data = [
            TELEMETRY_WINDOWS.encode(record)
            for record in _records(settings, series, START_MS + number * slide_ms, rng)
        ]
        if number % 50 == 0:
            report(f"{model}: window {number} of {warm_up + windows}")
        began = time.thread_time()
        anomalies = [each for value in data for each in scorer.judge(TELEMETRY_WINDOWS.decode(value))]
        if number >= warm_up:
            spent_s += time.thread_time() - began
            started += sum(each.spec.name == "anomalies" for each in anomalies)
    began = time.thread_time()
    snapshot = scorer.snapshot()
    snapshot_s = time.thread_time() - began
    us_per_window = 1e6 * spent_s / (series * windows)
    return Sustained(
        model=model,
        series=series,
        windows=windows,
        us_per_window=us_per_window,
        series_per_core=int(settings.learned.slide_s * 1e6 / us_per_window),
        snapshot_bytes=len(snapshot) // series,
        snapshot_us=1e6 * snapshot_s / series,
        anomalies=started,
    )


def _warm_up(settings: Settings) -> int:
    """Return after how many windows every model scores: a forest once its first window of mass is full."""
    return settings.detection.forest_window_samples + settings.detection.scoring_samples


def _records(settings: Settings, series: int, end_ms: int, rng: np.random.Generator) -> list[SeriesWindows]:
    """Return one window of all series."""
    most = settings.learned.series_per_record
    window_ms = round(settings.learned.window_s * 1000)
    records = []
    for at in range(0, series, most):
        count = min(most, series - at)
        mean = rng.normal(LEVEL, SPREAD, count).tolist()
        records.append(
            SeriesWindows(
                time_ms=end_ms,
                source=0,
                shard=0,
                window_start_ms=end_ms - window_ms,
                window_ms=window_ms,
                series=[f"service-{number}/concurrent_streams" for number in range(at, at + count)],
                count=[SAMPLES_A_WINDOW] * count,
                mean=mean,
                min=mean,
                max=mean,
                variance=[0.0] * count,
            )
        )
    return records
