"""Pages of the telemetry bank on recorded series: how many outside the labels, and which labels it sees."""

from __future__ import annotations

import bisect
import csv
import json
from pathlib import Path

import msgspec
import numpy as np

from config import Settings
from models.anomaly.bank import EpisodePhase, Limits
from models.anomaly.build import series_bank
from models.budget.spending import WEEK_MS
from playhead.bench.alarms import poisson_interval
from playhead.when import parse_moment

Rows = list[tuple[int, float]]


class Quiet(msgspec.Struct, frozen=True, kw_only=True):
    """The result over a folder of series, taken to run side by side."""

    files: int
    samples: int
    weeks: float
    """How long the series would have run side by side."""
    budget_pages_per_week: float
    page_level: float
    quiet_samples: int
    episodes: int
    """Started outside the labelled windows."""
    pages: int
    """... and of these, paging: false pages, where the labels are right."""
    pages_per_week: float
    low: float
    high: float
    windows: int
    windows_recorded: int
    windows_paged: int


def run(settings: Settings, folder: Path, labels: Path) -> Quiet:
    """Judge each CSV of a folder, `timestamp,value`, at the level that all together have.

    Args:
        settings: Budget and detection.
        folder: Searched with its sub-folders.
        labels: JSON of windows by relative path, [[first, last], ...], as NAB's `combined_windows.json`.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not as expected.
    """
    windows = {
        name: sorted((parse_moment(a, now_ms=0), parse_moment(b, now_ms=0)) for a, b in pairs)
        for name, pairs in json.loads(labels.read_text(encoding="utf-8")).items()
    }
    series = {str(path.relative_to(folder)): _read(path) for path in sorted(folder.rglob("*.csv"))}
    per_week = sum(len(rows) / max((rows[-1][0] - rows[0][0]) / WEEK_MS, 1e-9) for rows in series.values())
    samples = sum(map(len, series.values()))
    share = settings.budget.false_pages_per_week * settings.budget.shares.telemetry
    level = share / per_week
    told = [_judge(settings, rows, windows.get(name, []), level) for name, rows in series.items()]
    quiet, episodes, pages, all_windows, recorded, paged = (sum(column) for column in zip(*told, strict=True))
    weeks = samples / per_week
    low, high = poisson_interval(pages)
    return Quiet(
        files=len(series),
        samples=samples,
        weeks=weeks,
        budget_pages_per_week=share,
        page_level=level,
        quiet_samples=quiet,
        episodes=episodes,
        pages=pages,
        pages_per_week=pages / weeks,
        low=low / weeks,
        high=high / weeks,
        windows=all_windows,
        windows_recorded=recorded,
        windows_paged=paged,
    )


def _judge(
    settings: Settings, rows: Rows, windows: list[tuple[int, int]], level: float
) -> tuple[int, int, int, int, int, int]:
    """Return quiet samples, episodes and pages outside windows; windows, those recorded and those paged."""
    bank = series_bank(settings.detection)
    bank.open(0, Limits(), rows[0][0])
    times = np.array([time_ms for time_ms, _ in rows])
    values = np.array([value for _, value in rows])
    verdicts = bank.step_many(np.zeros(len(rows), np.int32), times, values, float(np.log(level)))
    starts = times[verdicts.event[verdicts.phase == EpisodePhase.STARTED]]
    pages = times[verdicts.event[verdicts.pages == 1]]
    inside = np.array([_window_of(time_ms, windows) >= 0 for time_ms in times.tolist()])
    recorded = {_window_of(at, windows) for at in starts.tolist()}
    paged = {_window_of(at, windows) for at in pages.tolist()}
    return (
        int((~inside).sum()),
        sum(_window_of(at, windows) < 0 for at in starts.tolist()),
        sum(_window_of(at, windows) < 0 for at in pages.tolist()),
        len(windows),
        len(recorded - {-1}),
        len(paged - {-1}),
    )


def _window_of(time_ms: int, windows: list[tuple[int, int]]) -> int:
    """Return which window a time lies in; -1 for none."""
    at = bisect.bisect_right(windows, (time_ms, 1 << 62)) - 1
    return at if at >= 0 and time_ms <= windows[at][1] else -1


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            (parse_moment(row["timestamp"], now_ms=0), float(row["value"])) for row in csv.DictReader(lines)
        ]
