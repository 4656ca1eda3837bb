"""Finds whatever is said of an audience that a viewer belongs to, however many audiences there are.

An audience is a cell: values of some dimensions. Cells with the same dimensions share a table, so that one
look-up per combination of dimensions in use finds all that match, and there are few combinations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")

Shape = tuple[str, ...]
Values = tuple[str, ...]


class CellIndex(Generic[V]):
    """Values by key, found by the cells they are of.

    One thread may write while others read: readers see each table before or after a change, never within.

    Example:
        >>> index = CellIndex()
        >>> index.put("everyone", {}, 1)
        >>> index.put("isp=3", {"isp": "3"}, 2)
        >>> list(index.matching({"isp": "3", "region": "eu"}))
        [2, 1]
        >>> index.drop("isp=3")
        >>> list(index.matching({"isp": "3", "region": "eu"}))
        [1]
    """

    def __init__(self) -> None:
        self._cells: dict[str, tuple[Shape, Values]] = {}
        self._tables: dict[Shape, dict[Values, tuple[tuple[str, V], ...]]] = {}
        self._order: tuple[tuple[Shape, dict[Values, tuple[tuple[str, V], ...]]], ...] = ()

    def put(self, key: str, cell: Mapping[str, str], value: V) -> None:
        """Say `value` of `cell`, in place of what `key` said before."""
        shape = tuple(sorted(cell))
        values = tuple(cell[name] for name in shape)
        if self._cells.get(key, (shape, values)) != (shape, values):
            self.drop(key)
        self._cells[key] = (shape, values)
        table = self._tables.get(shape)
        if table is None:
            table = self._tables[shape] = {}
            self._sort()
        others = tuple(pair for pair in table.get(values, ()) if pair[0] != key)
        table[values] = tuple(sorted((*others, (key, value)), key=lambda pair: pair[0]))

    def drop(self, key: str) -> None:
        """Say no more what `key` said."""
        place = self._cells.pop(key, None)
        if place is None:
            return
        shape, values = place
        table = self._tables[shape]
        others = tuple(pair for pair in table[values] if pair[0] != key)
        if others:
            table[values] = others
            return
        del table[values]
        if not table:
            del self._tables[shape]
            self._sort()

    def matching(self, cell: Mapping[str, str]) -> Iterator[V]:
        """Yield what is said of any audience that `cell` lies in, the most specific first."""
        for shape, table in self._order:
            try:
                values = tuple([cell[name] for name in shape])
            except KeyError:
                continue
            for _, value in table.get(values, ()):
                yield value

    def __len__(self) -> int:
        return len(self._cells)

    def _sort(self) -> None:
        """Order the tables: most dimensions first, and by name where they have as many."""
        self._order = tuple(sorted(self._tables.items(), key=lambda each: (-len(each[0]), each[0])))
