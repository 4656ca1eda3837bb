"""Series to tune on: from a recording of `telemetry`, from a CSV or from a folder of them, with their labels.

TuneError         what cannot be read, named, and what was expected
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tuning import Window
from playhead.packing import is_packed, unpack
from playhead.recording.format import MANIFEST
from playhead.recording.reader import Recording
from playhead.score_file import read_rows
from playhead.when import MomentError, parse_moment
from topics import TELEMETRY
from topics.errors import ContractError, PlayheadError
from topics.telemetry import Sample

LEAST_ROWS = 100
"""Shorter series tell nothing: most of their rows are learned before any is judged."""


class TuneError(PlayheadError):
    """Something cannot be tuned on; the text says what and why."""


@dataclass(frozen=True, slots=True)
class Series:
    """One recorded series: int64[rows] in the order of time, float64[rows], and its labelled windows."""

    name: str
    time_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    windows: tuple[Window, ...] = ()


def load_series(source: Path, labels: Path | None) -> list[Series]:
    """Return the series of `source` that are long enough, in the order of their names.

    Args:
        source: a recording, a CSV with timestamp,value, or a folder of such.
        labels: JSON of windows by name, ``{"cpu.csv": [["2026-01-01 00:00:00", "2026-01-01 01:00:00"]]}``;
            names are those of the series, or for a folder the files' paths in it.

    Raises:
        TuneError: nothing can be read, or labels name a series that is not there.
        RecordingError: a recording is damaged or holds no `telemetry`.
    """
    if (source / MANIFEST).exists():
        rows = _recorded(source)
    elif source.is_dir():
        rows = {str(path.relative_to(source)): _read_csv(path) for path in sorted(source.rglob("*.csv"))}
    else:
        rows = {source.name: _read_csv(source)}
    windows = _read_labels(labels) if labels is not None else {}
    unknown = sorted(windows.keys() - rows.keys())
    if unknown:
        raise TuneError(f"{labels}: {unknown[0]!r} is none of the {len(rows)} series of {source}")
    found = [_series(name, rows[name], windows.get(name, ())) for name in sorted(rows)]
    long_enough = [each for each in found if len(each.value) >= LEAST_ROWS]
    if not long_enough:
        raise TuneError(
            f"{source}: no series has {LEAST_ROWS} rows; record for longer, or name another folder"
        )
    return long_enough


def _series(name: str, rows: list[tuple[int, float]], windows: tuple[Window, ...]) -> Series:
    order = np.argsort(np.array([row[0] for row in rows], dtype=np.int64), kind="stable")
    times = np.array([row[0] for row in rows], dtype=np.int64)[order]
    values = np.array([row[1] for row in rows], dtype=np.float64)[order]
    return Series(name, times, values, windows)


def _recorded(folder: Path) -> dict[str, list[tuple[int, float]]]:
    rows: dict[str, list[tuple[int, float]]] = {}
    for run in Recording(folder).runs(TELEMETRY.name):
        for batch in run.batches():
            for value, headers in zip(
                batch.column("value").to_pylist(), batch.column("headers").to_pylist(), strict=True
            ):
                for sample in _samples(value, headers or []):
                    rows.setdefault(TELEMETRY.key_of(sample), []).append((sample.time_ms, sample.value))
    return rows


def _samples(value: bytes | None, headers: Sequence[Mapping[str, Any]]) -> list[Sample]:
    try:
        if is_packed([(each["name"], each["value"]) for each in headers]):
            return unpack(TELEMETRY, value)
        return [TELEMETRY.decode(value)]
    except ContractError:
        return []  # the pipeline refuses it too


def _read_csv(path: Path) -> list[tuple[int, float]]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = []
            for row in read_rows(lines, str(path)):
                try:
                    rows.append((parse_moment(row.timestamp, now_ms=0), float(row.value)))
                except (MomentError, ValueError) as error:
                    raise TuneError(f"{path}, line {row.line}: {error}") from error
            return [row for row in rows if np.isfinite(row[1])]
    except OSError as error:
        raise TuneError(f"{path}: {error.strerror}") from error


def _read_labels(path: Path) -> Mapping[str, tuple[Window, ...]]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: tuple(
                sorted((parse_moment(first, now_ms=0), parse_moment(last, now_ms=0)) for first, last in pairs)
            )
            for name, pairs in told.items()
        }
    except OSError as error:
        raise TuneError(f"{path}: {error.strerror}") from error
    except (ValueError, AttributeError, TypeError, MomentError) as error:
        raise TuneError(
            f"{path}: {error}; expected windows by series, {{name: [[first, last], ...]}}"
        ) from error
