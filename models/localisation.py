"""Root-cause localisation: which combinations of dimensions explain that more viewers than usual suffer.

``Localiser`` keeps the last windows and explains a new one; ``localise`` does both for windows at hand. How
suspects are found and weighed is in ``models.contrast``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.localisation import LocalisationFigures
from models.contrast import Suspect, suspects
from models.cuboids import Cells, Panel, align

__all__ = ["Cause", "Cells", "LocalisationFigures", "Localiser", "localise"]

_Mask = NDArray[np.bool_]


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

    def explain(self, window: Cells) -> list[Cause]:
        """The causes of the window's excess, best first; empty when nothing stands out.

        Causes that act at once stand beside one another; others that may be meant follow by score.
        Raises ValueError when the window's dimensions are not those learned so far.
        """
        panel = align([*self.history, window])
        found = _found(panel, self.figures)
        found += self._further(found)
        found.sort(key=lambda finding: -finding.score)
        causes: dict[frozenset[tuple[str, str]], Cause] = {}
        for finding in found:
            if len(causes) >= self.figures.max_answers:
                break
            for cause in _causes(finding):
                causes.setdefault(frozenset(cause.cell.items()), cause)
        return list(causes.values())[: self.figures.max_answers]

    def _further(self, found: list[_Finding]) -> list[_Finding]:
        """Causes among the viewers outside the best suspect: leave its viewers out and look again."""
        further: list[_Finding] = []
        named = 0
        while found:
            best = found[0]
            named += len(best.suspect.cells)
            if named >= self.figures.max_causes:
                break
            found = _found(best.panel.without(best.leaves), self.figures, best)
            further += found
        return further


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
    all_excess: float  # among all viewers

    @property
    def leaves(self) -> _Mask:
        return np.isin(self.suspect.cuboid.cell_of, self.suspect.cells)


def _found(panel: Panel, figures: LocalisationFigures, beside: _Finding | None = None) -> list[_Finding]:
    """The suspects, best first; beside another whose viewers the panel leaves out, those worth a mention."""
    named = suspects(panel, figures) if panel.total[-1].any() else []
    if not named:
        return []
    if beside is None:
        return [_Finding(panel, suspect, suspect.score, suspect.all_excess) for suspect in named]
    if named[0].all_excess < figures.least_share * beside.all_excess:
        return []
    return [
        _Finding(panel, suspect, suspect.score * beside.score, beside.all_excess) for suspect in named[:1]
    ]


def _causes(finding: _Finding) -> Iterator[Cause]:
    """The cells of a suspect, heaviest first."""
    panel, suspect = finding.panel, finding.suspect
    cuboid = suspect.cuboid
    rest_rate = _rate(panel, ~finding.leaves)
    for cell in suspect.cells:
        rate = float(cuboid.bad[-1, cell] / cuboid.total[-1, cell])
        expected, excess = float(cuboid.expected[cell]), float(cuboid.excess[cell])
        yield Cause(
            cell=panel.name(int(cuboid.leaf[cell]), cuboid.axes),
            score=finding.score,
            excess_viewers=excess,
            explained=min(excess / finding.all_excess, 1.0),
            rate=rate,
            expected_rate=expected,
            rest_rate=rest_rate,
            contrast=_contrast(panel, suspect, cell, (rate, expected, rest_rate)),
        )


def _contrast(panel: Panel, suspect: Suspect, cell: int, rates: tuple[float, float, float | None]) -> str:
    """The cell against its own past, against the rest, and against its nearest neighbours."""
    axes, leaf = suspect.cuboid.axes, int(suspect.cuboid.leaf[cell])
    rate, expected, rest_rate = rates
    who = f"viewers on {_named(panel.name(leaf, axes))}" if axes else "all viewers"
    parts = [f"{_percent(rate)} of {who} stall, expected {_percent(expected)}"]
    if rest_rate is not None:
        parts.append(f"the rest is at {_percent(rest_rate)}")
    if len(axes) > 1:
        outside = suspect.cuboid.cell_of != cell
        for axis in axes:
            kin = tuple(a for a in axes if a != axis)
            same = (panel.codes[:, kin] == panel.codes[leaf, kin]).all(axis=1)
            kin_rate = _rate(panel, same & outside)
            if kin_rate is not None:
                parts.append(f"{_named(panel.name(leaf, kin))} otherwise at {_percent(kin_rate)}")
    return "; ".join(parts)


def _rate(panel: Panel, leaves: _Mask) -> float | None:
    """The rate of the viewers in these leaf cells now; None when there are none."""
    total = float(panel.total[-1, leaves].sum())
    return float(panel.bad[-1, leaves].sum()) / total if total else None


def _named(values: dict[str, str]) -> str:
    return ", ".join(f"{dimension}={value}" for dimension, value in values.items())


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"
