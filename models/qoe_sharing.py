"""Trouble that several scopes share: one cause, one episode of all viewers.

A CDN that fails does so for the viewers of every title on it. Each title is looked at by itself, so each
would have an episode of its own. Where the same cell is found at fault in two scopes, and those of its
viewers who are in other scopes suffer as well, it is no scope's trouble but everybody's. What is at fault in
some scopes while the same cell is well in the rest stays theirs: to treat it as the cell's would move viewers
who are well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from config.sections import QoeSettings
from models import words
from models.cohort_stats import Departure, Factor
from models.localisation import Cause as FoundCause
from models.localisation import told
from models.qoe_episodes import Episode
from models.qoe_measures import LEVELS, WORDINGS
from models.qoe_pool import Pool
from models.qoe_scopes import Finding, Seen, Verdicts
from topics.anomalies import Severity
from topics.fields import Cell, cell_key

LEAST_SCOPES = 2
"""So many must find the same by themselves."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one scope holds to be at fault."""

    seen: Seen
    worst: Finding
    cell: Cell
    causes: Sequence[FoundCause]
    """Of all that was found, the one that names `cell` first; none where nothing explains the departure."""
    departure: Departure
    """In `cell`."""
    impact: float
    """Viewers hurt."""

    @property
    def scope(self) -> str:
        """Name of the scope."""
        return self.seen.leaves.name


@dataclass(frozen=True, slots=True)
class Shared:
    """A cell at fault in several scopes."""

    cell: Cell
    lead: Candidate
    """Who tells most of it."""
    scopes: frozenset[str]
    """Those that found it by themselves."""
    severity: Severity
    departure: Departure
    """Of all viewers in the cell, as certain as that of the scope that is most so."""
    score: float
    """How well the cell explains what its scopes have; 0 where nothing does."""


class Sharing:
    """Finds what scopes share, and tells it of all viewers."""

    def __init__(self, qoe: QoeSettings, verdicts: Verdicts) -> None:
        self._qoe = qoe
        self._verdicts = verdicts

    def find(self, found: Sequence[Candidate], pool: Pool) -> Shared | None:
        """Return a cell that several scopes share, that with the most viewers hurt first."""
        for cell in _cells(found):
            backers = [each for each in found if names(cell, each.cell)]
            if len({each.scope for each in backers}) < LEAST_SCOPES:
                continue
            lead = max(
                (each for each in backers if each.cell == cell),
                key=lambda each: (each.worst.severity, each.impact),
            )
            shared = self._shared(cell, lead, backers, pool)
            if shared is not None:
                return self._finest(shared, backers, pool)
        return None

    def cause(self, metric: str, cell: Cell, score: float, pool: Pool) -> FoundCause | None:
        """Return the cell as the cause of a departure of all viewers; None where it has no counts."""
        inside = pool.departure(metric, cell)
        if metric in LEVELS or inside is None:
            return None
        everyone = pool.departure(metric, {})
        whole = max(everyone.excess if everyone is not None else 0.0, inside.excess)
        rate, usual = pool.rate(metric, cell), pool.share(metric, cell)
        rest = pool.rate(metric, {}, without=cell)
        neighbours = (
            (wider, other)
            for wider in _one_less(cell)
            if (other := pool.rate(metric, wider, without=cell)) is not None
        )
        contrast = told(cell, WORDINGS[metric], rate or 0.0, usual, rest, neighbours)
        return FoundCause(
            cell=dict(cell),
            score=score,
            excess_viewers=inside.excess,
            explained=inside.excess / whole if whole > 0 else 0.0,
            rate=rate or 0.0,
            expected_rate=usual,
            rest_rate=rest,
            contrast=f"{contrast}; {self.evidence(metric, cell, pool)}",
            acts=True,
        )

    def evidence(self, metric: str, cell: Cell, pool: Pool) -> str:
        """Return how many scopes are hit, and the worst of them, in words."""
        telling = list(pool.by_scope(metric, cell))
        hit = [each for each in telling if self._verdicts.stands_out(each[1])]
        if not hit:
            return f"none of {len(telling)} {self._qoe.scope}s stands out"
        seen, worst = max(hit, key=lambda each: (abs(each[1].rise), each[0].leaves.name))
        value = f"{worst.value:.4g}" if metric in LEVELS else words.percent(worst.value)
        return (
            f"{len(hit)} of {len(telling)} {self._qoe.scope}s are hit, {seen.leaves.name} the most: {value}"
        )

    def largest_hit(self, metric: str, cell: Cell, pool: Pool) -> Seen | None:
        """Return the scope with the most viewers of those that are hit."""
        hit = (seen for seen, found in pool.by_scope(metric, cell) if self._verdicts.stands_out(found))
        return next(hit, None)

    def _finest(self, shared: Shared, backers: Sequence[Candidate], pool: Pool) -> Shared:
        """Return a finer cell that some named, where what it leaves of the wider one is well."""
        for cell in _cells([each for each in backers if each.cell != shared.cell]):
            metric = shared.departure.metric
            rest = pool.departure(metric, shared.cell, without=cell)
            if rest is not None and self._verdicts.lasts(rest):
                continue
            inside = [each for each in backers if names(cell, each.cell)]
            lead = next(each for each in inside if each.cell == cell)
            finer = self._shared(cell, lead, inside, pool)
            if finer is not None:
                return finer
        return shared

    def _shared(self, cell: Cell, lead: Candidate, backers: Sequence[Candidate], pool: Pool) -> Shared | None:
        metric = lead.departure.metric
        whole = pool.departure(metric, cell)
        scopes = frozenset(each.scope for each in backers)
        if whole is None or not self._is_everywhere(metric, cell, scopes, pool):
            return None
        surest = min((each.worst.departure for each in backers), key=lambda each: each.log_p)
        scored = [each for each in backers if each.causes]
        weights = [each.impact + 1.0 for each in scored]
        return Shared(
            cell=cell,
            lead=lead,
            scopes=scopes,
            severity=max(each.worst.severity for each in backers),
            departure=replace(whole, sigmas=surest.sigmas, log_p=surest.log_p),
            score=float(np.average([each.causes[0].score for each in scored], weights=weights))
            if scored
            else 0.0,
        )

    def _is_everywhere(self, metric: str, cell: Cell, scopes: frozenset[str], pool: Pool) -> bool:
        """Whether the cell's viewers in the other scopes suffer too, or hardly any of them are left."""
        named = np.array([each.leaves.name in scopes for each in pool.seen], dtype=bool)
        if pool.viewers(cell, pool.known & ~named) < self._qoe.min_viewers:
            return len(scopes) >= LEAST_SCOPES
        here = pool.departure(metric, cell, pool.known & named)
        others = pool.departure(metric, cell, pool.known & ~named)
        if here is None or others is None or not self._verdicts.stands_out(others):
            return False
        return abs(others.rise) >= self._qoe.shared_least_rise * abs(here.rise)


class SharedExplains:
    """Explains the episodes that scopes share."""

    def __init__(
        self, sharing: Sharing, pool: Pool, causes_of: Callable[[Seen, str], list[FoundCause]]
    ) -> None:
        self._sharing = sharing
        self._pool = pool
        self._causes_of = causes_of

    def at_last(self, episode: Episode) -> list[FoundCause]:
        """Return the episode's cell as its cause where the largest scope that is hit finds it to be one."""
        seen = self._sharing.largest_hit(episode.metric, episode.cell, self._pool)
        found = [] if seen is None else self._causes_of(seen, episode.metric)
        named = [each for each in found if each.acts and names(episode.cell, each.cell)]
        if named:
            episode.cause_score = named[0].score
        return self.again(episode)

    def again(self, episode: Episode) -> list[FoundCause]:
        """Return the cause as it is now: more scopes may be hit."""
        if not episode.cause_score:
            return []
        cause = self._sharing.cause(episode.metric, episode.cell, episode.cause_score, self._pool)
        return [] if cause is None else [cause]

    def factor(self, metric: str, cell: Cell) -> Factor:
        """Return what the hour does to the cell, over all scopes."""
        return Factor(self._pool.factor(metric, cell))


def _cells(found: Sequence[Candidate]) -> list[Cell]:
    """Return the cells named, that by which the most viewers are hurt first."""
    hurt: dict[str, float] = {}
    cells: dict[str, Cell] = {}
    for each in found:
        key = cell_key(each.cell)
        cells.setdefault(key, each.cell)
        hurt[key] = hurt.get(key, 0.0) + each.impact
    return [cells[key] for key in sorted(cells, key=lambda key: (-hurt[key], key))]


def names(cell: Mapping[str, str], named: Cell) -> bool:
    """Whether who names `named` may mean `cell`: it, or what is inside it. Everyone is only everyone."""
    return cell.items() <= named.items() if cell else not named


def _one_less(cell: Cell) -> Iterator[Cell]:
    if len(cell) > 1:
        for left_out in cell:
            yield {name: value for name, value in cell.items() if name != left_out}
