"""Judges playback QoE: which windows are bad, what explains it, and when it is over.

Each *scope* (a title, or all viewers) is judged by itself. Per window: roll the leaf cells up into cohorts
worth watching, compare each measure with its baseline, and where one departs find the combination
that explains the excess. An episode starts with the cause, is told again when it worsens, and ends when the
cause's own cell is clean. A window in trouble teaches nothing, unless the trouble lasts so long that it must
be called normal.

Definitions of the measures: CTA-2066; aggregation (sum first, divide last): `docs/qoe.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.localisation import LocalisationFigures
from config.sections import QoeSettings
from models.cohort_stats import Departure, Level, Proportion, ratio
from models.localisation import Cause as FoundCause
from models.localisation import Cells, Localiser, Wording
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.cohorts import MEASURES, CohortWindow, Measures
from topics.fields import Cell, cell_key, derive_id

DETECTOR = "qoe"
PROPORTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "stalled_ratio": ("stalled_viewers", ("viewers",)),
    "start_failure_ratio": ("start_failures", ("attempts",)),
    "playback_failure_ratio": ("playback_failures", ("viewers",)),
    "rebuffering_ratio": ("stall_ms", ("stall_ms", "play_ms")),
}
LEVELS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "startup_mean_ms": ("startup_ms", ("starts",), True),
    "bitrate_mean_kbps": ("bitrate_kbps_ms", ("bitrate_ms",), False),
}
WORDINGS = {
    "stalled_ratio": Wording("viewers", "stall"),
    "start_failure_ratio": Wording("attempts", "fail to start"),
    "playback_failure_ratio": Wording("viewers", "fail while playing"),
    "rebuffering_ratio": Wording("minutes", "are spent stalled"),
}
_AT = {name: column for column, name in enumerate(MEASURES)}
_MS_PER_VIEWER = 60_000.0
"""Times are tested as if each minute were one viewer: within a minute they are far from independent."""


class Episode(msgspec.Struct):
    """Trouble that has started and not ended."""

    subject: str
    metric: str
    cell: Cell
    series: str
    severity: Severity
    expected: float
    started_ms: int
    windows: int = 1
    clean: int = 0


class PastWindow(msgspec.Struct):
    """Leaf cells of a window that was learned."""

    dimensions: list[str]
    cells: list[list[str]]
    sums: bytes


class Scope(msgspec.Struct):
    """What is known of one scope."""

    windows: int = 0
    proportions: dict[str, Proportion] = {}
    levels: dict[str, Level] = {}
    history: list[PastWindow] = []
    episodes: list[Episode] = []
    seen_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Cohort:
    cell: Cell
    sums: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Finding:
    cohort: _Cohort
    departure: Departure
    severity: Severity


@dataclass(frozen=True, slots=True)
class _Leaves:
    """The leaf cells of one scope in one window, without the scope's own dimension."""

    name: str
    dimensions: tuple[str, ...]
    cells: list[tuple[str, ...]]
    sums: NDArray[np.float64]
    window: MergedWindow

    def matching(self, cell: Cell) -> NDArray[np.float64]:
        """Sums over the leaves inside `cell`, shape (measures,)."""
        places = [(self.dimensions.index(name), value) for name, value in cell.items()]
        inside = [all(leaf[at] == value for at, value in places) for leaf in self.cells]
        total: NDArray[np.float64] = self.sums[np.array(inside, dtype=bool)].sum(axis=0)
        return total


class QoeJudge:
    """Judges merged windows, scope by scope.

    Args:
        qoe: windows, cohorts and thresholds.
        localisation: figures of the search for causes.
    """

    def __init__(self, qoe: QoeSettings, localisation: LocalisationFigures) -> None:
        self._qoe = qoe
        self._localisation = localisation
        self._alpha = 1 - 0.5 ** (1 / qoe.baseline_half_life_windows)
        self._scopes: dict[str, Scope] = {}

    def judge(self, window: MergedWindow) -> tuple[list[CohortWindow], list[Anomaly]]:
        """Return the cohorts of `window` and what is to be said of them."""
        cohort_windows: list[CohortWindow] = []
        anomalies: list[Anomaly] = []
        for leaves in self._split(window):
            scope = self._scopes.setdefault(leaves.name, Scope())
            scope.seen_ms = window.start_ms
            cohorts = self._cohorts(leaves)
            cohort_windows += [_described(leaves, cohort) for cohort in cohorts]
            anomalies += self._judge_scope(scope, leaves, cohorts)
        anomalies += self._end_absent(window)
        self._forget()
        return cohort_windows, anomalies

    def snapshot(self) -> bytes:
        """Return all that is known."""
        return msgspec.msgpack.encode(self._scopes)

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told."""
        self._scopes = msgspec.msgpack.decode(data, type=dict[str, Scope])

    # -- one scope ----------------------------------------------------------------------------------------

    def _judge_scope(self, scope: Scope, leaves: _Leaves, cohorts: list[_Cohort]) -> list[Anomaly]:
        anomalies = self._follow(scope, leaves)
        findings = self._findings(scope, cohorts) if scope.windows >= self._qoe.warmup_windows else []
        if findings:
            anomalies += self._start(scope, leaves, findings)
        # An episode that ended within this window began in trouble: only a window without any is learned.
        lasting = any(each.windows > self._qoe.relearn_after_windows for each in scope.episodes)
        if lasting or not (findings or scope.episodes):
            self._learn(scope, leaves, cohorts)
        return anomalies

    def _findings(self, scope: Scope, cohorts: list[_Cohort]) -> list[_Finding]:
        """Return the departures that matter, worst first."""
        everyone = cohorts[0].sums if cohorts else np.zeros(len(MEASURES))
        found = []
        for cohort in cohorts:
            if cohort.sums[_AT["viewers"]] < self._qoe.min_viewers:
                continue
            for departure in self._departures(scope, cohort, everyone):
                severity = self._severity(departure)
                if severity is not None:
                    found.append(_Finding(cohort, departure, severity))
        return sorted(found, key=lambda finding: (-finding.severity, -finding.departure.sigmas))

    def _departures(
        self, scope: Scope, cohort: _Cohort, everyone: NDArray[np.float64]
    ) -> Iterable[Departure]:
        for metric, (over, under) in PROPORTIONS.items():
            bad, total = _counts(cohort.sums, metric)
            if total <= 0:
                continue
            of_all = scope.proportions.get(_series(metric, {}), Proportion())
            prior = of_all.rate(ratio(everyone, over, under) or 0.0)
            known = scope.proportions.get(_series(metric, cohort.cell), Proportion())
            yield known.departure(metric, bad, total, prior)
        for metric, (over, under, up_is_bad) in LEVELS.items():
            value = ratio(cohort.sums, over, under)
            level = scope.levels.get(_series(metric, cohort.cell))
            if metric == "bitrate_mean_kbps" and "bitrate_kbps" in cohort.cell:
                continue  # a cohort of one bitrate has that bitrate
            if value is not None and level is not None and level.windows >= self._qoe.warmup_windows:
                yield level.departure(
                    metric, value, up_is_bad=up_is_bad, least_spread_share=self._qoe.level_least_spread_share
                )

    def _severity(self, departure: Departure) -> Severity | None:
        """Return how bad a departure is: it must be certain and large and beyond what may be."""
        qoe = self._qoe
        if departure.sigmas < qoe.sigmas_high:
            return None
        value, rise = departure.value, departure.rise
        warn, critical = {
            "stalled_ratio": (rise >= qoe.stalled_ratio_rise, rise >= qoe.stalled_ratio_critical_rise),
            "rebuffering_ratio": (value >= qoe.rebuffering_warn, value >= qoe.rebuffering_critical),
            "start_failure_ratio": (value >= qoe.start_failure_warn, value >= qoe.start_failure_critical),
            "playback_failure_ratio": (value >= qoe.start_failure_warn, value >= qoe.start_failure_critical),
            "startup_mean_ms": (value >= qoe.startup_warn_ms, value >= qoe.startup_critical_ms),
            "bitrate_mean_kbps": (rise >= qoe.bitrate_drop_warn, rise >= qoe.bitrate_drop_critical),
        }[departure.metric]
        if critical and departure.sigmas >= qoe.sigmas_critical:
            return Severity.CRITICAL
        return Severity.HIGH if warn else None

    def _start(self, scope: Scope, leaves: _Leaves, findings: list[_Finding]) -> list[Anomaly]:
        worst = findings[0]
        causes = self._causes(scope, leaves, worst)
        cell = causes[0].cell if causes else worst.cohort.cell
        if any(_overlap(cell, each.cell) for each in scope.episodes):
            return []
        expected = causes[0].expected_rate if causes else worst.departure.baseline
        subject = _subject(leaves.name, cell)
        episode = Episode(
            subject=subject,
            metric=worst.departure.metric,
            cell=cell,
            series=_short(f"{subject}/{worst.departure.metric}"),
            severity=worst.severity,
            expected=expected,
            started_ms=leaves.window.start_ms,
        )
        scope.episodes.append(episode)
        viewers = float(leaves.matching(cell)[_AT["viewers"]])
        impact = causes[0].excess_viewers if causes else viewers
        return [
            self._anomaly(
                episode,
                leaves,
                Phase.START,
                departure=worst.departure,
                impact=impact,
                causes=[_told(cause) for cause in causes],
                detail=causes[0].contrast if causes else _sentence(worst),
            )
        ]

    def _causes(self, scope: Scope, leaves: _Leaves, worst: _Finding) -> list[FoundCause]:
        """Return what explains the worst departure; a level has no counts to explain."""
        metric = worst.departure.metric
        if metric not in PROPORTIONS:
            return []
        localiser = Localiser(self._localisation)
        for past in scope.history:
            if tuple(past.dimensions) == leaves.dimensions:
                sums = np.frombuffer(past.sums).reshape(-1, len(MEASURES))
                localiser.learn_one(_cells(leaves.dimensions, past.cells, sums, metric))
        now = _cells(leaves.dimensions, leaves.cells, leaves.sums, metric)
        return localiser.explain(now, WORDINGS[metric])

    def _follow(self, scope: Scope, leaves: _Leaves) -> list[Anomaly]:
        """Return what is to be said of the episodes that are on: worse, or over."""
        said = []
        for episode in list(scope.episodes):
            episode.windows += 1
            departure = self._still(scope, episode, leaves)
            if departure is None:
                episode.clean += 1
                if episode.clean >= self._qoe.clear_after_windows:
                    scope.episodes.remove(episode)
                    said.append(self._anomaly(episode, leaves, Phase.END))
                continue
            episode.clean = 0
            severity = self._severity(departure)
            if severity is not None and severity > episode.severity:
                episode.severity = severity
                said.append(
                    self._anomaly(episode, leaves, Phase.UPDATE, departure=departure, impact=departure.excess)
                )
        return said

    def _still(self, scope: Scope, episode: Episode, leaves: _Leaves) -> Departure | None:
        """Return the episode's departure while its cell is in trouble, held to half of what started it."""
        sums = leaves.matching(episode.cell)
        if sums[_AT["viewers"]] <= 0:
            return None
        if episode.metric in PROPORTIONS:
            bad, total = _counts(sums, episode.metric)
            if total <= 0:
                return None
            past = Proportion(bad=episode.expected * total, total=total, windows=1)
            departure = past.departure(episode.metric, bad, total, episode.expected)
            least_rise = self._qoe.stalled_ratio_rise / 2
        else:
            over, under, up_is_bad = LEVELS[episode.metric]
            value = ratio(sums, over, under)
            level = scope.levels.get(_series(episode.metric, episode.cell))
            if value is None or level is None:
                return None
            departure = level.departure(
                episode.metric,
                value,
                up_is_bad=up_is_bad,
                least_spread_share=self._qoe.level_least_spread_share,
            )
            least_rise = self._qoe.bitrate_drop_warn / 2
        holds = departure.sigmas >= self._qoe.sigmas_high / 2 and departure.rise >= least_rise
        return departure if holds else None

    def _end_absent(self, window: MergedWindow) -> list[Anomaly]:
        """End the episodes of scopes that no one watches any more."""
        said = []
        for name, scope in self._scopes.items():
            if scope.seen_ms == window.start_ms or not scope.episodes:
                continue
            leaves = _Leaves(name, (), [], np.zeros((0, len(MEASURES))), window)
            for episode in scope.episodes:
                said.append(self._anomaly(episode, leaves, Phase.END, detail="no viewers are left"))
            scope.episodes = []
        return said

    def _anomaly(
        self,
        episode: Episode,
        leaves: _Leaves,
        phase: Phase,
        *,
        departure: Departure | None = None,
        impact: float = 0.0,
        causes: Sequence[Cause] = (),
        detail: str = "",
    ) -> Anomaly:
        sigmas = max(departure.sigmas, 0.0) if departure is not None else 0.0
        now = _value(leaves.matching(episode.cell), episode.metric) if leaves.cells else None
        return Anomaly(
            id=derive_id(
                "qoe", episode.subject, episode.metric, episode.started_ms, phase, leaves.window.start_ms
            ),
            time_ms=leaves.window.start_ms + leaves.window.window_ms,
            subject=episode.subject,
            series=episode.series,
            phase=phase,
            kind=AnomalyKind.STREAMING_QUALITY_DROP,
            severity=episode.severity,
            score=1 - 2 ** (-sigmas / self._qoe.sigmas_high),
            confidence=math.erf(sigmas / math.sqrt(2)),
            metric=episode.metric,
            value=now if now is not None else 0.0,
            baseline=episode.expected,
            deviation_sigmas=departure.sigmas if departure is not None else None,
            detector=DETECTOR,
            window_ms=leaves.window.window_ms,
            cell=episode.cell,
            causes=list(causes),
            scope={self._qoe.scope: leaves.name} if leaves.name else {},
            impact_viewers=impact,
            detail=detail,
            origin_ms=leaves.window.origin_ms,
        )

    def _learn(self, scope: Scope, leaves: _Leaves, cohorts: list[_Cohort]) -> None:
        scope.windows += 1
        for cohort in cohorts:
            if cohort.sums[_AT["viewers"]] < self._qoe.min_viewers:
                continue
            for metric in PROPORTIONS:
                bad, total = _counts(cohort.sums, metric)
                if total > 0:
                    known = scope.proportions.setdefault(_series(metric, cohort.cell), Proportion())
                    known.learn(bad, total, self._alpha)
            for metric in LEVELS:
                value = _value(cohort.sums, metric)
                if value is not None:
                    level = scope.levels.setdefault(_series(metric, cohort.cell), Level())
                    level.learn(value, self._alpha)
        past = PastWindow(
            list(leaves.dimensions), [list(cell) for cell in leaves.cells], leaves.sums.tobytes()
        )
        scope.history = [*scope.history, past][-self._qoe.history_windows :]

    # -- shapes -------------------------------------------------------------------------------------------

    def _split(self, window: MergedWindow) -> list[_Leaves]:
        """Return the leaves of each scope, the largest scopes first."""
        if not self._qoe.scope:
            return [_Leaves("", window.dimensions, window.cells, window.sums, window)]
        at = window.dimensions.index(self._qoe.scope)
        dimensions = tuple(name for name in window.dimensions if name != self._qoe.scope)
        rows: dict[str, list[int]] = {}
        for row, cell in enumerate(window.cells):
            rows.setdefault(cell[at], []).append(row)
        viewers = {name: float(window.sums[where, _AT["viewers"]].sum()) for name, where in rows.items()}
        largest = sorted(rows, key=lambda name: (-viewers[name], name))[: self._qoe.max_scopes]
        return [
            _Leaves(
                name,
                dimensions,
                [(*window.cells[row][:at], *window.cells[row][at + 1 :]) for row in rows[name]],
                window.sums[rows[name]],
                window,
            )
            for name in largest
        ]

    def _cohorts(self, leaves: _Leaves) -> list[_Cohort]:
        """Return everyone, and every cohort of the watched combinations; a missing dimension makes none."""
        cohorts = [_Cohort({}, leaves.sums.sum(axis=0))]
        for names in self._qoe.cohorts:
            if not set(names) <= set(leaves.dimensions):
                continue
            places = [leaves.dimensions.index(name) for name in names]
            codes: dict[tuple[str, ...], int] = {}
            group = [codes.setdefault(tuple(cell[at] for at in places), len(codes)) for cell in leaves.cells]
            sums = np.zeros((len(codes), len(MEASURES)))
            np.add.at(sums, group, leaves.sums)
            cohorts += [
                _Cohort(dict(zip(names, values, strict=True)), sums[code])
                for values, code in codes.items()
                if all(values)
            ]
        return cohorts

    def _forget(self) -> None:
        """Keep the scopes seen last, so that titles that come and go do not pile up."""
        excess = len(self._scopes) - 2 * self._qoe.max_scopes
        if excess > 0:
            for name in sorted(self._scopes, key=lambda name: (self._scopes[name].seen_ms, name))[:excess]:
                del self._scopes[name]


def _described(leaves: _Leaves, cohort: _Cohort) -> CohortWindow:
    window = leaves.window
    cell = {"title": leaves.name, **cohort.cell} if leaves.name else cohort.cell
    key = _short(cell_key(cell))
    return CohortWindow(
        id=derive_id("cohort", key, window.start_ms),
        time_ms=window.start_ms,
        cohort=key,
        cell=cell,
        window_start_ms=window.start_ms,
        window_ms=window.window_ms,
        measures=Measures(**{name: float(cohort.sums[column]) for column, name in enumerate(MEASURES)}),
        rebuffering_ratio=_value(cohort.sums, "rebuffering_ratio"),
        stalled_ratio=_value(cohort.sums, "stalled_ratio"),
        start_failure_ratio=_value(cohort.sums, "start_failure_ratio"),
        startup_mean_ms=_value(cohort.sums, "startup_mean_ms"),
        bitrate_mean_kbps=_value(cohort.sums, "bitrate_mean_kbps"),
    )


def _value(sums: NDArray[np.float64], metric: str) -> float | None:
    over, under = PROPORTIONS[metric] if metric in PROPORTIONS else LEVELS[metric][:2]
    value = ratio(sums, over, under)
    return min(value, 1.0) if value is not None and metric in PROPORTIONS else value


def _counts(sums: NDArray[np.float64], metric: str) -> tuple[float, float]:
    """Return bad and all units of a proportion, in viewers where they are times."""
    over, under = PROPORTIONS[metric]
    unit = _MS_PER_VIEWER if over == "stall_ms" else 1.0
    bad = float(sums[_AT[over]]) / unit
    total = float(sum(sums[_AT[name]] for name in under)) / unit
    return min(bad, total), total


def _cells(
    dimensions: tuple[str, ...],
    cells: Sequence[Sequence[str]],
    sums: NDArray[np.float64],
    metric: str,
) -> Cells:
    counts = [_counts(row, metric) for row in sums]
    return Cells.of(dimensions, cells, [bad for bad, _ in counts], [total for _, total in counts])


def _series(metric: str, cell: Cell) -> str:
    return f"{metric}@{cell_key(cell)}"


def _subject(scope: str, cell: Cell) -> str:
    return _short(f"{scope}: {cell_key(cell)}" if scope else cell_key(cell))


def _short(text: str, limit: int = 200) -> str:
    """Names have a limit: what exceeds it is cut and told apart by a hash."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - 13]}~{blake2b(text.encode(), digest_size=6).hexdigest()}"


def _overlap(one: Cell, other: Cell) -> bool:
    """Whether one cell lies inside the other: the trouble is then the same."""
    return one.items() <= other.items() or other.items() <= one.items()


def _told(cause: FoundCause) -> Cause:
    return Cause(
        cell=cause.cell,
        score=cause.score,
        excess_viewers=max(cause.excess_viewers, 0.0),
        explained=min(max(cause.explained, 0.0), 1.0),
        contrast=cause.contrast,
    )


def _sentence(finding: _Finding) -> str:
    departure = finding.departure
    return (
        f"{departure.metric} of {cell_key(finding.cohort.cell)} is {departure.value:.4g},"
        f" expected {departure.baseline:.4g}"
    )
