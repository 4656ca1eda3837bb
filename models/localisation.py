"""Root-cause localisation: which combinations of dimensions explain that more viewers than usual suffer.

``Localiser`` keeps the last windows and explains a new one; ``localise`` does both for windows at hand. How
suspects are found and weighed is in ``models.contrast``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from config.localisation import LocalisationFigures
from models import words
from models.contrast import Suspect, suspects
from models.cuboids import Cells, Cuboid, Panel, align

__all__ = ["STALLS", "Cause", "Cells", "LocalisationFigures", "Localiser", "Wording", "localise", "told"]

_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Wording:
    """What sentences call those counted and what is bad about them: "4 % of *viewers* on cdn=3 *stall*"."""

    counted: str
    suffer: str


STALLS = Wording("viewers", "stall")


@dataclass(frozen=True, slots=True)
class Cause:
    """A combination of dimension values that explains bad viewers beyond expectation."""

    cell: dict[str, str]  # empty: everyone, no dimension tells the suffering apart
    score: float  # 0..1, comparable within one call
    excess_viewers: float  # bad viewers beyond expectation in the cell
    explained: float  # share of all excess that the cell explains
    rate: float
    expected_rate: float
    rest_rate: float | None  # of the viewers outside this cell and the causes found with it; None: nobody is
    contrast: str  # the same for people
    acts: bool = False  # part of the best answer, as are causes that act at once; else one that may be meant


class Localiser:
    """Explains windows by those before it; keeps ``history_windows`` of them and no more.

    A window that was flagged should not be learned, for what is learned counts as usual; a few bad windows
    among many do no harm.
    """

    def __init__(self, figures: LocalisationFigures) -> None:
        self.figures = figures
        self.history: deque[Cells] = deque(maxlen=figures.history_windows)

    def learn_one(self, window: Cells) -> None:
        """Take the window for usual. Raises ValueError when its dimensions are not those learned so far."""
        if self.history and self.history[-1].dimensions != window.dimensions:
            learned = self.history[-1].dimensions
            raise ValueError(f"a window of dimensions {window.dimensions} after windows of {learned}")
        self.history.append(window)

    def explain(self, window: Cells, wording: Wording = STALLS) -> list[Cause]:
        """The causes of the window's excess, best first; empty when nothing stands out.

        Causes that act at once stand beside one another; others that may be meant follow by score.
        Raises ValueError when the window's dimensions are not those learned so far.
        """
        panel = align([*self.history, window])
        found = [_Finding(panel, suspect, suspect.score) for suspect in _suspects(panel, self.figures)]
        if not found:
            return []
        all_excess = found[0].suspect.all_excess
        together = self._together(panel, [finding.suspect for finding in found])
        first = max(found[:1], together, key=lambda findings: findings[0].score if findings else 0.0)
        ranked = [*together, *(self._beside(first, finding) for finding in found)]
        ranked.sort(key=lambda finding: -finding.score)
        best = together if together and ranked[0] in together else ranked[:1]
        causes: dict[frozenset[tuple[str, str]], Cause] = {}
        for finding in ranked:
            if len(causes) >= self.figures.max_answers:
                break
            for cause in _causes(finding, all_excess, wording, acts=finding in best):
                causes.setdefault(frozenset(cause.cell.items()), cause)
        return list(causes.values())[: self.figures.max_answers]

    def _beside(self, first: Sequence[_Finding], other: _Finding) -> _Finding:
        """The other with less of a score if it only cuts the same viewers along different dimensions.

        Who doubts the first answer wants to know of coarser and finer ones, and of other viewers.
        """
        named = [cell for finding in first for cell in finding.cells()]
        if any(_of_use_beside(mine, theirs) for mine in other.cells() for theirs in named):
            return other
        return replace(other, score=other.score * self.figures.cousin_credit)

    def _together(self, panel: Panel, found: Sequence[Suspect]) -> list[_Finding]:
        """Suspects that act at once: each is the best among the viewers whom the others leave out.

        The best one is taken out, what is left is searched, and each is searched anew without the others
        (backfitting), for they stain one another's remainders. Empty when one leaves nothing to explain.
        """
        together = [_Finding(panel, suspect, 1.0) for suspect in found if suspect.cuboid.axes][:1]
        rest = _Rest(panel, self.figures, self.figures.least_share * found[0].all_excess)
        while together and sum(len(each.suspect.cells) for each in together) < self.figures.max_causes:
            further = rest.best_without(together)
            if further is None:
                break
            together.append(further)
            for place in range(len(together)):
                others = [*together[:place], *together[place + 1 :]]
                together[place] = rest.best_without(others) or together[place]
        if len(together) < 2:
            return []
        score = math.prod(each.suspect.score for each in together)
        return [_Finding(each.panel, each.suspect, score) for each in together]


def localise(window: Cells, history: Sequence[Cells], figures: LocalisationFigures) -> list[Cause]:
    """The causes of the window's excess over its history (oldest first), best first.

    Empty when nothing stands out. Raises ValueError when windows differ in dimensions.
    """
    localiser = Localiser(figures)
    for past in history:
        localiser.learn_one(past)
    return localiser.explain(window)


@dataclass(frozen=True, slots=True, eq=False)
class _Finding:
    """A suspect, and the viewers among whom it was found."""

    panel: Panel
    suspect: Suspect
    score: float

    @property
    def leaves(self) -> _Mask:
        return np.isin(self.suspect.cuboid.cell_of, self.suspect.cells)

    def cells(self) -> list[dict[str, str]]:
        cuboid = self.suspect.cuboid
        return [self.panel.name(int(cuboid.leaf[cell]), cuboid.axes) for cell in self.suspect.cells]


class _Rest:
    """What is best to say of the viewers whom some findings leave out; it is searched once."""

    def __init__(self, panel: Panel, figures: LocalisationFigures, least_excess: float) -> None:
        self._panel = panel
        self._figures = figures
        self._least_excess = least_excess
        self._known: dict[bytes, _Finding | None] = {}

    def best_without(self, others: Sequence[_Finding]) -> _Finding | None:
        leaves = np.any([other.leaves for other in others], axis=0)
        key = leaves.tobytes()
        if key not in self._known:
            rest = self._panel.without(leaves)
            found = _suspects(rest, self._figures, self._least_excess)
            named = [suspect for suspect in found if suspect.cuboid.axes]
            self._known[key] = _Finding(rest, named[0], named[0].score) if named else None
        return self._known[key]


def _of_use_beside(cell: dict[str, str], other: dict[str, str]) -> bool:
    """Whether one cell holds the other, or they hold different viewers."""
    shared = cell.keys() & other.keys()
    agree = all(cell[dimension] == other[dimension] for dimension in shared)
    return not agree or len(shared) == min(len(cell), len(other))


def _suspects(panel: Panel, figures: LocalisationFigures, least_excess: float = 0.0) -> list[Suspect]:
    return suspects(panel, figures, least_excess) if panel.total[-1].any() else []


def _causes(finding: _Finding, all_excess: float, wording: Wording, *, acts: bool) -> Iterator[Cause]:
    """The cells of a suspect, heaviest first."""
    panel, suspect = finding.panel, finding.suspect
    cuboid = suspect.cuboid
    rest_rate = _rate(panel, ~finding.leaves)
    for cell, cell_name in zip(suspect.cells, finding.cells(), strict=True):
        rate = float(cuboid.bad[-1, cell] / cuboid.total[-1, cell])
        expected, excess = float(cuboid.expected[cell]), float(cuboid.excess[cell])
        yield Cause(
            cell=cell_name,
            score=finding.score,
            excess_viewers=excess,
            explained=min(excess / all_excess, 1.0),
            rate=rate,
            expected_rate=expected,
            rest_rate=rest_rate,
            contrast=told(cell_name, wording, rate, expected, rest_rate, _neighbours(panel, cuboid, cell)),
            acts=acts,
        )


def told(
    cell: Mapping[str, str],
    wording: Wording,
    rate: float,
    expected: float,
    rest_rate: float | None,
    neighbours: Iterable[tuple[Mapping[str, str], float]],
) -> str:
    """The contrast in words.

    Args:
        neighbours: cells that the cell is part of, and the rate of those in them who are not in the cell.
    """
    who = wording.counted + (f" on {_named(cell)}" if cell else "")
    said = [f"{words.percent(rate)} of {who} {wording.suffer}, expected {words.percent(expected)}"]
    if rest_rate is not None:
        said.append(f"the rest is at {words.percent(rest_rate)}")
    said += (f"{_named(wider)} otherwise at {words.percent(other)}" for wider, other in neighbours)
    return "; ".join(said)


def _neighbours(panel: Panel, cuboid: Cuboid, cell: int) -> Iterator[tuple[dict[str, str], float]]:
    """How those do who differ from the cell in one of its dimensions."""
    if len(cuboid.axes) < 2:
        return
    leaf = int(cuboid.leaf[cell])
    for axis in cuboid.axes:
        shared = tuple(a for a in cuboid.axes if a != axis)
        alike = (panel.codes[:, shared] == panel.codes[leaf, shared]).all(axis=1)
        rate = _rate(panel, alike & (cuboid.cell_of != cell))
        if rate is not None:
            yield panel.name(leaf, shared), rate


def _rate(panel: Panel, leaves: _Mask) -> float | None:
    """The rate of the viewers in these leaf cells now; None when there are none."""
    total = float(panel.total[-1, leaves].sum())
    return float(panel.bad[-1, leaves].sum()) / total if total else None


def _named(values: Mapping[str, str]) -> str:
    return ", ".join(f"{dimension}={value}" for dimension, value in values.items())
