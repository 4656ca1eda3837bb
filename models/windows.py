"""Event-time windows over keyed columns of numbers: count, sum, min, max, mean and variance.

The timeline is cut into panes of `slide_ms`, and a window is the `window_ms / slide_ms` panes before its end:
one where windows tumble, several where they slide, so that each row is added once however many windows it
is in (Li et al., "No Pane, No Gain", SIGMOD Record 2005). Windows, watermark and lateness are those of
Akidau et al., "The Dataflow Model", VLDB 2015, section 2: the watermark trails the newest event time by the
allowed lateness, and a window closes when the watermark reaches its end.

A row that comes when windows of its time have closed is returned with the number of those it missed; it
counts in the ones that are open still. Lateness is decided row by row and sums are taken in the rows' order,
so that what is told is the same to the last bit however the rows are cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.anomaly.state import Stateful

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_KEY_BITS = 24
MAX_KEYS = 1 << _KEY_BITS
"""Keys are numbers below this one."""

_KEY_MASK = MAX_KEYS - 1
_LEAST_SLIDE_MS = 10
"""Panes are numbered since 1970; with shorter ones the number and the key would not fit 63 bits."""


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """What one window holds, a row a key, keys growing."""

    start_ms: int
    end_ms: int
    closed_by: int
    """The row, of those just added, whose time closed it."""
    key: Ints
    count: Ints
    sum: Floats
    min: Floats
    max: Floats
    variance: Floats
    """Of the values as they are, divided by their count."""

    @property
    def mean(self) -> Floats:
        """The mean of each key."""
        return self.sum / self.count


@dataclass(frozen=True, slots=True)
class Added:
    """What came of adding rows."""

    missed: Ints
    """Of each row, the number of windows it came too late for; 0 where it came in time."""
    refused: npt.NDArray[np.bool_]
    """Of each row, whether it was left out since its key and pane were new and all `max_cells` are in use."""
    closed: list[ClosedWindow]
    """In the order of their ends."""


@dataclass
class KeyedWindows(Stateful):
    """Sum rows up by key and window.

    Args:
        window_ms: How long a window is.
        slide_ms: From the end of one to the end of the next; the same as `window_ms` where they tumble.
        lateness_ms: How far behind the newest event time a row may come and still be in time.
        max_cells: Keys times panes remembered at most, of 56 bytes each.

    Raises:
        ValueError: `window_ms` is no multiple of `slide_ms`, or that is too short.

    Example:
        >>> windows = KeyedWindows(window_ms=10_000, slide_ms=10_000, lateness_ms=2_000, max_cells=100)
        >>> added = windows.add_many(
        ...     key=np.array([0, 1, 0, 0, 1]), time_ms=np.array([1_000, 2_000, 9_000, 12_500, 3_000]),
        ...     value=np.array([1.0, 5.0, 3.0, 7.0, 2.0]))
        >>> [(window.end_ms, window.key.tolist(), window.mean.tolist()) for window in added.closed]
        [(10000, [0, 1], [2.0, 5.0])]
        >>> added.missed.tolist()
        [0, 0, 0, 0, 1]
    """

    window_ms: int
    slide_ms: int
    lateness_ms: int
    max_cells: int
    watermark_ms: int = field(init=False, default=-1)
    """No window that ends by this time takes rows any more; -1 before the first row."""
    _closed_pane: int = field(init=False, default=-1)
    """The last pane that ended a closed window."""
    _codes: Ints = field(init=False)
    """Pane and key of each cell, as one number, growing; the columns below go with it."""
    _count: Ints = field(init=False)
    _first: Floats = field(init=False)
    """The first value: what the sums are taken from, so that they lose no digits at a high level."""
    _sum: Floats = field(init=False)
    _squares: Floats = field(init=False)
    _min: Floats = field(init=False)
    _max: Floats = field(init=False)

    def __post_init__(self) -> None:
        if self.slide_ms < _LEAST_SLIDE_MS or self.window_ms < self.slide_ms:
            raise ValueError(f"slide_ms is {self.slide_ms}: from {_LEAST_SLIDE_MS} to window_ms is possible")
        if self.window_ms % self.slide_ms:
            raise ValueError(f"window_ms {self.window_ms} is no multiple of slide_ms {self.slide_ms}")
        self._codes, self._count = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self._first, self._sum, self._squares, self._min, self._max = (np.zeros(0) for _ in range(5))

    @property
    def cells(self) -> int:
        """Keys times panes remembered now."""
        return len(self._codes)

    def keys(self) -> Ints:
        """Return the keys that open windows hold, growing."""
        return np.unique(self._codes & _KEY_MASK)

    def add_many(self, key: Ints, time_ms: Ints, value: Floats) -> Added:
        """Add rows, in order, and close what they close.

        Args:
            key: int64[n], each at least 0 and below `MAX_KEYS`.
            time_ms: int64[n], event times since 1970.
            value: float64[n], finite.
        """
        watermark = np.maximum(np.maximum.accumulate(time_ms) - self.lateness_ms, self.watermark_ms)
        passed = watermark // self.slide_ms - 1
        pane = time_ms // self.slide_ms
        # A row's own time may close windows, never the first it is in: lateness is not negative.
        missed = np.clip(passed - pane + 1, 0, self._panes)
        refused = np.zeros(len(key), dtype=bool)
        closed: list[ClosedWindow] = []
        # Rows between two closings go together; a closing comes before the row that brings it.
        turns = np.flatnonzero(np.diff(passed, prepend=self._closed_pane) > 0).tolist()
        starts = turns if turns[:1] == [0] else [0, *turns]
        for start, end in zip(starts, [*starts[1:], len(key)], strict=True):
            if len(key) and passed[start] > self._closed_pane:
                closed += self._close(int(passed[start]), start)
            rows = np.arange(start, end)[missed[start:end] < self._panes]
            if len(rows):
                refused[rows] = self._add(pane[rows] << _KEY_BITS | key[rows], value[rows])
        if len(key):
            self.watermark_ms = int(watermark[-1])
        return Added(missed, refused, closed)

    @property
    def _panes(self) -> int:
        return self.window_ms // self.slide_ms

    def _add(self, codes: Ints, value: Floats) -> npt.NDArray[np.bool_]:
        """Add rows to their cells, and return which found no room."""
        at = np.searchsorted(self._codes, codes)
        known = np.zeros(len(codes), dtype=bool)
        inside = at < len(self._codes)
        known[inside] = self._codes[at[inside]] == codes[inside]
        refused = np.zeros(len(codes), dtype=bool)
        if not known.all():
            new, first = np.unique(codes[~known], return_index=True)
            room = self.max_cells - len(self._codes)
            if len(new) > room:
                # Who came first stays, so that it does not matter where a batch ends.
                keep = np.sort(np.argsort(first, kind="stable")[: max(room, 0)])
                new, first = new[keep], first[keep]
            self._insert(new, value[~known][first])
            at = np.searchsorted(self._codes, codes)
            if len(self._codes):
                refused = self._codes[np.minimum(at, len(self._codes) - 1)] != codes
            else:
                refused[:] = True
            at, value = at[~refused], value[~refused]
        departure = value - self._first[at]
        # `add.at` goes in order, as adding one by one would: the sums do not depend on the batch.
        np.add.at(self._count, at, 1)
        np.add.at(self._sum, at, departure)
        np.add.at(self._squares, at, departure * departure)
        np.minimum.at(self._min, at, value)
        np.maximum.at(self._max, at, value)
        return refused

    def _insert(self, codes: Ints, first: Floats) -> None:
        at = np.searchsorted(self._codes, codes)
        self._codes = np.insert(self._codes, at, codes)
        self._count = np.insert(self._count, at, 0)
        self._first = np.insert(self._first, at, first)
        self._sum = np.insert(self._sum, at, 0.0)
        self._squares = np.insert(self._squares, at, 0.0)
        self._min = np.insert(self._min, at, first)
        self._max = np.insert(self._max, at, first)

    def _close(self, passed: int, closed_by: int) -> list[ClosedWindow]:
        """Close the windows that end with a pane up to `passed`, and forget what no open window needs."""
        windows = []
        pane_of = self._codes >> _KEY_BITS
        # Only windows with something in them: after a gap of days there may be millions of empty ones.
        ends = {pane + ahead for pane in np.unique(pane_of).tolist() for ahead in range(self._panes)}
        for last in sorted(end for end in ends if self._closed_pane < end <= passed):
            first = last - self._panes + 1
            low, high = np.searchsorted(self._codes, [first << _KEY_BITS, (last + 1) << _KEY_BITS])
            windows.append(self._window(first, last, closed_by, slice(low, high)))
        self._closed_pane = passed
        gone = int(np.searchsorted(self._codes, (passed - self._panes + 2) << _KEY_BITS))
        for name in ("_codes", "_count", "_first", "_sum", "_squares", "_min", "_max"):
            setattr(self, name, getattr(self, name)[gone:].copy())
        return windows

    def _window(self, first: int, last: int, closed_by: int, cells: slice) -> ClosedWindow:
        key, at = np.unique(self._codes[cells] & _KEY_MASK, return_inverse=True)
        count = np.zeros(len(key), dtype=np.int64)
        total, mean, squares = np.zeros(len(key)), np.zeros(len(key)), np.zeros(len(key))
        least, most = np.full(len(key), np.inf), np.full(len(key), -np.inf)
        panes = (self._codes[cells] >> _KEY_BITS) - first
        for pane in np.unique(panes).tolist():
            here = np.flatnonzero(panes == pane)
            rows, to = np.arange(cells.start, cells.stop)[here], at[here]
            n = self._count[rows]
            own_mean = self._first[rows] + self._sum[rows] / n
            own_squares = np.maximum(self._squares[rows] - self._sum[rows] ** 2 / n, 0.0)
            # Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
            apart, both = own_mean - mean[to], count[to] + n
            squares[to] += own_squares + apart**2 * (count[to] * n / both)
            mean[to] += apart * (n / both)
            count[to] = both
            total[to] += self._first[rows] * n + self._sum[rows]
            least[to] = np.minimum(least[to], self._min[rows])
            most[to] = np.maximum(most[to], self._max[rows])
        start_ms, end_ms = first * self.slide_ms, (last + 1) * self.slide_ms
        return ClosedWindow(start_ms, end_ms, closed_by, key, count, total, least, most, squares / count)
