"""Puts the parts of a window together: one part from each partition of `playback`.

A window is whole when every source that is not idle has a watermark at or past its end. Sources that were
never heard of are waited for. The word that a source is idle holds for a while only, by the broker's time of
the parts: a worker that died would otherwise be taken for idle for ever. With every source idle nothing
closes: silence is no reason to call a window done. A part sent again replaces the one before, so replays
change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cohort_windows import BucketCounts
from topics.cohorts import MEASURES, CohortParts


class MergedWindow(msgspec.Struct, frozen=True):
    """A whole window: `sums` has shape (cells, measures)."""

    start_ms: int
    window_ms: int
    dimensions: tuple[str, ...]
    cells: list[tuple[str, ...]]
    sums: NDArray[np.float64]
    origin_ms: int | None
    sketches: dict[str, BucketCounts] = {}
    """By name of `topics.cohorts.DURATIONS`."""


class Fate(Enum):
    """What became of a part."""

    TAKEN = "taken"
    REPEATED = "repeated"
    """Its window is closed and has it: it was sent again after a crash."""
    LATE = "late"
    """Its window is closed without it."""


class _Source(msgspec.Struct):
    watermark_ms: int
    newest_start_ms: int
    """Start of the newest window it had a part in."""
    idle_until_ms: int
    """Broker's time until which the source need not be waited for."""


class _State(msgspec.Struct):
    sources: dict[int, _Source] = {}
    expected: int = 0
    now_ms: int = 0
    """Newest broker's time of a part."""
    closed_ms: int = -1
    """End of the newest window that was closed."""
    pending: dict[int, dict[int, CohortParts]] = {}


_STATES = msgspec.msgpack.Decoder(_State)


class WindowMerge:
    """Merges parts into windows.

    Args:
        idle_holds_ms: how long the word that a source is idle holds.

    Example:
        >>> def part(source, start, watermark, viewers):
        ...     return CohortParts(time_ms=start, source=source, sources=2, window_start_ms=start,
        ...         window_ms=10, watermark_ms=watermark, dimensions=["cdn"], cells=[["a"]],
        ...         measures={name: [viewers] for name in MEASURES})
        >>> merge = WindowMerge(idle_holds_ms=6_000)
        >>> merge.add(part(0, 0, 10, 3.0), 1), merge.close()
        (<Fate.TAKEN: 'taken'>, [])
        >>> merge.add(part(1, 0, 20, 4.0), 2), [float(w.sums[0, 0]) for w in merge.close()]
        (<Fate.TAKEN: 'taken'>, [7.0])
        >>> merge.add(part(1, 0, 20, 4.0), 3)
        <Fate.REPEATED: 'repeated'>
    """

    def __init__(self, idle_holds_ms: int) -> None:
        self._idle_holds_ms = idle_holds_ms
        self._state = _State()

    def add(self, part: CohortParts, sent_ms: int) -> Fate:
        """Take a part in, unless its window is closed. The parts of a source come in the order of windows.

        Args:
            sent_ms: the broker's time of the part.
        """
        state = self._state
        state.now_ms = max(state.now_ms, sent_ms)
        state.expected = max(state.expected, part.sources)
        known = state.sources.get(part.source)
        newest = max(part.watermark_ms, known.watermark_ms if known is not None else 0)
        idle_until_ms = sent_ms + self._idle_holds_ms if part.idle else -1
        had_ms = known.newest_start_ms if known is not None else -1
        state.sources[part.source] = source = _Source(newest, had_ms, idle_until_ms)
        if not part.cells:
            return Fate.TAKEN
        if part.window_start_ms + part.window_ms <= state.closed_ms:
            return Fate.REPEATED if part.window_start_ms <= had_ms else Fate.LATE
        source.newest_start_ms = max(had_ms, part.window_start_ms)
        state.pending.setdefault(part.window_start_ms, {})[part.source] = part
        return Fate.TAKEN

    @property
    def watermark_ms(self) -> int | None:
        """Up to where all that speak have spoken; None where that is not known."""
        state = self._state
        if len(state.sources) < state.expected:
            return None
        waited_for = [each for each in state.sources.values() if each.idle_until_ms < state.now_ms]
        return min((each.watermark_ms for each in waited_for), default=None)

    @property
    def all_idle(self) -> bool:
        """Whether every source says that it has nothing to wait for."""
        state = self._state
        known = 0 < state.expected <= len(state.sources)
        return known and all(each.idle_until_ms >= state.now_ms for each in state.sources.values())

    @property
    def now_ms(self) -> int:
        """The newest broker's time of a part."""
        return self._state.now_ms

    def close(self) -> list[MergedWindow]:
        """Return the windows that are whole, oldest first, and forget them."""
        watermark = self.watermark_ms
        if watermark is None:
            return []
        whole = []
        for start in sorted(self._state.pending):
            parts = self._state.pending[start]
            end = start + next(iter(parts.values())).window_ms
            if end > watermark:
                break
            whole.append(_merged(parts.values()))
            del self._state.pending[start]
        self._state.closed_ms = max(self._state.closed_ms, watermark)
        return whole

    def snapshot(self) -> bytes:
        """Return all that is known."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told."""
        self._state = _STATES.decode(data)


def _merged(parts: Iterable[CohortParts]) -> MergedWindow:
    # In the order of the sources, so that sums of fractions do not depend on the order of arrival.
    ordered = sorted(parts, key=lambda part: part.source)
    codes: dict[tuple[str, ...], int] = {}
    where = [codes.setdefault(tuple(cell), len(codes)) for part in ordered for cell in part.cells]
    sums = np.zeros((len(codes), len(MEASURES)))
    for column, name in enumerate(MEASURES):
        values = [value for part in ordered for value in part.measures.get(name, [0.0] * len(part.cells))]
        sums[:, column] = np.bincount(where, values, len(codes))
    origins = [part.origin_ms for part in ordered if part.origin_ms is not None]
    first = ordered[0]
    return MergedWindow(
        start_ms=first.window_start_ms,
        window_ms=first.window_ms,
        dimensions=tuple(first.dimensions),
        cells=list(codes),
        sums=sums,
        origin_ms=max(origins, default=None),
        sketches=_merged_sketches(ordered, np.array(where, dtype=np.int64)),
    )


def _merged_sketches(parts: Sequence[CohortParts], where: NDArray[np.int64]) -> dict[str, BucketCounts]:
    """Counts of all parts; of one cell and bucket there may be several, which are added up when read.

    Args:
        where: the merged cell of each cell of each part, one part after the other.
    """
    ends = np.cumsum([len(part.cells) for part in parts])
    merged: dict[str, list[BucketCounts]] = {}
    for part, end in zip(parts, ends.tolist(), strict=True):
        cells = where[end - len(part.cells) : end]
        for name, sketch in part.sketches.items():
            counts = BucketCounts(
                cells[np.array(sketch.cell, dtype=np.int64)],
                np.array(sketch.bucket, dtype=np.int64),
                np.array(sketch.count, dtype=np.float64),
            )
            merged.setdefault(name, []).append(counts)
    return {
        name: BucketCounts(
            np.concatenate([each.cell for each in found]),
            np.concatenate([each.bucket for each in found]),
            np.concatenate([each.count for each in found]),
        )
        for name, found in merged.items()
    }
