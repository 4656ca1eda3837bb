"""Sums chosen series of a partition of `telemetry` into event-time windows: telemetry ─▶ telemetry.windows.

The telemetry lane hands its samples over; those of series that no pattern of the settings chooses cost a look
into an array. What comes too late for its window is judged by the lane all the same, and counted here.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from agents import metrics
from config.learned import LearnedMetric, LearnedSettings
from models.anomaly.state import SnapshotError
from models.windows import ClosedWindow, KeyedWindows
from topics import TELEMETRY_WINDOWS
from topics.emission import Emission
from topics.fields import derive_id
from topics.telemetry_windows import SeriesWindows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NAME = "telemetry"
NOT_CHOSEN: Final = -1
_GROW = 1024
_KNOWN_METRICS = 10_000
"""Names of metrics whose rule is remembered: looking through the patterns costs more than a sample."""

log = structlog.get_logger(__name__)


def rule_of(settings: LearnedSettings, metric: str) -> LearnedMetric | None:
    """Return the rule that chooses series of `metric`; None where none does."""
    name = metric.lower()
    return next((rule for rule in settings.metrics if fnmatchcase(name, rule.pattern)), None)


class _State(msgspec.Struct, array_like=True):
    windows: bytes
    names: list[str]
    """By key; a free one is empty."""
    key_of: bytes
    leaving: list[int]


_STATES = msgspec.msgpack.Decoder(_State)


class SeriesSummer:
    """Windows of the chosen series of one partition.

    Args:
        partition: of `telemetry`.
        settings: which series, and how long windows are.
    """

    def __init__(self, partition: int, settings: LearnedSettings) -> None:
        self._partition = partition
        self._settings = settings
        self._is_chosen = lru_cache(_KNOWN_METRICS)(lambda metric: rule_of(settings, metric) is not None)
        self._forget_all()

    def _forget_all(self) -> None:
        self._windows = KeyedWindows(
            window_ms=round(self._settings.window_s * 1000),
            slide_ms=round(self._settings.slide_s * 1000),
            lateness_ms=round(self._settings.lateness_s * 1000),
            max_cells=self._settings.max_cells,
        )
        self._names: list[str] = []
        self._free: list[int] = []
        self._leaving: list[int] = []
        """Keys of forgotten series, whose last windows may be open still."""
        self._key_of: NDArray[np.int32] = np.full(0, NOT_CHOSEN, dtype=np.int32)

    def open(self, slot: int, series: str, metric: str) -> None:
        """Note that the lane has given `slot` to `series`."""
        if slot >= len(self._key_of):
            more = max(slot + 1 - len(self._key_of), len(self._key_of), _GROW)
            fresh = np.full(more, NOT_CHOSEN, dtype=np.int32)
            self._key_of = np.concatenate((self._key_of, fresh))
        self._key_of[slot] = NOT_CHOSEN
        if not self._is_chosen(metric):
            return
        if self._free:
            key = self._free.pop()
        elif len(self._names) < self._settings.max_series:
            key = len(self._names)
            self._names.append("")
        else:
            metrics.UNSUMMED_SERIES.labels(self._partition).inc()
            return
        self._names[key] = series
        self._key_of[slot] = key

    def forget(self, slot: int) -> None:
        """Note that the series of `slot` has expired; its open windows are told when they close."""
        key = int(self._key_of[slot]) if slot < len(self._key_of) else NOT_CHOSEN
        if key != NOT_CHOSEN:
            self._key_of[slot] = NOT_CHOSEN
            self._leaving.append(key)

    def take(self, slot: NDArray[np.int32], time_ms: Ints, value: Floats, arrived_ms: Ints) -> list[Emission]:
        """Add samples in time, and return the windows that they close.

        Args:
            slot: int32[n], as told by `open`.
            time_ms: int64[n], event times.
            value: float64[n].
            arrived_ms: int64[n], the broker's times.
        """
        if not self._names:
            return []
        key = self._key_of[slot]
        rows = np.flatnonzero(key != NOT_CHOSEN)
        if not len(rows):
            return []
        added = self._windows.add_many(key[rows].astype(np.int64), time_ms[rows], value[rows])
        late = int(np.count_nonzero(added.missed))
        if late:
            metrics.WINDOW_LATE.labels(NAME, self._partition).inc(late)
        full = int(np.count_nonzero(added.refused))
        if full:
            metrics.WINDOW_REFUSED.labels(NAME, self._partition).inc(full)
        emissions = []
        for window in added.closed:
            emissions += self._told(window, int(arrived_ms[rows[window.closed_by]]))
        if added.closed and self._leaving:
            self._free_what_left()
        return emissions

    def snapshot(self) -> bytes:
        """Return the open windows and whose they are."""
        state = _State(self._windows.snapshot(), self._names, self._key_of.tobytes(), self._leaving)
        return msgspec.msgpack.encode(state)

    def restore(self, data: bytes, names: list[str]) -> None:
        """Go on from `snapshot`; where the figures have changed since, open windows begin anew.

        Args:
            names: series by slot, as the lane has them; a free slot has none.
        """
        self._forget_all()
        try:
            state = _STATES.decode(data)
            self._windows.restore(state.windows)
        except (SnapshotError, msgspec.DecodeError) as error:
            log.warning("summing up windows anew", partition=self._partition, reason=str(error))
            self._forget_all()
            for slot, series in enumerate(names):
                if series:
                    self.open(slot, series, series.partition("/")[2].partition("{")[0])
            return
        self._names = state.names
        self._leaving = state.leaving
        self._free = [key for key, name in enumerate(state.names) if not name]
        self._key_of = np.frombuffer(state.key_of, dtype=np.int32).copy()

    def _told(self, window: ClosedWindow, origin_ms: int) -> list[Emission]:
        """Return a window as records: those of a shard together, a few where they are many."""
        by_shard: dict[int, list[int]] = {}
        for row, key in enumerate(window.key.tolist()):
            by_shard.setdefault(shard_of(self._names[key], self._settings.shards), []).append(row)
        most = self._settings.series_per_record
        return [
            self._record(window, shard, at // most, rows[at : at + most], origin_ms)
            for shard, rows in sorted(by_shard.items())
            for at in range(0, len(rows), most)
        ]

    def _record(
        self, window: ClosedWindow, shard: int, part: int, rows: list[int], origin_ms: int
    ) -> Emission:
        return Emission(
            TELEMETRY_WINDOWS,
            SeriesWindows(
                id=derive_id("windows", self._partition, window.start_ms, window.end_ms, shard, part),
                time_ms=window.end_ms,
                source=self._partition,
                shard=shard,
                window_start_ms=window.start_ms,
                window_ms=window.end_ms - window.start_ms,
                series=[self._names[key] for key in window.key[rows].tolist()],
                count=window.count[rows].tolist(),
                mean=window.mean[rows].tolist(),
                min=window.min[rows].tolist(),
                max=window.max[rows].tolist(),
                variance=window.variance[rows].tolist(),
                origin_ms=max(origin_ms, 0),
            ),
        )

    def _free_what_left(self) -> None:
        """Give keys of forgotten series free once no open window is theirs."""
        held = set(self._windows.keys().tolist())
        for key in self._leaving:
            if key not in held:
                self._names[key] = ""
                self._free.append(key)
        self._leaving = [key for key in self._leaving if key in held]


def shard_of(series: str, shards: int) -> int:
    """Return the group of a series: the same wherever and whenever it is asked for."""
    return xxh3_64_intdigest(series.encode()) % shards
