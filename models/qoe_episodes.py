"""Episodes of playback trouble: what is remembered of one, and the record that tells of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from config import Settings
from models import levers, words
from models.cohort_stats import Departure
from models.levers import CDN
from models.localisation import Cause as FoundCause
from models.qoe_cells import CellShapes, Leaves
from models.qoe_measures import AT, PERCENTILES, bounds, kind_of, value_of
from topics.anomalies import Anomaly, Cause, Phase, Severity
from topics.fields import Cell, cell_key, derive_id

DETECTOR = "qoe"
EXTERNAL = "no combination of dimensions explains it: unknown or external"


class Episode(msgspec.Struct):
    """Trouble that has started and not ended."""

    subject: str
    metric: str
    cell: Cell
    series: str
    severity: Severity
    expected: float
    """Of a proportion: the share of the cell that is bad in health."""
    started_ms: int
    windows: int = 1
    clean: int = 0
    unseen: int = 0
    """Windows in a row with too few viewers to say how it is."""
    explained: bool = False
    """Whether its causes were found."""
    everyones: bool = False
    """Whether it was told that no dimension tells those who suffer apart: that may be early still."""
    told_impact: float = 0.0
    """Viewers it was said to reach, last."""
    paged: bool = False
    baseline: float | None = None
    """What is usual, as it is told: of a percentile that percentile, else as `expected`."""
    factor: float = 1.0
    """What the hour did to it when it started: `expected` has that in it ..."""
    unsure: float = 0.0
    """... and is off by so much of itself, as far as the hour was not known better."""
    cause_score: float = 0.0
    """Of an episode that scopes share: how well its cell explains what they have, by its localisation."""


class Teller:
    """Makes the records of episodes."""

    def __init__(self, settings: Settings, shapes: CellShapes) -> None:
        self._qoe = settings.qoe
        self._policy = settings.policy
        self._bounds = bounds(settings.qoe)
        self._shapes = shapes

    def anomaly(
        self,
        episode: Episode,
        leaves: Leaves,
        phase: Phase,
        *,
        departure: Departure | None = None,
        page_level: float | None = None,
        impact: float = 0.0,
        causes: Sequence[FoundCause] = (),
        detail: str = "",
    ) -> Anomaly:
        """Return what is to be said of `episode`, and remember that it was."""
        episode.told_impact = max(impact, episode.told_impact)
        scope = {self._qoe.scope: leaves.name} if leaves.name else {}
        bound = self._bounds[episode.metric]
        sigmas = max(departure.sigmas, 0.0) if departure is not None else 0.0
        now = self._value(leaves, episode)
        blamed = causes[0].cell if causes else episode.cell
        return Anomaly(
            id=derive_id(
                "qoe", episode.subject, episode.metric, episode.started_ms, phase, leaves.window.start_ms
            ),
            time_ms=leaves.time_ms,
            subject=episode.subject,
            series=episode.series,
            phase=phase,
            kind=kind_of(episode.metric),
            severity=episode.severity,
            score=1 - 2 ** (-sigmas / self._qoe.sigmas_high),
            confidence=math.erf(sigmas / math.sqrt(2)),
            metric=episode.metric,
            value=now if now is not None else 0.0,
            baseline=episode.expected if episode.baseline is None else episode.baseline,
            deviation_sigmas=departure.sigmas if departure is not None else None,
            bound=bound.warn if bound.of_value else None,
            detector=DETECTOR,
            window_ms=leaves.window.window_ms,
            cell=episode.cell,
            causes=[self._cause(cause, scope, leaves) for cause in causes],
            scope=scope,
            only_cdn=self._only_cdn(blamed, leaves),
            impact_viewers=impact,
            detail=detail,
            pages=episode.paged,
            p_value=math.exp(departure.log_p) if departure is not None else None,
            page_level=page_level,
            origin_ms=leaves.window.origin_ms,
        )

    def _value(self, leaves: Leaves, episode: Episode) -> float | None:
        if not leaves.cells:
            return None
        if episode.metric in PERCENTILES:
            return self._shapes.percentile_in(leaves, leaves.inside(episode.cell), episode.metric)
        return value_of(leaves.matching(episode.cell), episode.metric)

    def _cause(self, cause: FoundCause, scope: Cell, leaves: Leaves) -> Cause:
        return Cause(
            cell=cause.cell,
            score=cause.score,
            excess_viewers=max(cause.excess_viewers, 0.0),
            explained=min(max(cause.explained, 0.0), 1.0),
            contrast=cause.contrast,
            of_cdn=_of_cdn(cause.cell, leaves),
            owner=levers.owner(cause.cell),
            lever=levers.in_words(cause.cell, scope, self._policy, self._only_cdn(cause.cell, leaves)),
        )

    def _only_cdn(self, cell: Cell, leaves: Leaves) -> str:
        """Return the CDN that serves next to all of a cell; empty if it names one, or there are more."""
        if CDN in cell or CDN not in leaves.dimensions or not leaves.cells or leaves.partial:
            return ""
        at = leaves.dimensions.index(CDN)
        viewers = leaves.sums[:, AT["viewers"]] * leaves.inside(cell)
        by_cdn: dict[str, float] = {}
        for leaf, count in zip(leaves.cells, viewers.tolist(), strict=True):
            by_cdn[leaf[at]] = by_cdn.get(leaf[at], 0.0) + count
        most = max(by_cdn, key=lambda cdn: (by_cdn[cdn], cdn))
        return most if by_cdn[most] >= self._qoe.only_cdn_share * sum(by_cdn.values()) > 0 else ""


def _of_cdn(cell: Cell, leaves: Leaves) -> float | None:
    """Return which share of the viewers of a cell's CDN is in it; None where it names none, or has nobody.

    Among some of the viewers only, a cell may be less of its CDN than it is among all: then it is not known.
    """
    if CDN not in cell or leaves.partial:
        return None
    of_all = leaves.matching({CDN: cell[CDN]})[AT["viewers"]]
    return min(float(leaves.matching(cell)[AT["viewers"]] / of_all), 1.0) if of_all > 0 else None


def subject_of(scope: str, cell: Cell) -> str:
    """Return whose trouble it is."""
    return words.name(f"{scope}: {cell_key(cell)}" if scope else cell_key(cell))


def overlap(one: Cell, other: Cell) -> bool:
    """Whether one cell lies inside the other: the trouble is then the same."""
    return one.items() <= other.items() or other.items() <= one.items()
