"""The ids met of late, so that what is told twice counts once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class RecentIds:
    """A set of the newest ids, in bounded memory.

    Args:
        capacity: ids remembered.
        ids: remembered from the start, the oldest first.

    Example:
        >>> recent = RecentIds(2)
        >>> [recent.add(each) for each in ("a", "b", "a", "c", "a")]
        [True, True, False, True, True]
    """

    def __init__(self, capacity: int, ids: Iterable[str] = ()) -> None:
        self._capacity = capacity
        self._ids = dict.fromkeys(ids)

    def add(self, name: str) -> bool:
        """Return whether the id is new, and remember it."""
        if name in self._ids:
            return False
        self._ids[name] = None
        if len(self._ids) > self._capacity:
            del self._ids[next(iter(self._ids))]
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)
