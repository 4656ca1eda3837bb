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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

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
class _Remainder:
    """What the parents of some cells hold beside them."""

    bad: Floats  # [window]
    total: Floats  # [window]
    prior: float  # the rate to expect of it before its past is looked at
    rise: float  # of the cells' rate over what is expected of them


def suspects(panel: Panel, figures: LocalisationFigures) -> list[Suspect]:
    """What may have caused the excess of the last window, best first; empty when nothing stands out."""
    cube = roll_up(panel, figures)
    all_excess = max(float(cuboid.excess.max()) for cuboid in cube.values())
    if all_excess < figures.least_excess_viewers:
        return []
    heavy = {axes: _heaviest_first(cuboid, figures.least_share * all_excess) for axes, cuboid in cube.items()}
    if not any(_stands_out(cube[axes], cells, figures) for axes, cells in heavy.items()):
        return []
    groups = [
        (cube[axes], group)
        for axes, cells in heavy.items()
        for group in _groups(cells.tolist(), figures.max_causes)
    ]
    outside, inside = _credits(cube, groups, figures)
    found = []
    for number, (cuboid, cells) in enumerate(groups):
        explained = min(float(cuboid.excess[list(cells)].sum()) / all_excess, 1.0)
        score = explained**figures.share_weight * float(outside[number])
        score *= min(inside.get((cuboid.axes, cell), 1.0) for cell in cells)
        score *= figures.another_cell_credit ** (len(cells) - 1)
        score *= 1.0 if cuboid.axes else figures.everyone_credit
        found.append(Suspect(cuboid, cells, score, all_excess))
    return sorted(found, key=lambda suspect: -suspect.score)


def _heaviest_first(cuboid: Cuboid, least_excess: float) -> Ints:
    heavy = np.flatnonzero(cuboid.excess >= least_excess)
    return heavy[np.argsort(-cuboid.excess[heavy], kind="stable")]


def _stands_out(cuboid: Cuboid, cells: Ints, figures: LocalisationFigures) -> bool:
    """Whether the excess of some cell is beyond chance: the root of its deviance, in standard errors."""
    bad, total, expected = cuboid.bad[-1, cells], cuboid.total[-1, cells], cuboid.expected[cells]
    rate = np.clip(bad / total, expected, _LARGEST_RATE)
    deviance = 2 * _log_likelihood_ratio(bad, total, rate, expected)
    deviance /= _dispersion(total, expected, cuboid.known[cells], figures)
    return bool((deviance >= figures.least_sigmas**2).any())


def _groups(cells: list[int], largest: int) -> Iterator[tuple[int, ...]]:
    """Each cell alone, and the first few of them in pairs and more."""
    yield from ((cell,) for cell in cells)
    for size in range(2, largest + 1):
        yield from combinations(cells[: largest + 1], size)


def _credits(
    cube: Cube, groups: Sequence[tuple[Cuboid, tuple[int, ...]]], figures: LocalisationFigures
) -> tuple[Floats, dict[tuple[tuple[int, ...], int], float]]:
    """How well each group is cut, 0..1: not too fine, by group; and not too coarse, by cell."""
    owners = [(number, axis) for number, (cuboid, _) in enumerate(groups) for axis in cuboid.axes]
    remainders = [_remainder(cube, *groups[number], axis) for number, axis in owners]
    log_odds, effect = _judged(remainders, figures)
    # Where no remainder can tell, a single cell may be as fine as it is; several at once have to be proved.
    alone = np.array([len(groups[number][1]) == 1 for number, _ in owners])
    log_odds -= np.where(alone, figures.finer_log_odds, figures.several_log_odds)
    nobody = np.array([remainder.total[-1] == 0 for remainder in remainders])
    log_odds[nobody & ~alone] = np.inf
    suffers = 1 / (1 + np.exp(-np.clip(log_odds / figures.temperature, -_FULL_BELIEF, _FULL_BELIEF)))
    effect = np.clip(effect, 0, 1)
    well = 1 - suffers + suffers * figures.doubtful_credit * (1 - effect)
    ill = suffers + (1 - suffers) * figures.doubtful_credit * effect
    outside = np.ones(len(groups))
    inside: dict[tuple[tuple[int, ...], int], float] = {}
    for place, (number, axis) in enumerate(owners):
        outside[number] = min(outside[number], well[place])
        cuboid, cells = groups[number]
        parent = _parent(cube, cuboid, axis)
        if not alone[place] and parent.axes:
            continue  # unequal effects within one cell look like several causes
        cell = int(parent.cell_of[cuboid.leaf[cells[0]]])
        if 2 * cuboid.excess[list(cells)].sum() >= parent.excess[cell]:
            key = (parent.axes, cell)
            inside[key] = min(inside.get(key, 1.0), float(ill[place]))
    return outside, inside


def _parent(cube: Cube, cuboid: Cuboid, axis: int) -> Cuboid:
    return cube[tuple(a for a in cuboid.axes if a != axis)]


def _remainder(cube: Cube, cuboid: Cuboid, cells: tuple[int, ...], axis: int) -> _Remainder:
    """What the parents of the cells, which name all their dimensions but one, hold beside them."""
    chosen = list(cells)
    parent = _parent(cube, cuboid, axis)
    parents = list({int(cell) for cell in parent.cell_of[cuboid.leaf[chosen]]})
    return _Remainder(
        bad=parent.bad[:, parents].sum(1) - cuboid.bad[:, chosen].sum(1),
        total=parent.total[:, parents].sum(1) - cuboid.total[:, chosen].sum(1),
        prior=float(np.average(parent.expected[parents], weights=parent.total[-1, parents])),
        rise=float(cuboid.excess[chosen].sum() / cuboid.total[-1, chosen].sum()),
    )


def _judged(remainders: Sequence[_Remainder], figures: LocalisationFigures) -> tuple[Floats, Floats]:
    """Whether remainders share the fault of the cells beside them: log-odds and relative rise, [remainder].

    The log Bayes factor of two hypotheses on the bad viewers of a remainder: its rate is what its past leads
    one to expect, or it is raised by a part of the cells' rise, from ``least_effect`` to ``most_effect`` of
    it, all as likely on a logarithmic scale. Few viewers cannot tell: their factor is near 0.
    """
    bad = np.stack([remainder.bad for remainder in remainders], axis=1)
    total = np.stack([remainder.total for remainder in remainders], axis=1)
    prior = np.array([remainder.prior for remainder in remainders])
    rise = np.array([remainder.rise for remainder in remainders])
    expected, known = baseline(bad[:-1], total[:-1], prior, figures)
    effects = np.geomspace(figures.least_effect, figures.most_effect, _EFFECT_STEPS)[:, None]
    raised = np.clip(expected + effects * rise, None, _LARGEST_RATE)
    evidence = _log_likelihood_ratio(bad[-1], total[-1], raised, expected)
    evidence /= _dispersion(total[-1], expected, known, figures)
    most = evidence.max(axis=0)
    log_odds: Floats = most + np.log(np.exp(evidence - most).mean(axis=0))
    excess = bad[-1] - total[-1] * expected
    return log_odds, excess / (total[-1] + figures.shrinkage_viewers) / rise


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
