"""A batch cut so that arrays can be used on it and the order within each series is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]

NARROW: Final = 32
"""A round over fewer series than this costs more on arrays than its events do one by one."""


class Grid(NamedTuple):
    """The events of the wide rounds laid end to end, with the rank of each one's series and its round."""

    events: Index
    rank: Index
    number: Index
    edges: Index
    """Where each round begins, and where the last one ends."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """The events of a batch by series, the busiest series first.

    `order` holds the places of the events in the batch, those of a series next to each other and in order;
    series i has `count[i]` of them from `first[i]` on. Round r has the event number r of each series that has
    so many: events of different series, so one array operation may read and write the state of all.

    Example:
        >>> slots = np.array([7, 3, 7, 7, 3], dtype=np.int32)
        >>> rounds = Rounds.of(slots)
        >>> [events.tolist() for events in rounds.wide(narrow=2)]
        [[0, 1], [2, 4]]
        >>> [events.tolist() for events in rounds.rest(narrow=2)]
        [[3]]
    """

    order: Index
    first: Index
    count: Index

    @classmethod
    def of(cls, slots: npt.NDArray[np.int32], start: int = 0) -> Rounds:
        """Return the rounds of events of the series of these slots, int32[n], from place `start` on."""
        # Slot and place in one key: sorting it is several times as fast as a stable argsort of the slots.
        keys = (slots.astype(np.int64) << 32) | np.arange(len(slots))
        keys.sort()
        order = (keys & 0xFFFFFFFF) + start
        series = keys >> 32
        first = np.flatnonzero(np.diff(series, prepend=-1))
        count = np.diff(first, append=len(slots))
        if len(first) == len(slots):
            return cls(order, first, count)
        busiest_first = np.argsort(-count, kind="stable")
        return cls(order, first[busiest_first], count[busiest_first])

    def grid(self, narrow: int) -> Grid:
        """Return the events of the rounds that have at least `narrow` of them."""
        # Counts fall, so that how many series have more than r events is found from behind.
        numbers = np.arange(self._wide_rounds(narrow))
        widths = len(self.count) - np.searchsorted(self.count[::-1], numbers, side="right")
        edges = np.concatenate((numbers[:0], [0], np.cumsum(widths)))
        number = np.repeat(numbers, widths)
        rank = np.arange(edges[-1]) - edges[number]
        return Grid(self.order[self.first[rank] + number], rank, number, edges)

    def after(self, done: Index) -> Rounds:
        """Return what is left when the first `done[i]` events of each series i are taken away."""
        left = self.count - done
        some = np.flatnonzero(left)
        some = some[np.argsort(-left[some], kind="stable")]
        return Rounds(self.order, self.first[some] + done[some], left[some])

    def wide(self, narrow: int = NARROW) -> Iterator[Index]:
        """Yield the events of each round that has at least `narrow` of them."""
        for number in range(self._wide_rounds(narrow)):
            yield self.order[self.first[: np.count_nonzero(self.count > number)] + number]

    def rest(self, narrow: int = NARROW) -> Iterator[Index]:
        """Yield, for each series with events beyond the wide rounds, those events in order."""
        done = self._wide_rounds(narrow)
        for series in range(np.count_nonzero(self.count > done)):
            start = self.first[series]
            yield self.order[start + done : start + self.count[series]]

    def _wide_rounds(self, narrow: int) -> int:
        return int(self.count[narrow - 1]) if len(self.count) >= narrow else 0
