"""The cells of a window: split by scope, rolled up into cohorts, with the counts behind their percentiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.sections import QoeSettings
from models.cohort_windows import OTHER, BucketCounts
from models.log_buckets import LogBuckets, duration_buckets
from models.qoe_measures import AT, COLUMNS, PERCENTILE, PERCENTILES, Floats
from models.window_merge import MergedWindow
from topics.cohorts import DURATIONS, MEASURES
from topics.fields import Cell, cell_key

_EMPTY = BucketCounts(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


class Percentiles(NamedTuple):
    """Of a duration; None where nobody told one."""

    p50: float | None
    p95: float | None


UNKNOWN = Percentiles(None, None)


@dataclass(frozen=True, slots=True)
class Cohort:
    """Viewers who have some dimensions in common."""

    cell: Cell
    key: str
    sums: list[float]
    """By column."""
    percentiles: dict[str, Percentiles]
    """By name of `topics.cohorts.DURATIONS`."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaf cells of one scope in one window, without the scope's own dimension."""

    name: str
    dimensions: tuple[str, ...]
    cells: list[tuple[str, ...]]
    sums: Floats
    """Shape (cells, `COLUMNS`)."""
    sketches: dict[str, BucketCounts]
    window: MergedWindow
    partial: bool = False
    """Whether some leaves of the scope are left out."""

    def inside(self, cell: Cell) -> NDArray[np.bool_]:
        """Return which leaves are in `cell`; none where it has a dimension that they have not."""
        if not set(cell) <= set(self.dimensions):
            return np.zeros(len(self.cells), dtype=bool)
        places = [(self.dimensions.index(name), value) for name, value in cell.items()]
        return np.array([all(leaf[at] == value for at, value in places) for leaf in self.cells], dtype=bool)

    def without(self, cell: Cell, others: Sequence[Cell], least_viewers: float) -> NDArray[np.bool_]:
        """Return which leaves are in `cell` and in no other, or all of `cell` where too few are left."""
        whole = self.inside(cell)
        rest = whole & ~np.any([self.inside(other) for other in others], axis=0) if others else whole
        return rest if self.sums[rest, AT["viewers"]].sum() >= least_viewers else whole

    def matching(self, cell: Cell) -> Floats:
        """Sums over the leaves inside `cell`, shape (columns,)."""
        total: Floats = self.sums[self.inside(cell)].sum(axis=0)
        return total

    def only(self, which: NDArray[np.bool_]) -> Leaves:
        """Return some of the leaves."""
        rows = np.flatnonzero(which)
        place = np.cumsum(which) - 1
        sketches = {}
        for name, sketch in self.sketches.items():
            kept = which[sketch.cell]
            sketches[name] = BucketCounts(place[sketch.cell[kept]], sketch.bucket[kept], sketch.count[kept])
        return replace(
            self,
            cells=[self.cells[row] for row in rows.tolist()],
            sums=self.sums[rows],
            sketches=sketches,
            partial=True,
        )

    @property
    def time_ms(self) -> int:
        """When the window ended."""
        return self.window.start_ms + self.window.window_ms


def side_by_side(scopes: Sequence[Leaves], window: MergedWindow) -> Leaves:
    """Return the leaves of all scopes as those of one population; a combination is there once for each."""
    if not scopes:
        return Leaves("", (), [], np.zeros((0, len(COLUMNS))), {}, window)
    starts = np.cumsum([0, *(len(each.cells) for each in scopes)])
    sketches = {}
    for name in DURATIONS:
        parts = [each.sketches.get(name, _EMPTY) for each in scopes]
        sketches[name] = BucketCounts(
            np.concatenate([part.cell + start for part, start in zip(parts, starts, strict=False)]),
            np.concatenate([part.bucket for part in parts]),
            np.concatenate([part.count for part in parts]),
        )
    return Leaves(
        name="",
        dimensions=scopes[0].dimensions,
        cells=[cell for each in scopes for cell in each.cells],
        sums=np.concatenate([each.sums for each in scopes]),
        sketches=sketches,
        window=window,
    )


class CellShapes:
    """Splits windows and rolls them up."""

    def __init__(self, qoe: QoeSettings) -> None:
        self._qoe = qoe
        self._buckets: LogBuckets = duration_buckets(qoe)
        self._slow = self._buckets.at_least(qoe.startup_warn_ms)

    def split(self, window: MergedWindow, behind_ms: Callable[[str], float | None]) -> list[Leaves]:
        """Return the leaves of each scope, the largest scopes first; the smallest of too many are one.

        Args:
            behind_ms: from which live latency on viewers of a scope count as fallen behind; None: unknown.
        """
        rows = self._scopes(window)
        code = np.empty(len(window.cells), dtype=np.int64)
        place = np.empty(len(window.cells), dtype=np.int64)
        for number, inside in enumerate(rows.values()):
            code[inside], place[inside] = number, np.arange(len(inside))
        sketches = {
            name: _by_scope(window.sketches.get(name, _EMPTY), code, place, len(rows)) for name in DURATIONS
        }
        return [
            self._leaves(
                name,
                window,
                inside,
                {each: found[number] for each, found in sketches.items()},
                behind_ms(name),
            )
            for number, (name, inside) in enumerate(rows.items())
        ]

    def _scopes(self, window: MergedWindow) -> dict[str, list[int]]:
        """Return the rows of each scope, the largest first."""
        if not self._qoe.scope:
            return {"": list(range(len(window.cells)))}
        at = window.dimensions.index(self._qoe.scope)
        rows: dict[str, list[int]] = {}
        for row, cell in enumerate(window.cells):
            rows.setdefault(cell[at], []).append(row)
        viewers = {name: float(window.sums[where, AT["viewers"]].sum()) for name, where in rows.items()}
        ordered = sorted(rows, key=lambda name: (-viewers[name], name))
        scopes = {name: rows[name] for name in ordered[: self._qoe.max_scopes]}
        for small in ordered[self._qoe.max_scopes :]:
            scopes.setdefault(OTHER, []).extend(rows[small])
        return scopes

    def _leaves(
        self,
        name: str,
        window: MergedWindow,
        rows: list[int],
        sketches: dict[str, BucketCounts],
        behind_ms: float | None,
    ) -> Leaves:
        sums = np.zeros((len(rows), len(COLUMNS)))
        sums[:, : len(MEASURES)] = window.sums[rows]
        starts, latencies = sketches["startup_ms"], sketches["live_latency_ms"]
        sums[:, AT["timed_starts"]] = _counted(starts, len(rows), 0)
        sums[:, AT["slow_starts"]] = _counted(starts, len(rows), self._slow)
        if behind_ms is not None:
            # A viewer tells the latency in every beat: they are tested as so many viewers, not as beats.
            told = _counted(latencies, len(rows), 0)
            behind = _counted(latencies, len(rows), self._buckets.at_least(behind_ms))
            viewers = np.minimum(told, sums[:, AT["viewers"]])
            sums[:, AT["live_viewers"]] = viewers
            sums[:, AT["behind_live"]] = viewers * np.divide(
                behind, told, np.zeros_like(told), where=told > 0
            )
        cells = [window.cells[row] for row in rows]
        dimensions = window.dimensions
        if self._qoe.scope:
            at = dimensions.index(self._qoe.scope)
            cells = [(*cell[:at], *cell[at + 1 :]) for cell in cells]
            dimensions = (*dimensions[:at], *dimensions[at + 1 :])
        return Leaves(name, dimensions, cells, sums, sketches, window)

    def cohorts(self, leaves: Leaves) -> Iterator[Cohort]:
        """Yield everyone, and every cohort of the watched combinations; a missing dimension makes none."""
        everyone = np.zeros(len(leaves.cells), dtype=np.int64)
        total = leaves.sums.sum(axis=0).tolist()
        yield Cohort({}, cell_key({}), total, self._percentiles(leaves, everyone, 1)[0])
        for names in self._qoe.cohorts:
            if not set(names) <= set(leaves.dimensions):
                continue
            places = [leaves.dimensions.index(name) for name in names]
            codes: dict[tuple[str, ...], int] = {}
            group = np.array(
                [codes.setdefault(tuple(cell[at] for at in places), len(codes)) for cell in leaves.cells],
                dtype=np.int64,
            )
            sums = np.zeros((len(codes), len(COLUMNS)))
            np.add.at(sums, group, leaves.sums)
            percentiles = self._percentiles(leaves, group, len(codes))
            for (values, code), row in zip(codes.items(), sums.tolist(), strict=True):
                large = len(names) == 1 or row[AT["viewers"]] >= self._qoe.min_told_viewers
                if all(values) and large:
                    cell = dict(zip(names, values, strict=True))
                    yield Cohort(cell, cell_key(cell), row, percentiles[code])

    def percentile_in(self, leaves: Leaves, which: NDArray[np.bool_], metric: str) -> float | None:
        """Return the 95th percentile that `metric` is of, among some of the leaves."""
        sketch = leaves.sketches[PERCENTILES[metric]]
        inside = which[sketch.cell]
        counts = _sums(sketch.bucket[inside], sketch.count[inside], self._buckets.count)
        return self._buckets.quantile(counts, PERCENTILE)

    def _percentiles(
        self, leaves: Leaves, group: NDArray[np.int64], groups: int
    ) -> list[dict[str, Percentiles]]:
        rows: list[dict[str, Percentiles]] = [{} for _ in range(groups)]
        for name, sketch in leaves.sketches.items():
            if not len(sketch.cell):
                continue
            place = group[sketch.cell] * self._buckets.count + sketch.bucket
            counts = _sums(place, sketch.count, groups * self._buckets.count).reshape(groups, -1)
            half, most = (self._buckets.quantiles(counts, share) for share in (0.5, PERCENTILE))
            for row, p50, p95 in zip(rows, half, most, strict=True):
                row[name] = Percentiles(p50, p95)
        return rows


def _by_scope(
    counts: BucketCounts, code: NDArray[np.int64], place: NDArray[np.int64], scopes: int
) -> list[BucketCounts]:
    """Return the counts of each scope.

    Args:
        code: the scope of each cell.
        place: where it stands among those of its scope.
    """
    of = code[counts.cell]
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(scopes + 1))
    return [
        BucketCounts(place[counts.cell[rows]], counts.bucket[rows], counts.count[rows])
        for rows in (order[start:end] for start, end in pairwise(ends.tolist()))
    ]


def _counted(counts: BucketCounts, cells: int, from_bucket: int) -> Floats:
    beyond = counts.bucket >= from_bucket
    return _sums(counts.cell[beyond], counts.count[beyond], cells)


def _sums(place: NDArray[np.int64], amount: Floats, places: int) -> Floats:
    return np.bincount(place, amount, places).astype(np.float64)
