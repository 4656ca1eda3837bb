"""Event-time windows of playback beats: sums per leaf cell, for one partition.

A leaf cell is one combination of all dimensions. Windows tumble. The watermark trails the newest event time
by the allowed lateness; a window closes when the watermark passes its end, and a beat of a closed window is
late. Lateness is decided beat by beat in offset order, so the result does not depend on where batches end.

Source of windows, watermarks and lateness: Akidau et al., "The Dataflow Model", VLDB 2015, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from topics.cohorts import MEASURES

OTHER = "other"
"""Every dimension of the cell that takes what exceeds the limit on cells."""

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


@dataclass(frozen=True, slots=True)
class WindowSums:
    """One window: `sums` has shape (cells, measures)."""

    start_ms: int
    cells: list[tuple[str, ...]]
    sums: NDArray[np.float64]
    folded: int


@dataclass(slots=True)
class _Window:
    codes: dict[tuple[str, ...], int] = field(default_factory=dict)
    folded: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((16, len(MEASURES))))
    rows: list[NDArray[np.void]] = field(default_factory=list)
    """Sessions seen, as chunks of `_ROW`; made distinct now and then."""
    pending: int = 0


_ROW = np.dtype([("cell", "<i4"), ("session", "<u8"), ("stalled", "?"), ("weight", "<f8")])


class _WindowState(msgspec.Struct, array_like=True):
    start_ms: int
    cells: list[tuple[str, ...]]
    folded: int
    sums: bytes
    rows: bytes


class _State(msgspec.Struct, array_like=True):
    newest_ms: int
    windows: list[_WindowState]


class CohortWindows:
    """Sums beats into windows.

    Memory grows with the cells and sessions of the open windows and with nothing else: 21 bytes a session and
    cell, 104 bytes a cell.

    Args:
        window_ms: length of a window.
        lateness_ms: how far behind the newest beat a beat may come and still be counted.
        max_cells: cells of a window beyond which new combinations fold into ``other``.
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

    def __init__(self, *, window_ms: int, lateness_ms: int, max_cells: int, dimensions: int) -> None:
        self._window_ms = window_ms
        self._lateness_ms = lateness_ms
        self._max_cells = max_cells
        self._other = (OTHER,) * dimensions
        self._newest_ms = -1
        self._windows: dict[int, _Window] = {}

    @property
    def watermark_ms(self) -> int:
        """No beat before this time will be counted any more; negative while nothing was seen."""
        return self._newest_ms - self._lateness_ms if self._newest_ms >= 0 else -1

    def add_many(self, beats: BeatColumns) -> NDArray[np.bool_]:
        """Take beats in and return, for each, whether it was late and so left out."""
        newest = np.maximum.accumulate(np.concatenate(([self._newest_ms], beats.time_ms)))
        start = beats.time_ms // self._window_ms * self._window_ms
        late: NDArray[np.bool_] = start + self._window_ms <= newest[:-1] - self._lateness_ms
        self._newest_ms = int(newest[-1])
        for window_start in np.unique(start[~late]).tolist():
            window = self._windows.setdefault(window_start, _Window())
            self._sum(window, beats, np.flatnonzero((start == window_start) & ~late))
        return late

    def close(self) -> list[WindowSums]:
        """Return the windows that the watermark has passed, oldest first, and forget them."""
        done = sorted(start for start in self._windows if start + self._window_ms <= self.watermark_ms)
        return [self._summed(start, self._windows.pop(start)) for start in done]

    def open(self) -> list[WindowSums]:
        """Return the windows not closed yet, as they stand, oldest first."""
        return [self._summed(start, self._windows[start]) for start in sorted(self._windows)]

    def snapshot(self) -> bytes:
        """Return all that is known."""
        windows = []
        for start in sorted(self._windows):
            window = self._windows[start]
            _compact(window)
            sums = window.sums[: len(window.codes)]
            rows = window.rows[0].tobytes() if window.rows else b""
            windows.append(_WindowState(start, list(window.codes), window.folded, sums.tobytes(), rows))
        return msgspec.msgpack.encode(_State(self._newest_ms, windows))

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told."""
        state = msgspec.msgpack.decode(data, type=_State)
        self._newest_ms = state.newest_ms
        self._windows = {}
        for each in state.windows:
            window = _Window({tuple(cell): code for code, cell in enumerate(each.cells)}, each.folded)
            window.sums = np.frombuffer(each.sums).reshape(-1, len(MEASURES)).copy()
            if each.rows:
                window.rows = [np.frombuffer(each.rows, dtype=_ROW).copy()]
            self._windows[each.start_ms] = window

    def _sum(self, window: _Window, beats: BeatColumns, which: NDArray[np.intp]) -> None:
        codes = np.array([self._code(window, beats.cells[i]) for i in which.tolist()], dtype=np.int32)
        cells = len(window.codes)
        if cells > len(window.sums):
            grown = np.zeros((max(cells, 2 * len(window.sums)), len(MEASURES)))
            grown[: len(window.sums)] = window.sums
            window.sums = grown
        np.add.at(window.sums, codes, beats.sums[which])
        rows = np.empty(len(which), dtype=_ROW)
        rows["cell"] = codes
        rows["session"] = beats.sessions[which]
        rows["stalled"] = beats.stalled[which]
        rows["weight"] = beats.weight[which]
        window.rows.append(rows)
        window.pending += len(rows)
        if window.pending > max(_COMPACT_ROWS, 2 * len(window.rows[0])):
            _compact(window)

    def _code(self, window: _Window, cell: tuple[str, ...]) -> int:
        code = window.codes.get(cell)
        if code is None:
            if len(window.codes) >= self._max_cells:
                window.folded += 1
                cell = self._other
            code = window.codes.setdefault(cell, len(window.codes))
        return code

    def _summed(self, start: int, window: _Window) -> WindowSums:
        _compact(window)
        cells = len(window.codes)
        sums = window.sums[:cells].copy()
        rows = window.rows[0]
        sums[:, _VIEWERS] = np.bincount(rows["cell"], rows["weight"], cells)
        sums[:, _STALLED] = np.bincount(rows["cell"], rows["weight"] * rows["stalled"], cells)
        return WindowSums(start, list(window.codes), sums, window.folded)


def _compact(window: _Window) -> None:
    """Make the sessions of a window distinct per cell: one that stalled once has stalled."""
    window.pending = 0
    if len(window.rows) < 2:
        rows = window.rows[0] if window.rows else np.empty(0, dtype=_ROW)
    else:
        rows = np.concatenate(window.rows)
    if not len(rows):
        window.rows = [rows]
        return
    order = np.lexsort((rows["session"], rows["cell"]))
    rows = rows[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows["cell"][1:] != rows["cell"][:-1]) | (rows["session"][1:] != rows["session"][:-1])
    group = np.cumsum(first) - 1
    distinct = rows[first].copy()
    distinct["stalled"] = np.bincount(group, rows["stalled"]) > 0
    window.rows = [distinct]
