"""How a detector does at a bound, and which bound suits: from its scores of recorded series.

A bound is a score; a row that scores as much is flagged, flagged rows close together are one episode. An
episode that begins outside the labelled windows is false; a window is seen where one begins inside it: an
alarm that was on already tells nobody anything. The bound that is chosen sees the most windows among those
that keep within a number of false episodes a week: that number is what people put
up with, and everything else follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.anomaly.base import ALARM_SCORE, CRITICAL_SCORE

WEEK_MS = 7 * 86_400_000
CANDIDATES = 400
"""Bounds that are tried, denser among the highest scores, where false episodes are few."""

Window = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Scored:
    """One series as a detector scored it.

    Args:
        time_ms: of each row, int64[rows].
        score: of each row, float64[rows].
        windows: labelled, first and last moment, in order and apart.
        choosing: rows that a bound is chosen on; the others are told of, bool[rows].
    """

    time_ms: NDArray[np.int64]
    score: NDArray[np.float64]
    windows: Sequence[Window]
    choosing: NDArray[np.bool_]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector would have told at a bound."""

    rows: int
    weeks: float
    """How long the series run side by side."""
    episodes: int
    false_episodes: int
    false_per_week: float
    windows: int
    windows_seen: int
    precision: float | None = None
    """Share of the episodes that are true; absent without episodes or labels."""
    recall: float | None = None
    """Share of the windows that are seen; absent without labels."""
    delay_median_s: float | None = None
    """From the beginning of a window to the first episode in it."""


def tell(series: Iterable[Scored], bound: float, clear_after: int, *, choosing: bool) -> Told:
    """Return what would have been told at `bound`, on the rows chosen on or on the others.

    Args:
        clear_after: unflagged rows that end an episode.

    >>> rows = np.arange(10) * 1000
    >>> score = np.array([0, 0, .9, .8, 0, 0, 0, .7, 0, 0])
    >>> one = Scored(rows, score, [(2000, 3000)], np.ones(10, dtype=bool))
    >>> told = tell([one], 0.5, clear_after=2, choosing=True)
    >>> told.episodes, told.false_episodes, told.windows_seen, told.delay_median_s
    (2, 1, 1, 0.0)
    """
    rows = episodes = false = windows = 0
    pace = 0.0
    delays_ms: list[int] = []
    for each in series:
        judged = each.choosing if choosing else ~each.choosing
        times = each.time_ms[judged]
        if not len(times):
            continue
        rows += len(times)
        pace += len(times) / max((int(times[-1]) - int(times[0])) / WEEK_MS, 1e-9)
        flagged = np.flatnonzero(each.score[judged] >= bound)
        starts = flagged[np.diff(flagged, prepend=-clear_after - 1) > clear_after]
        inside = [w for w in each.windows if w[1] >= times[0] and w[0] <= times[-1]]
        windows += len(inside)
        episodes += len(starts)
        where = _window_of(times[starts], inside)
        false += int((where < 0).sum())
        seen, first = np.unique(where, return_index=True)
        delays_ms += [
            int(times[starts[at]]) - max(inside[number][0], int(times[0]))
            for number, at in zip(seen.tolist(), first.tolist(), strict=True)
            if number >= 0
        ]
    weeks = rows / pace if pace else 0.0
    return Told(
        rows=rows,
        weeks=weeks,
        episodes=episodes,
        false_episodes=false,
        false_per_week=false / weeks if weeks else 0.0,
        windows=windows,
        windows_seen=len(delays_ms),
        precision=1 - false / episodes if episodes and windows else None,
        recall=len(delays_ms) / windows if windows else None,
        delay_median_s=float(np.median(delays_ms)) / 1000 if delays_ms else None,
    )


def choose(series: Sequence[Scored], clear_after: int, false_per_week: float) -> float:
    """Return the bound that sees most within so many false episodes a week.

    Only the rows chosen on are looked at. Of bounds that see as much it is the one half-way between the least
    and the greatest, which leaves room for other days on both sides; without labels the one that fires most.
    Infinite where none suits.

    >>> score = np.array([0, .6, 0, 0, 0, 0, .8, 0, 0, 0])
    >>> times = np.arange(10) * WEEK_MS // 10
    >>> one = Scored(times, score, [(WEEK_MS // 2, WEEK_MS)], np.ones(10, dtype=bool))
    >>> choose([one], 1, false_per_week=0.5)
    0.8
    """
    scores = np.unique(np.concatenate([each.score[each.choosing] for each in series]))
    scores = scores[scores > 0]
    if len(scores) > CANDIDATES:
        places = np.unique(np.geomspace(1, len(scores), CANDIDATES).astype(np.int64))
        scores = scores[len(scores) - places][::-1]
    most = 0 if any(each.windows for each in series) else -1
    equal: list[float] = []
    for bound in scores[::-1].tolist():
        told = tell(series, bound, clear_after, choosing=True)
        worth = told.windows_seen if told.windows else told.episodes
        if told.false_per_week > false_per_week or worth < most:
            continue
        equal = [*equal, bound] if worth == most and equal else [bound] if worth > most else equal
        most = worth
    if not equal:
        return math.inf
    half_way = (equal[0] + equal[-1]) / 2
    return min(equal, key=lambda bound: (abs(bound - half_way), bound))


def strength_of(score: float, high: float, critical: float) -> float:
    """Return the strength that `models.anomaly.base.graded` gives `score` to.

    >>> [strength_of(score, 3.0, 5.0) for score in (0.25, 0.5, 0.75, 0.975)]
    [1.5, 3.0, 5.0, 50.0]
    """
    if score < ALARM_SCORE:
        return high * score / ALARM_SCORE
    if score < CRITICAL_SCORE:
        return high + (critical - high) * (score - ALARM_SCORE) / (CRITICAL_SCORE - ALARM_SCORE)
    return round(critical * (1 - CRITICAL_SCORE) / (1 - score), 12) if score < 1 else math.inf


def _window_of(times: NDArray[np.int64], windows: Sequence[Window]) -> NDArray[np.int64]:
    """Return which window each time lies in; -1 for none."""
    if not windows:
        return np.full(len(times), -1, dtype=np.int64)
    first = np.array([window[0] for window in windows])
    last = np.array([window[1] for window in windows])
    at = np.searchsorted(first, times, side="right") - 1
    found: NDArray[np.int64] = np.where((at >= 0) & (times <= last[np.maximum(at, 0)]), at, -1)
    return found
