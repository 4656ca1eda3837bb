"""Event-time windows of playback beats: sums per leaf cell, for one partition.

A leaf cell is one combination of all dimensions. Beats are kept in panes as long as the slide; a window ends
with each pane and holds it and those before it, so windows overlap unless the slide is as long as they are.
A viewer of several panes counts once: panes keep sessions, and a window is their union. The watermark trails
the newest event time by the allowed lateness; a pane closes when the watermark passes its end, and a beat of
a closed pane is late. Lateness is decided beat by beat in offset order, so the result does not depend on
where batches end.

Cells are bounded. As the bound comes near, new combinations fold into coarser ones: beyond three quarters of
it their last dimension is called ``other``, beyond seven eighths their last two, and so on, so that what the
first dimensions tell stays whole the longest.

Source of windows, watermarks and lateness: Akidau et al., "The Dataflow Model", VLDB 2015, section 2; of
panes: Li et al., "No Pane, No Gain", SIGMOD Record 34 (2005).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from topics.cohorts import MEASURES

OTHER = "other"
"""What a dimension is called of viewers who are not told apart by it any more."""

_VIEWERS = MEASURES.index("viewers")
_STALLED = MEASURES.index("stalled_viewers")
_COMPACT_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class BeatColumns:
    """Beats as columns, in offset order.

    `cells[i]` are the dimension values of beat i, `sessions[i]` a 64-bit hash of its session. `sums` has
    shape (beats, measures) in the order of `topics.cohorts.MEASURES`; its columns of viewers are ignored:
    viewers are counted here, each session once.
    """

    time_ms: NDArray[np.int64]
    cells: Sequence[tuple[str, ...]]
    sessions: NDArray[np.uint64]
    stalled: NDArray[np.bool_]
    weight: NDArray[np.float64]
    sums: NDArray[np.float64]
    buckets: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    """By name of `topics.cohorts.DURATIONS`: the bucket of each beat, `NO_BUCKET` where it tells none."""


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """Counts by cell and bucket, those that are not 0, ordered by both."""

    cell: NDArray[np.int64]
    bucket: NDArray[np.int64]
    count: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WindowSums:
    """One window: `sums` has shape (cells, measures)."""

    start_ms: int
    cells: list[tuple[str, ...]]
    sums: NDArray[np.float64]
    folded: int
    """Beats whose combination was folded into a coarser one, and cells that the union of panes folded."""
    sketches: dict[str, BucketCounts] = field(default_factory=dict)


@dataclass(slots=True)
class _Pane:
    codes: dict[tuple[str, ...], int] = field(default_factory=dict)
    folded: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((16, len(MEASURES))))
    rows: list[NDArray[np.void]] = field(default_factory=list)
    """Sessions seen, as chunks of `_ROW`; made distinct now and then."""
    pending: int = 0
    counted: dict[str, list[NDArray[np.void]]] = field(default_factory=dict)
    """Counts by cell and bucket, as chunks of `_COUNT`; added up with the sessions."""

    def add_sums(self, codes: NDArray[np.int32], sums: NDArray[np.float64]) -> None:
        cells = len(self.codes)
        if cells > len(self.sums):
            grown = np.zeros((max(cells, 2 * len(self.sums)), len(MEASURES)))
            grown[: len(self.sums)] = self.sums
            self.sums = grown
        np.add.at(self.sums, codes, sums)


NO_BUCKET = -1
_COUNT = np.dtype([("cell", "<i4"), ("bucket", "<i4"), ("count", "<f8")])
_ROW = np.dtype([("cell", "<i4"), ("session", "<u8"), ("stalled", "?"), ("weight", "<f8")])


class _PaneState(msgspec.Struct, array_like=True):
    start_ms: int
    cells: list[tuple[str, ...]]
    folded: int
    sums: bytes
    rows: bytes
    counted: dict[str, bytes] = {}


class _State(msgspec.Struct, array_like=True):
    newest_ms: int
    panes: list[_PaneState]
    slide_ms: int = 0
    closed_ms: int = -1


_STATES = msgspec.msgpack.Decoder(_State)


class CohortWindows:
    """Sums beats into windows.

    Memory grows with the cells and sessions of the open panes and of those inside a window to come, and with
    nothing else: by pane, 21 bytes a session and cell, 8 a cell and measure, 16 a cell and bucket met.
    There are `window_ms` / `slide_ms` panes, and those that the lateness holds open.

    Args:
        window_ms: length of a window.
        slide_ms: how often one ends; `window_ms` is a multiple of it. None: as long as the window.
        lateness_ms: how far behind the newest beat a beat may come and still be counted.
        max_cells: bound on the cells of a window.
        dimensions: how many dimensions a cell has.

    Example:
        >>> windows = CohortWindows(window_ms=1000, lateness_ms=0, max_cells=10, dimensions=1)
        >>> def beats(times, cdn):
        ...     n = len(times)
        ...     return BeatColumns(np.array(times), [(cdn,)] * n, np.arange(n, dtype=np.uint64),
        ...                        np.zeros(n, bool), np.ones(n), np.zeros((n, len(MEASURES))))
        >>> windows.add_many(beats([100, 200], "a")).tolist()
        [False, False]
        >>> windows.add_many(beats([1300], "b")).tolist(), windows.add_many(beats([900], "a")).tolist()
        ([False], [True])
        >>> [(w.start_ms, w.cells, float(w.sums[0, 0])) for w in windows.close()]
        [(0, [('a',)], 2.0)]
    """

    def __init__(
        self,
        *,
        window_ms: int,
        lateness_ms: int,
        max_cells: int,
        dimensions: int,
        slide_ms: int | None = None,
    ) -> None:
        self._window_ms = window_ms
        self._slide_ms = slide_ms or window_ms
        if window_ms % self._slide_ms:
            raise ValueError(f"a window of {window_ms} ms is no multiple of a slide of {slide_ms} ms")
        self._lateness_ms = lateness_ms
        # How many cells there may be while so many of the dimensions are told apart, from none to all.
        self._room = [
            max_cells if not told else int(max_cells * (1 - 0.5 ** (dimensions - told + 2)))
            for told in range(dimensions + 1)
        ]
        self._newest_ms = -1
        self._closed_ms = -1
        self._panes: dict[int, _Pane] = {}

    @property
    def watermark_ms(self) -> int:
        """No beat before this time will be counted any more; negative while nothing was seen."""
        return self._newest_ms - self._lateness_ms if self._newest_ms >= 0 else -1

    def add_many(self, beats: BeatColumns) -> NDArray[np.bool_]:
        """Take beats in and return, for each, whether it was late and so left out."""
        newest = np.maximum.accumulate(np.concatenate(([self._newest_ms], beats.time_ms)))
        start = beats.time_ms // self._slide_ms * self._slide_ms
        late: NDArray[np.bool_] = start + self._slide_ms <= newest[:-1] - self._lateness_ms
        self._newest_ms = int(newest[-1])
        for pane_start in np.unique(start[~late]).tolist():
            pane = self._panes.setdefault(pane_start, _Pane())
            self._sum(pane, beats, np.flatnonzero((start == pane_start) & ~late))
        return late

    def close(self) -> list[WindowSums]:
        """Return the windows that the watermark has passed, oldest first, and forget what no other needs."""
        boundary = self.watermark_ms // self._slide_ms * self._slide_ms
        closed = [self._summed(start) for start in self._starts() if start + self._window_ms <= boundary]
        self._closed_ms = max(self._closed_ms, boundary)
        self._panes = {at: pane for at, pane in self._panes.items() if at + self._window_ms > boundary}
        return closed

    def open(self) -> list[WindowSums]:
        """Return the windows not closed yet, as they stand, oldest first."""
        return [self._summed(start) for start in self._starts()]

    def snapshot(self) -> bytes:
        """Return all that is known."""
        panes = []
        for start in sorted(self._panes):
            pane = self._panes[start]
            _compact(pane)
            sums = pane.sums[: len(pane.codes)]
            rows = pane.rows[0].tobytes() if pane.rows else b""
            counted = {name: chunks[0].tobytes() for name, chunks in pane.counted.items()}
            panes.append(_PaneState(start, list(pane.codes), pane.folded, sums.tobytes(), rows, counted))
        return msgspec.msgpack.encode(_State(self._newest_ms, panes, self._slide_ms, self._closed_ms))

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told. Panes of another slide fit no window, and are left out."""
        state = _STATES.decode(data)
        self._newest_ms = state.newest_ms
        self._closed_ms = state.closed_ms
        self._panes = {}
        for each in state.panes if state.slide_ms in {0, self._slide_ms} else ():
            pane = _Pane({tuple(cell): code for code, cell in enumerate(each.cells)}, each.folded)
            pane.sums = np.frombuffer(each.sums).reshape(-1, len(MEASURES)).copy()
            if each.rows:
                pane.rows = [np.frombuffer(each.rows, dtype=_ROW).copy()]
            pane.counted = {
                name: [np.frombuffer(data, dtype=_COUNT).copy()] for name, data in each.counted.items()
            }
            self._panes[each.start_ms] = pane

    def _starts(self) -> list[int]:
        """The windows not closed yet that hold a pane; none begins before the first of all times."""
        reach = range(self._slide_ms - self._window_ms, self._slide_ms, self._slide_ms)
        starts = {at + back for at in self._panes for back in reach}
        return sorted(start for start in starts if start >= 0 and start + self._window_ms > self._closed_ms)

    def _sum(self, pane: _Pane, beats: BeatColumns, which: NDArray[np.intp]) -> None:
        codes = np.array([self._code(pane, beats.cells[i]) for i in which.tolist()], dtype=np.int32)
        pane.add_sums(codes, beats.sums[which])
        rows = np.empty(len(which), dtype=_ROW)
        rows["cell"] = codes
        rows["session"] = beats.sessions[which]
        rows["stalled"] = beats.stalled[which]
        rows["weight"] = beats.weight[which]
        pane.rows.append(rows)
        for name, buckets in beats.buckets.items():
            told = buckets[which] != NO_BUCKET
            if told.any():
                counts = np.empty(int(told.sum()), dtype=_COUNT)
                counts["cell"] = codes[told]
                counts["bucket"] = buckets[which][told]
                counts["count"] = beats.weight[which][told]
                pane.counted.setdefault(name, []).append(counts)
        pane.pending += len(rows)
        if pane.pending > max(_COMPACT_ROWS, 2 * len(pane.rows[0])):
            _compact(pane)

    def _code(self, pane: _Pane, cell: tuple[str, ...]) -> int:
        code = pane.codes.get(cell)
        told = len(cell)
        if code is None and len(pane.codes) >= self._room[told]:
            pane.folded += 1
            while code is None and told and len(pane.codes) >= self._room[told]:
                told -= 1
                cell = cell[:told] + (OTHER,) * (len(cell) - told)
                code = pane.codes.get(cell)
        if code is None:
            code = pane.codes[cell] = len(pane.codes)
        return code

    def _summed(self, start: int) -> WindowSums:
        panes = [
            self._panes[at]
            for at in range(start, start + self._window_ms, self._slide_ms)
            if at in self._panes
        ]
        whole = panes[0] if len(panes) == 1 else self._union(panes)
        _compact(whole)
        cells = len(whole.codes)
        sums = whole.sums[:cells].copy()
        rows = whole.rows[0]
        sums[:, _VIEWERS] = np.bincount(rows["cell"], rows["weight"], cells)
        sums[:, _STALLED] = np.bincount(rows["cell"], rows["weight"] * rows["stalled"], cells)
        sketches = {
            name: BucketCounts(
                chunks[0]["cell"].astype(np.int64),
                chunks[0]["bucket"].astype(np.int64),
                chunks[0]["count"].copy(),
            )
            for name, chunks in whole.counted.items()
        }
        return WindowSums(start, list(whole.codes), sums, whole.folded, sketches)

    def _union(self, panes: Sequence[_Pane]) -> _Pane:
        """Return one pane of all, in which cells fold anew: each may have had room for other combinations."""
        whole = _Pane(folded=sum(pane.folded for pane in panes))
        for pane in panes:
            _compact(pane)
            where = np.array([self._code(whole, cell) for cell in pane.codes], dtype=np.int32)
            whole.add_sums(where, pane.sums[: len(where)])
            whole.rows.append(_moved(pane.rows[0], where))
            for name, chunks in pane.counted.items():
                whole.counted.setdefault(name, []).append(_moved(chunks[0], where))
        return whole


def _moved(rows: NDArray[np.void], where: NDArray[np.int32]) -> NDArray[np.void]:
    moved = rows.copy()
    moved["cell"] = where[rows["cell"]]
    return moved


def _compact(pane: _Pane) -> None:
    """Make sessions distinct per cell: one that stalled once has stalled. Add up the counts of durations."""
    pane.pending = 0
    pane.counted = {name: [_added_up(chunks)] for name, chunks in pane.counted.items()}
    if len(pane.rows) < 2:
        rows = pane.rows[0] if pane.rows else np.empty(0, dtype=_ROW)
    else:
        rows = np.concatenate(pane.rows)
    if not len(rows):
        pane.rows = [rows]
        return
    order = np.lexsort((rows["session"], rows["cell"]))
    rows = rows[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows["cell"][1:] != rows["cell"][:-1]) | (rows["session"][1:] != rows["session"][:-1])
    group = np.cumsum(first) - 1
    distinct = rows[first].copy()
    distinct["stalled"] = np.bincount(group, rows["stalled"]) > 0
    pane.rows = [distinct]


def _added_up(chunks: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    rows = np.concatenate(chunks)
    place, group = np.unique(rows["cell"].astype(np.int64) << 32 | rows["bucket"], return_inverse=True)
    sums = np.empty(len(place), dtype=_COUNT)
    sums["cell"], sums["bucket"] = place >> 32, place & 0xFFFFFFFF
    sums["count"] = np.bincount(group, rows["count"])
    return sums
