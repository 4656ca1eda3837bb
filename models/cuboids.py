"""Viewers by combination of dimensions: the cells of a window, their roll-ups, and what to expect of each.

A *leaf cell* holds the viewers who share one value of every dimension. A *cuboid* is the roll-up of the leaf
cells on some of the dimensions (the data cube of Gray et al., Data Mining and Knowledge Discovery 1, 1997).
Arrays are shaped [window, cell]; the last window is the one to explain, those before it are the past.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, permutations
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from config.localisation import LocalisationFigures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOT_KEPT = -1
_LEAST_RATE, _MOST_RATE = 1e-5, 1 - 1e-3  # a logarithm is taken of rates and of their complements
_LARGEST_KEY = 2**62
_DENSE = 8  # numbers of cells are used as they are while no more than so many times the leaves


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The leaf cells of one window.

    ``codes`` [cell, dimension] index ``vocabulary``; ``total`` [cell] counts viewers and ``bad`` [cell] those
    of them who had a bad time. A cell may appear more than once: its counts are added.

    Raises ValueError when the shapes disagree or a count is negative, not finite, or bad exceeds total.
    """

    dimensions: tuple[str, ...]
    vocabulary: tuple[tuple[str, ...], ...]
    codes: Ints
    bad: Floats
    total: Floats

    def __post_init__(self) -> None:
        cells = len(self.total)
        if self.codes.shape != (cells, len(self.dimensions)) or self.bad.shape != (cells,):
            raise ValueError(
                f"cells disagree in shape: codes {self.codes.shape}, bad {self.bad.shape}, "
                f"total {self.total.shape}, {len(self.dimensions)} dimensions"
            )
        if len(self.vocabulary) != len(self.dimensions):
            raise ValueError(f"{len(self.vocabulary)} vocabularies for {len(self.dimensions)} dimensions")
        if not (np.isfinite(self.total).all() and (self.bad >= 0).all() and (self.bad <= self.total).all()):
            raise ValueError("counts must be finite, with 0 <= bad <= total")

    def inside(self, cell: Mapping[str, str]) -> NDArray[np.bool_]:
        """Which leaf cells lie in `cell`; none where it has a dimension that they have not."""
        which = np.full(len(self.total), set(cell) <= set(self.dimensions))
        for axis, dimension in enumerate(self.dimensions):
            if dimension in cell:
                known = self.vocabulary[axis]
                at = known.index(cell[dimension]) if cell[dimension] in known else -1
                which &= self.codes[:, axis] == at
        return which

    @classmethod
    def of(
        cls,
        dimensions: Sequence[str],
        values: Sequence[Sequence[str]],
        bad: ArrayLike,
        total: ArrayLike,
    ) -> Self:
        """Cells from rows of dimension values.

        >>> Cells.of(["cdn", "isp"], [["a", "x"], ["b", "x"]], [1, 9], [50, 60]).vocabulary
        (('a', 'b'), ('x',))
        """
        columns = list(zip(*values, strict=True)) if values else [() for _ in dimensions]
        vocabulary = tuple(tuple(sorted(set(column))) for column in columns)
        codes = np.zeros((len(values), len(dimensions)), np.int64)
        for axis, (column, words) in enumerate(zip(columns, vocabulary, strict=True)):
            place = {word: code for code, word in enumerate(words)}
            codes[:, axis] = [place[word] for word in column]
        return cls(
            tuple(dimensions), vocabulary, codes, np.asarray(bad, np.float64), np.asarray(total, np.float64)
        )


class Structure(NamedTuple):
    """How the dimensions of a panel hang together."""

    varying: tuple[int, ...]
    """Those with several values."""
    implied: frozenset[tuple[int, int]]
    """Pairs of these of which the first tells the second, as an ISP may tell its region."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Windows aligned on the leaf cells that appear in any of them."""

    dimensions: tuple[str, ...]
    vocabulary: tuple[tuple[str, ...], ...]
    codes: Ints  # [leaf, dimension]
    bad: Floats  # [window, leaf]
    total: Floats  # [window, leaf]
    structure: Structure

    @cached_property
    def by_leaf(self) -> Floats:
        """Bad viewers of each window, then all viewers of each, [leaf, 2 * windows]."""
        return np.ascontiguousarray(np.concatenate((self.bad, self.total)).T)

    def without(self, leaves: NDArray[np.bool_]) -> Panel:
        """The panel as if the viewers of these leaf cells had never been there."""
        bad, total = np.where(leaves, 0, self.bad), np.where(leaves, 0, self.total)
        return replace(self, bad=bad, total=total)

    def name(self, leaf: int, axes: tuple[int, ...]) -> dict[str, str]:
        """The dimension values that this leaf has on these axes."""
        return {self.dimensions[a]: self.vocabulary[a][self.codes[leaf, a]] for a in axes}


def align(windows: Sequence[Cells]) -> Panel:
    """Put windows side by side, oldest first. Raises ValueError when their dimensions differ."""
    dimensions = windows[-1].dimensions
    for window in windows:
        if window.dimensions != dimensions:
            raise ValueError(f"windows differ in dimensions: {window.dimensions} and {dimensions}")
    vocabulary = tuple(
        tuple(sorted({word for window in windows for word in window.vocabulary[axis]}))
        for axis in range(len(dimensions))
    )
    places = [{word: code for code, word in enumerate(words)} for words in vocabulary]
    codes = np.concatenate([_recoded(window, places) for window in windows])
    order, starts = _grouped(codes, [len(words) for words in vocabulary])
    leaf_of = np.empty(len(order), np.int64)
    leaf_of[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    window_of = np.repeat(np.arange(len(windows)), [len(window.total) for window in windows])
    place, shape = window_of * len(starts) + leaf_of, (len(windows), len(starts))
    bad, total = (
        np.bincount(place, np.concatenate(counts), shape[0] * shape[1]).astype(np.float64).reshape(shape)
        for counts in zip(*((window.bad, window.total) for window in windows), strict=True)
    )
    distinct = codes[order[starts]]
    return Panel(dimensions, vocabulary, distinct, bad, total, _structure(distinct))


def _structure(codes: Ints) -> Structure:
    sizes = codes.max(axis=0, initial=-1) + 1
    values = [np.unique(column).size for column in codes.T]
    varying = tuple(axis for axis, count in enumerate(values) if count > 1)
    implied = set()
    for one, other in combinations(varying, 2):
        both = np.unique(codes[:, one] * sizes[other] + codes[:, other]).size
        if both == values[one]:
            implied.add((one, other))
        elif both == values[other]:
            implied.add((other, one))
    return Structure(varying, frozenset(implied))


def _recoded(window: Cells, places: list[dict[str, int]]) -> Ints:
    codes = np.empty_like(window.codes, dtype=np.int64)
    for axis, (words, place) in enumerate(zip(window.vocabulary, places, strict=True)):
        codes[:, axis] = np.array([place[word] for word in words], np.int64)[window.codes[:, axis]]
    return codes


def _grouped(codes: Ints, sizes: Sequence[int]) -> tuple[Ints, Ints]:
    """The rows of codes in an order that puts equal ones together, and where in it each group starts."""
    key = np.zeros(len(codes), np.int64)
    span = 1
    for column, size in zip(codes.T, sizes, strict=True):
        if span > _LARGEST_KEY // max(size, 1):
            key = np.unique(key, return_inverse=True)[1].astype(np.int64)
            span = len(codes)
        key = key * size + column
        span *= max(size, 1)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    return order, starts


@dataclass(frozen=True, slots=True, eq=False)
class Cuboid:
    """The roll-up on some axes, keeping the cells that hold enough bad viewers to matter."""

    axes: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]  # axes of the cuboids that are one step coarser
    leaf: Ints  # [cell] one of its leaf cells, which names it and finds its parents
    cell_of: Ints  # [leaf] its cell, or NOT_KEPT
    bad: Floats  # [window, cell]
    total: Floats  # [window, cell]
    expected: Floats  # [cell] the rate that the past leads one to expect
    known: Floats  # [cell] viewers seen in the past
    excess: Floats  # [cell] bad viewers beyond expectation, in the window to explain


Cube = dict[tuple[int, ...], Cuboid]


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """Leaf cells put into the cells of a cuboid, of which nothing is counted yet."""

    axes: tuple[int, ...]
    parents: Sequence[Cuboid]
    leaf: Ints  # [cell] the first of its leaves
    leaves: Ints  # [kept leaf]
    cell: Ints  # [kept leaf] its cell


def roll_up(panel: Panel, figures: LocalisationFigures, least_excess: float = 0.0) -> Cube:
    """All cuboids of up to ``max_dimensions`` dimensions, coarse ones first.

    A cell can only explain ``least_share`` of the excess if it holds as many bad viewers, and so must the
    cells it is part of: the others are not kept (the pruning of Apriori, Agrawal & Srikant, VLDB 1994).
    An excess below ``least_excess`` is of no interest.
    """
    cube: Cube = {}
    most = least_excess
    varying, implied = panel.structure
    for size in range(figures.max_dimensions + 1):
        least_bad = max(figures.least_share * most, 1.0) if size else 0.0
        cuts = []
        for axes in combinations(varying, size):
            if any(pair in implied for pair in permutations(axes, 2)):
                continue  # the same cells as without the dimension that the other tells
            coarser = [cube.get(tuple(a for a in axes if a != axis)) for axis in axes]
            parents = [parent for parent in coarser if parent is not None]
            if len(parents) == len(axes):  # else a parent holds no cell that matters
                cuts.append(_cut(panel, axes, parents, least_bad))
        for cuboid in _counted(panel, [cut for cut in cuts if cut.leaf.size], figures):
            cube[cuboid.axes] = cuboid
            most = max(most, float(cuboid.excess.max()))
    return cube


def _coarser(axes: tuple[int, ...], implied: Set[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
    """Axes without one of them, and with one replaced by what it tells: an ISP by its region."""
    for axis in axes:
        others = tuple(a for a in axes if a != axis)
        yield others
        for told in sorted(b for a, b in implied if a == axis):
            swapped = tuple(sorted((*others, told)))
            if not any(pair in implied for pair in permutations(swapped, 2)):
                yield swapped


def _cut(panel: Panel, axes: tuple[int, ...], parents: Sequence[Cuboid], least_bad: float) -> _Cut:
    """The cells on these axes that hold enough bad viewers now; a cell has all its leaves in its parents."""
    leaves, key = _keyed(panel, axes, parents)
    heavy = np.bincount(key, panel.bad[-1, leaves]) >= least_bad
    cell = np.where(heavy, np.cumsum(heavy) - 1, NOT_KEPT)[key]
    kept = cell != NOT_KEPT
    leaves, cell = leaves[kept], cell[kept]
    leaf = np.empty(int(heavy.sum()), np.int64)
    leaf[cell[::-1]] = leaves[::-1]  # the first of each
    return _Cut(axes, parents, leaf, leaves, cell)


def _counted(panel: Panel, cuts: Sequence[_Cut], figures: LocalisationFigures) -> Iterator[Cuboid]:
    """The cuboids of these cuts: counted all at once, for there are many and most are small."""
    if not cuts:
        return
    ends = np.cumsum([cut.leaf.size for cut in cuts])
    cell = np.concatenate([cut.cell + end - cut.leaf.size for cut, end in zip(cuts, ends, strict=True)])
    leaves = np.concatenate([cut.leaves for cut in cuts])
    held = sparse.coo_array((np.ones(len(leaves)), (cell, leaves)), shape=(ends[-1], len(panel.codes)))
    bad, total = np.split((held @ panel.by_leaf).T, 2)
    prior = np.concatenate([_prior(panel, cut) for cut in cuts])
    expected, known = baseline(bad[:-1], total[:-1], prior, figures)
    excess = bad[-1] - total[-1] * expected
    for cut, end in zip(cuts, ends.tolist(), strict=True):
        own = slice(end - cut.leaf.size, end)
        cell_of = np.full(len(panel.codes), NOT_KEPT, np.int64)
        cell_of[cut.leaves] = cut.cell
        yield Cuboid(
            axes=cut.axes,
            parents=tuple(_coarser(cut.axes, panel.structure.implied)),
            leaf=cut.leaf,
            cell_of=cell_of,
            bad=bad[:, own],
            total=total[:, own],
            expected=expected[own],
            known=known[own],
            excess=excess[own],
        )


def _prior(panel: Panel, cut: _Cut) -> Floats:
    """The rate to expect of each cell before its past is looked at: as its parents do."""
    priors = [parent.expected[parent.cell_of[cut.leaf]] for parent in cut.parents]
    mean: Floats = np.mean(priors or [_typical_rate(panel)], axis=0)
    return mean


def _keyed(panel: Panel, axes: tuple[int, ...], parents: Sequence[Cuboid]) -> tuple[Ints, Ints]:
    """The leaves that lie in a kept cell of every parent, and a number for each that names its cell."""
    if not axes:
        everyone = np.arange(len(panel.codes))
        return everyone, np.zeros_like(everyone)
    leaves = np.flatnonzero(np.logical_and.reduce([parent.cell_of != NOT_KEPT for parent in parents]))
    without_last, values = parents[-1], len(panel.vocabulary[axes[-1]])
    key = without_last.cell_of[leaves] * values + panel.codes[leaves, axes[-1]]
    if len(without_last.leaf) * values > _DENSE * len(leaves):
        key = np.unique(key, return_inverse=True)[1]
    return leaves, key


def _typical_rate(panel: Panel) -> Floats:
    """The rate to start from: the median of the past windows or, with no past, of the leaf cells now; [1]."""
    if panel.bad.shape[0] > 1:
        return _median_rate(panel.bad[:-1].sum(1, keepdims=True), panel.total[:-1].sum(1, keepdims=True))
    return _median_rate(panel.bad.T, panel.total.T)


def baseline(
    bad: Floats, total: Floats, prior: Floats, figures: LocalisationFigures
) -> tuple[Floats, Floats]:
    """The rate to expect of each cell, and the viewers it rests on, from past windows [window, cell].

    The median over the windows, weighted by viewers, is the centre; counts further from it than
    ``clip_sigmas`` binomial standard errors are pulled in to that distance before the windows are pooled
    (Huber's estimate in one step, Annals of Mathematical Statistics 35, 1964): a cell that was bad in some
    past minutes keeps a healthy baseline, and a small one is not judged by a median of zeros. The cell's
    ``prior`` rate counts like ``shrinkage_viewers`` more viewers: without a past it is to do as its parents.
    """
    if not bad.shape[0]:  # nothing to doubt the prior by
        return np.clip(prior, _LEAST_RATE, _MOST_RATE), np.full(prior.shape, np.inf)
    known: Floats = total.sum(0)
    weight = known + figures.shrinkage_viewers
    centre = (_median_rate(bad, total) * known + figures.shrinkage_viewers * prior) / weight
    reach = figures.clip_sigmas * np.sqrt(total * centre * (1 - centre) + 0.25)
    clipped = np.clip(bad, np.maximum(total * centre - reach, 0), total * centre + reach)
    rate = (clipped.sum(0) + figures.shrinkage_viewers * prior) / weight
    return np.clip(rate, _LEAST_RATE, _MOST_RATE), known


def _median_rate(bad: Floats, total: Floats) -> Floats:
    """The median over windows of each cell's rate, weighted by viewers; 0 where there were none."""
    rate = np.divide(bad, total, out=np.zeros_like(bad), where=total > 0)
    order = np.argsort(rate, axis=0, kind="stable")
    reached = np.cumsum(np.take_along_axis(total, order, 0), axis=0)
    middle = (reached >= reached[-1] / 2).argmax(axis=0)
    cells = np.arange(rate.shape[1])
    median: Floats = rate[order[middle, cells], cells]
    return median
