"""Viewers by combination of dimensions: the cells of a window, their roll-ups, and what to expect of each.

A *leaf cell* holds the viewers who share one value of every dimension. A *cuboid* is the roll-up of the leaf
cells on some of the dimensions (the data cube of Gray et al., Data Mining and Knowledge Discovery 1, 1997).
Arrays are shaped [window, cell]; the last window is the one to explain, those before it are the past.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from config.localisation import LocalisationFigures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOT_KEPT = -1
_LEAST_RATE, _MOST_RATE = 1e-5, 1 - 1e-3  # a logarithm is taken of rates and of their complements
_LARGEST_KEY = 2**62


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


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Windows aligned on the leaf cells that appear in any of them."""

    dimensions: tuple[str, ...]
    vocabulary: tuple[tuple[str, ...], ...]
    codes: Ints  # [leaf, dimension]
    bad: Floats  # [window, leaf]
    total: Floats  # [window, leaf]
    groupings: dict[tuple[int, ...], tuple[Ints, Ints]] = field(default_factory=dict)

    def grouped(self, axes: tuple[int, ...]) -> tuple[Ints, Ints]:
        """The leaves in an order that puts those alike on these axes together, and where each group starts.

        Found once for all panels of the same leaves.
        """
        if axes not in self.groupings:
            sizes = [len(self.vocabulary[axis]) for axis in axes]
            self.groupings[axes] = _grouped(self.codes[:, list(axes)], sizes)
        return self.groupings[axes]

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
    return Panel(dimensions, vocabulary, codes[order[starts]], bad, total)


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
    leaf: Ints  # [cell] one of its leaf cells, which names it and finds its parents
    cell_of: Ints  # [leaf] its cell, or NOT_KEPT
    bad: Floats  # [window, cell]
    total: Floats  # [window, cell]
    expected: Floats  # [cell] the rate that the past leads one to expect
    known: Floats  # [cell] viewers seen in the past
    excess: Floats  # [cell] bad viewers beyond expectation, in the window to explain


Cube = dict[tuple[int, ...], Cuboid]


def roll_up(panel: Panel, figures: LocalisationFigures) -> Cube:
    """All cuboids of up to ``max_dimensions`` dimensions, coarse ones first.

    A cell can only explain ``least_share`` of the excess if it holds as many bad viewers, and so must the
    cells it is part of: the others are not kept (the pruning of Apriori, Agrawal & Srikant, VLDB 1994).
    """
    cube: Cube = {(): _cuboid(panel, (), [], 0.0, figures)}
    most = max(float(cube[()].excess[0]), 0.0)
    varying = [axis for axis in range(len(panel.dimensions)) if np.unique(panel.codes[:, axis]).size > 1]
    for axes in _subsets(varying, figures.max_dimensions):
        coarser = [cube.get(tuple(a for a in axes if a != axis)) for axis in axes]
        parents = [parent for parent in coarser if parent is not None]
        if len(parents) < len(axes):
            continue  # a parent holds no cell that matters
        cuboid = _cuboid(panel, axes, parents, max(figures.least_share * most, 1.0), figures)
        if cuboid.leaf.size:
            cube[axes] = cuboid
            most = max(most, float(cuboid.excess.max()))
    return cube


def _cuboid(
    panel: Panel,
    axes: tuple[int, ...],
    parents: Sequence[Cuboid],
    least_bad: float,
    figures: LocalisationFigures,
) -> Cuboid:
    """The cells on these axes that hold enough bad viewers now."""
    order, starts = panel.grouped(axes)
    heavy = np.add.reduceat(panel.bad[-1, order], starts) >= least_bad
    sizes = np.diff(starts, append=len(order))
    order, sizes = order[np.repeat(heavy, sizes)], sizes[heavy]
    starts = np.cumsum(sizes) - sizes
    leaf = order[starts]
    cell_of = np.full(len(panel.codes), NOT_KEPT, np.int64)
    cell_of[order] = np.repeat(np.arange(len(leaf)), sizes)
    bad = np.add.reduceat(panel.bad[:, order], starts, axis=1)
    total = np.add.reduceat(panel.total[:, order], starts, axis=1)
    priors = [parent.expected[parent.cell_of[leaf]] for parent in parents] or [_typical_rate(panel)]
    expected, known = baseline(bad[:-1], total[:-1], np.mean(priors, axis=0), figures)
    return Cuboid(axes, leaf, cell_of, bad, total, expected, known, bad[-1] - total[-1] * expected)


def _subsets(axes: Sequence[int], largest: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, largest + 1):
        yield from combinations(axes, size)


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
    median: Floats = np.take_along_axis(np.take_along_axis(rate, order, 0), middle[None], 0)[0]
    return median
