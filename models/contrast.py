"""Which cells suffer while what is left without them does not.

Every answer is a *suspect*: one cell, or a few cells of one cuboid. It is judged by its *remainders*: what
each of its parents holds beside it. The remainders of the right cell do as well as ever; those of a cell that
is too fine suffer too. What it contains is judged the same way: a cell is too coarse when the child that
holds most of its excess leaves a remainder that does well. Both questions are one Bayes factor on counts.
Everyone is a suspect as well, the cell of no dimension: what is left when nobody does well.

Sources: explanatory power and succinctness after Adtributor (Bhagwan et al., NSDI 2014); a fault that touches
all of a cell alike after Squeeze (Li et al., ISSRE 2019); what lies outside weighed against what lies inside
after RiskLoc (Kalander, arXiv 2205.10004) and RobustSpot (IEEE TSC, doi 10.1109/tsc.2022.3155500); hypotheses
compared by Bayes factor after the Bayesian scan statistic (Neill, Moore & Cooper, NIPS 2005); overdispersion
by quasi-likelihood (Wedderburn, Biometrika 61, 1974).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from config.localisation import LocalisationFigures
from models.cuboids import Cube, Cuboid, Floats, Ints, Panel, baseline, roll_up

_EFFECT_STEPS = 12  # grid over the effects that a fault may have on a remainder
_LARGEST_RATE = 1 - 1e-3  # a logarithm is taken of a rate's complement
_FULL_BELIEF = 50.0  # log-odds beyond which nothing changes, and exp() would overflow


@dataclass(frozen=True, slots=True, eq=False)
class Suspect:
    """Cells of one cuboid that may be the cause, heaviest first."""

    cuboid: Cuboid
    cells: tuple[int, ...]
    score: float  # 0..1
    all_excess: float  # bad viewers beyond expectation that there are to explain


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Sets of the heavy cells of a cuboid, each of which may be the cause."""

    cuboid: Cuboid
    cells: Ints  # [heavy cell], heaviest first
    sets: tuple[tuple[int, ...], ...]  # [group] places in cells
    taken: Floats  # [group, heavy cell]: 1 where the group has the cell

    @property
    def excess(self) -> Floats:
        """Bad viewers beyond expectation, [group]."""
        return self.taken @ self.cuboid.excess[self.cells]

    @property
    def alone(self) -> NDArray[np.bool_]:
        """Whether the group is a single cell, [group]."""
        return np.array([len(places) == 1 for places in self.sets], dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class _Remainders:
    """What the parents of groups hold beside them."""

    bad: Floats  # [window, group]
    total: Floats  # [window, group]
    prior: Floats  # [group] the rate to expect before the past is looked at
    rise: Floats  # [group] of the group's rate over what is expected of it
    alone: NDArray[np.bool_]  # [group]


def suspects(panel: Panel, figures: LocalisationFigures, least_excess: float = 0.0) -> list[Suspect]:
    """What may have caused the excess of the last window, best first.

    Empty when nothing stands out, or all there is to explain is less than ``least_excess``.
    """
    least_excess = max(least_excess, figures.least_excess_viewers)
    cube = roll_up(panel, figures, least_excess)
    all_excess = max(float(cuboid.excess.max()) for cuboid in cube.values())
    if all_excess < least_excess:
        return []
    groups = [
        _groups(cuboid, figures.least_share * all_excess, figures.max_causes) for cuboid in cube.values()
    ]
    if not any(_stands_out(each, figures) for each in groups):
        return []
    outside, inside = _credits(cube, groups, figures)
    found = []
    for each, not_too_fine in zip(groups, outside, strict=True):
        axes, cells = each.cuboid.axes, each.cells.tolist()
        explained = np.minimum(each.excess / all_excess, 1) ** figures.share_weight
        not_too_coarse = np.array([inside.get((axes, cell), 1.0) for cell in cells])
        score = explained * not_too_fine * np.where(each.taken, not_too_coarse, 1.0).min(axis=1, initial=1.0)
        score *= figures.another_cell_credit ** (each.taken.sum(1) - 1)
        score *= 1.0 if axes else figures.everyone_credit
        found += [
            Suspect(each.cuboid, tuple(cells[place] for place in places), value, all_excess)
            for places, value in zip(each.sets, score.tolist(), strict=True)
        ]
    return sorted(found, key=lambda suspect: -suspect.score)


def _groups(cuboid: Cuboid, least_excess: float, largest: int) -> _Groups:
    """Each cell with enough excess alone, and the heaviest few of them in pairs and more."""
    heavy = np.flatnonzero(cuboid.excess >= least_excess)
    cells = heavy[np.argsort(-cuboid.excess[heavy], kind="stable")]
    heaviest = range(min(len(cells), largest + 1))
    several = (combinations(heaviest, size) for size in range(2, largest + 1))
    sets = (*((place,) for place in range(len(cells))), *chain.from_iterable(several))
    taken = np.zeros((len(sets), len(cells)))
    for number, places in enumerate(sets):
        taken[number, list(places)] = 1
    return _Groups(cuboid, cells, sets, taken)


def _stands_out(groups: _Groups, figures: LocalisationFigures) -> bool:
    """Whether the excess of some cell is beyond chance: the root of its deviance, in standard errors."""
    cuboid, cells = groups.cuboid, groups.cells
    bad, total, expected = cuboid.bad[-1, cells], cuboid.total[-1, cells], cuboid.expected[cells]
    rate = np.clip(bad / total, expected, _LARGEST_RATE)
    deviance = 2 * _log_likelihood_ratio(bad, total, rate, expected)
    deviance /= _dispersion(total, expected, cuboid.known[cells], figures)
    return bool((deviance >= figures.least_sigmas**2).any())


def _credits(
    cube: Cube, groups: Sequence[_Groups], figures: LocalisationFigures
) -> tuple[list[Floats], dict[tuple[tuple[int, ...], int], float]]:
    """How well each group is cut, 0..1: not too fine, by group; and not too coarse, by cell."""
    pairs = [
        (number, cube[axes])
        for number, each in enumerate(groups)
        for axes in each.cuboid.parents
        if axes in cube
    ]
    well, ill = _verdicts([_remainders(groups[number], parent) for number, parent in pairs], figures)
    outside = [np.ones(len(each.sets)) for each in groups]
    inside: dict[tuple[tuple[int, ...], int], float] = {}
    for place, (number, parent) in enumerate(pairs):
        each = groups[number]
        outside[number] = np.minimum(outside[number], well[place])
        holder = parent.cell_of[each.cuboid.leaf[each.cells]][[places[0] for places in each.sets]]
        # Unequal effects within one cell look like several causes: only everyone may be split into them.
        splits = (each.alone | (not parent.axes)) & (2 * each.excess >= parent.excess[holder])
        for cell, credit in zip(holder[splits].tolist(), ill[place][splits].tolist(), strict=True):
            inside[parent.axes, cell] = min(inside.get((parent.axes, cell), 1.0), credit)
    return outside, inside


def _remainders(groups: _Groups, parent: Cuboid) -> _Remainders:
    """What is beside each group in the parents of its cells."""
    cuboid, cells, taken = groups.cuboid, groups.cells, groups.taken
    parents, place = np.unique(parent.cell_of[cuboid.leaf[cells]], return_inverse=True)
    held = np.minimum(taken @ np.eye(len(parents))[place], 1)  # [group, parent]
    usual = held @ (parent.expected * parent.total[-1])[parents]
    return _Remainders(
        bad=parent.bad[:, parents] @ held.T - cuboid.bad[:, cells] @ taken.T,
        total=parent.total[:, parents] @ held.T - cuboid.total[:, cells] @ taken.T,
        prior=usual / (held @ parent.total[-1, parents]),
        rise=groups.excess / (taken @ cuboid.total[-1, cells]),
        alone=groups.alone,
    )


def _verdicts(
    remainders: Sequence[_Remainders], figures: LocalisationFigures
) -> tuple[list[Floats], list[Floats]]:
    """Credit for groups, whose remainders should do well, and for parents, whose should not: [group] each."""
    if not remainders:
        return [], []
    bad, total = (
        np.concatenate(parts, axis=1) for parts in zip(*((r.bad, r.total) for r in remainders), strict=True)
    )
    prior, rise, alone = (
        np.concatenate(parts) for parts in zip(*((r.prior, r.rise, r.alone) for r in remainders), strict=True)
    )
    log_odds, effect = _judged(_Remainders(bad, total, prior, rise, alone), figures)
    # Where no remainder can tell, a single cell may be as fine as it is; several at once have to be proved.
    log_odds -= np.where(alone, figures.finer_log_odds, figures.several_log_odds)
    log_odds[~alone & (total[-1] == 0)] = np.inf
    suffers = 1 / (1 + np.exp(-np.clip(log_odds / figures.temperature, -_FULL_BELIEF, _FULL_BELIEF)))
    effect = np.clip(effect, 0, 1)
    well = 1 - suffers + suffers * figures.doubtful_credit * (1 - effect)
    ill = suffers + (1 - suffers) * figures.doubtful_credit * effect
    ends = np.cumsum([len(r.rise) for r in remainders])[:-1]
    return np.split(well, ends), np.split(ill, ends)


def _judged(remainders: _Remainders, figures: LocalisationFigures) -> tuple[Floats, Floats]:
    """Whether remainders share the fault of the groups beside them: log-odds and relative rise, [group].

    The log Bayes factor of two hypotheses on the bad viewers of a remainder: its rate is what its past leads
    one to expect, or it is raised by a part of the group's rise, from ``least_effect`` to ``most_effect`` of
    it, all as likely on a logarithmic scale. Few viewers cannot tell: their factor is near 0.
    """
    bad, total, rise = remainders.bad[-1], remainders.total[-1], remainders.rise
    expected, known = baseline(remainders.bad[:-1], remainders.total[:-1], remainders.prior, figures)
    effects = np.geomspace(figures.least_effect, figures.most_effect, _EFFECT_STEPS)[:, None]
    raised = np.clip(expected + effects * rise, None, _LARGEST_RATE)
    evidence = _log_likelihood_ratio(bad, total, raised, expected)
    evidence /= _dispersion(total, expected, known, figures)
    most = evidence.max(axis=0)
    log_odds: Floats = most + np.log(np.exp(evidence - most).mean(axis=0))
    return log_odds, (bad - total * expected) / (total + figures.shrinkage_viewers) / rise


def _log_likelihood_ratio(bad: Floats, total: Floats, rate: Floats, expected: Floats) -> Floats:
    """Of binomial counts, of one rate over another."""
    ratio: Floats = bad * np.log(rate / expected) + (total - bad) * np.log((1 - rate) / (1 - expected))
    return ratio


def _dispersion(total: Floats, expected: Floats, known: Floats, figures: LocalisationFigures) -> Floats:
    """How much more healthy counts vary than binomial ones: rates drift, the expected one is estimated."""
    wander = figures.drift**2 * total * expected
    doubt = total / (known + figures.shrinkage_viewers)
    spread: Floats = 1 + wander + doubt
    return spread
