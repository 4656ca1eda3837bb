"""Judges the shape of the audience: viewers who vanish or surge, whatever the players say of quality.

Players that die say nothing, so their absence is what tells: an audience (those of one title, ISP, region,
device or release, nothing that steering changes) is expected to be as large as of late, less those who said
goodbye; or to have changed as the rest has meanwhile, whichever is nearer to what came. So an evening that
ends, a match that is over and viewers who leave one by one are no anomaly, nor is one who stays while others
vanish; players that fall silent all at once are. The audience as a whole has no rest; it is held against the
same time of the week before, where that is known.

The logarithm of what came over what was expected is tested by Student's t; its spread is what the audience
has been seen to wander by, and that of a count. Many audiences share viewers: the one with the largest part
gone is told first, and another only if more of it is missing than those told can account for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from scipy.special import stdtr

from config import Settings
from models import levers, words
from models.budget.spending import WEEK_MS, PageBudget
from models.cohort_windows import OTHER
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.cohorts import MEASURES
from topics.fields import Cell, cell_key, derive_id

DETECTOR = "audience"
METRIC = "viewers"
_VIEWERS = MEASURES.index("viewers")
_GOODBYES = [
    MEASURES.index(name) for name in ("ended_plays", "exits_before_start", "start_failures", "refusals")
]


class AudienceEpisode(msgspec.Struct):
    """An audience that is much smaller or larger than expected."""

    vanished: bool
    severity: Severity
    started_ms: int
    told_impact: float
    paged: bool
    windows: int = 1


class Audience(msgspec.Struct):
    """How large an audience is, of late."""

    cell: Cell
    level: float
    rest: float
    """All the others, as large as they were when `level` was learned."""
    due: float = 0.0
    """Those who said goodbye beyond what is usual: they will not come again."""
    rest_due: float = 0.0
    leaving: float = 0.0
    """Goodbyes a window, of late; they are made up for by those who come."""
    wander: float = 0.0
    """Mean square of the logarithm of what came over what was expected."""
    windows: int = 0
    seen_ms: int = 0
    episode: AudienceEpisode | None = None


class Slot(msgspec.Struct):
    """How large the whole audience is at one time of the week."""

    mean: float = 0.0
    weeks: int = 0
    week: int = -1
    total: float = 0.0
    """Of `count` windows of `week`."""
    count: int = 0

    def before(self, week: int) -> tuple[float, int]:
        """Return the mean of the weeks before `week`, half of it the newest, and how many they are."""
        if not self.count or self.week == week:
            return self.mean, self.weeks
        return self.mean + (self.total / self.count - self.mean) / min(self.weeks + 1, 2), self.weeks + 1


class _State(msgspec.Struct, array_like=True):
    audiences: dict[str, Audience]
    slots: dict[int, Slot]
    budget: bytes


_STATES = msgspec.msgpack.Decoder(_State)


@dataclass(frozen=True, slots=True)
class _Size:
    """An audience in a window, beside what was expected of it."""

    audience: Audience
    viewers: float
    goodbyes: float
    expected: float
    fate: float
    """What became of the rest, as a factor."""
    sigmas: float
    """Below 0 where viewers are missing."""
    log_p: float

    @property
    def missing(self) -> float:
        return self.expected - self.viewers

    @property
    def change(self) -> float:
        """As a share of what was expected; below 0 where viewers are missing."""
        return -self.missing / self.expected if self.expected > 0 else 0.0


class AudienceJudge:
    """Judges the sizes of audiences, window by window.

    Args:
        settings: which audiences, from when on they are judged, and the budget of false pages.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.audience
        self._policy = settings.policy
        self._growth = settings.qoe.impact_growth
        self._weight = settings.qoe.slide_ms / settings.qoe.window_ms
        self._slide_ms = settings.qoe.slide_ms
        self._alpha = 1 - 0.5 ** (self._weight / settings.audience.half_life_windows)
        self._audiences: dict[str, Audience] = {}
        self._slots: dict[int, Slot] = {}
        self.budget = PageBudget(
            settings.budget.false_pages_per_week * settings.budget.shares.absence,
            memory_ms=round(settings.budget.pace_memory_s * 1000),
            period_ms=round(settings.budget.pace_period_s * 1000),
        )

    def judge(self, window: MergedWindow) -> list[Anomaly]:
        """Return what is to be said of the audiences of `window`."""
        sizes = list(self._sizes(window))
        judged = [size for size in sizes if self._is_judged(size)]
        level = self.budget.level
        if judged:
            self.budget.expect(len(judged), self._slide_ms)
            end_ms = window.start_ms + window.window_ms
            level = math.exp(float(self.budget.spend(np.full(len(judged), end_ms))[-1]))
        calm = [size for size in sizes if size.audience.episode is None]
        said = [each for size in sizes for each in self._follow(size, window, level)]
        said += self._start(judged, window, level)
        all_excess = max(sizes[0].goodbyes - sizes[0].audience.leaving, 0.0)
        for size in calm:
            if size.audience.episode is None:
                self._learn(size, sizes[0].viewers - size.viewers, all_excess)
        self._learn_slot(window, sizes[0].viewers)
        self._forget()
        return said

    def snapshot(self) -> bytes:
        """Return all that is known."""
        return msgspec.msgpack.encode(_State(self._audiences, self._slots, self.budget.snapshot()))

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told. Raises SnapshotError where the budget has changed since."""
        state = _STATES.decode(data)
        self._audiences, self._slots = state.audiences, state.slots
        self.budget.restore(state.budget)

    # -- sizes --------------------------------------------------------------------------------------------

    def _sizes(self, window: MergedWindow) -> Iterator[_Size]:
        """Yield everyone, and each audience there is or was."""
        viewers = window.sums[:, _VIEWERS]
        goodbyes = window.sums[:, _GOODBYES].sum(axis=1)
        everyone, all_goodbyes = float(viewers.sum()), float(goodbyes.sum())
        counts: dict[str, tuple[Cell, float, float]] = {"": ({}, everyone, all_goodbyes)}
        for names in self._settings.cohorts:
            if not set(names) <= set(window.dimensions):
                continue
            places = [window.dimensions.index(name) for name in names]
            codes: dict[tuple[str, ...], int] = {}
            group = [codes.setdefault(tuple(cell[at] for at in places), len(codes)) for cell in window.cells]
            came, left = (np.bincount(group, each, len(codes)).tolist() for each in (viewers, goodbyes))
            for values, code in codes.items():
                if all(values) and OTHER not in values:
                    cell = dict(zip(names, values, strict=True))
                    counts[cell_key(cell)] = (cell, came[code], left[code])
        for key, (cell, came_now, left_now) in counts.items():
            if key not in self._audiences:
                fresh = Audience(cell, came_now, everyone - came_now, leaving=left_now)
                self._audiences[key] = fresh
            audience = self._audiences[key]
            audience.seen_ms = window.start_ms
            yield self._size(audience, came_now, left_now, everyone, window)
        for key, audience in self._audiences.items():
            if key not in counts:
                yield self._size(audience, 0.0, 0.0, everyone, window)

    def _size(
        self, audience: Audience, viewers: float, goodbyes: float, everyone: float, window: MergedWindow
    ) -> _Size:
        own = max(audience.level - audience.due, 0.0)
        rest_before, rest = max(audience.rest - audience.rest_due, 0.0), everyone - viewers
        spread = max(audience.wander, self._settings.least_wander**2)
        fate, usual = 1.0, [own]
        if not audience.cell:
            usual += self._of_last_weeks(window)
        elif min(rest_before, rest) >= self._settings.min_viewers:
            fate = rest / rest_before
            usual.append(own * fate)
            spread += 1 / rest_before
        expected = min(usual, key=lambda each: abs(math.log((viewers + 0.5) / (each + 0.5))))
        off = math.log((viewers + 0.5) / (expected + 0.5))
        sigmas = off / math.sqrt(spread + 1 / (expected + 0.5))
        degrees = max(min(audience.windows, 2 / self._alpha - 1) - 1, 1.0)
        tail = float(stdtr(degrees, -abs(sigmas)))
        return _Size(
            audience, viewers, goodbyes, expected, fate, sigmas, math.log(tail) if tail > 0 else -690.0
        )

    def _of_last_weeks(self, window: MergedWindow) -> list[float]:
        """Return how large everyone was at this time of the weeks before, where that is known."""
        slot = self._slots.get(self._slot(window))
        if slot is None:
            return []
        mean, weeks = slot.before(window.start_ms // WEEK_MS)
        return [mean] if weeks >= self._settings.profile_weeks else []

    def _is_judged(self, size: _Size) -> bool:
        enough = size.audience.windows >= self._settings.warmup_windows
        return enough and size.audience.episode is None and size.expected >= self._settings.min_viewers

    # -- episodes -----------------------------------------------------------------------------------------

    def _severity(self, size: _Size) -> Severity | None:
        if abs(size.sigmas) < self._settings.sigmas:
            return None
        if -size.change >= self._settings.drop_critical:
            return Severity.CRITICAL
        if -size.change >= self._settings.drop:
            return Severity.HIGH
        return Severity.MEDIUM if size.change >= self._settings.surge else None

    def _start(self, judged: list[_Size], window: MergedWindow, level: float) -> list[Anomaly]:
        said = []
        found = [(size, severity) for size in judged if (severity := self._severity(size)) is not None]
        # Everyone last: where all are gone, no audience is told, for each has changed as the rest has.
        found.sort(key=lambda each: (not each[0].audience.cell, -abs(each[0].change), -each[0].expected))
        for size, severity in found:
            if not self._is_more_than_told(size):
                continue
            size.audience.episode = AudienceEpisode(
                vanished=size.missing > 0,
                severity=severity,
                started_ms=window.start_ms,
                told_impact=abs(size.missing),
                paged=math.exp(size.log_p) <= level,
            )
            self.budget.record(episodes=1, pages=int(size.audience.episode.paged), static_pages=0)
            said.append(self._anomaly(size, size.audience.episode, Phase.START, window, level))
        return said

    def _is_more_than_told(self, size: _Size) -> bool:
        """Whether more is missing, or on top, than the viewers of other audiences that were told can be."""
        told = 0.0
        for other in self._audiences.values():
            same_way = other.episode is not None and other.episode.vanished == (size.missing > 0)
            if same_way and other.episode is not None and other.cell.keys() != size.audience.cell.keys():
                told += other.episode.told_impact
        bound = self._settings.drop if size.missing > 0 else self._settings.surge
        return abs(size.missing) - told >= bound * size.expected

    def _follow(self, size: _Size, window: MergedWindow, level: float) -> list[Anomaly]:
        episode = size.audience.episode
        if episode is None:
            return []
        episode.windows += 1
        bound = self._settings.drop if episode.vanished else self._settings.surge
        change = -size.change if episode.vanished else size.change
        lasting = episode.windows > self._settings.relearn_after_windows
        if change < bound / 2 or lasting or size.expected < self._settings.min_viewers / 2:
            size.audience.episode = None
            if lasting:  # this is how large it is now
                size.audience.level, size.audience.rest = size.viewers, self._rest_now(size)
                size.audience.due = size.audience.rest_due = 0.0
            return [self._anomaly(size, episode, Phase.END, window, level, lasting=lasting)]
        severity = max(self._severity(size) or episode.severity, episode.severity)
        grown = abs(size.missing) > self._growth * max(episode.told_impact, 1.0)
        pages_now = not episode.paged and math.exp(size.log_p) <= level
        if severity == episode.severity and not grown and not pages_now:
            return []
        self.budget.record(episodes=0, pages=int(pages_now), static_pages=0)
        episode.severity, episode.paged = severity, episode.paged or pages_now
        episode.told_impact = max(episode.told_impact, abs(size.missing))
        return [self._anomaly(size, episode, Phase.UPDATE, window, level)]

    @staticmethod
    def _rest_now(size: _Size) -> float:
        return max(size.audience.rest - size.audience.rest_due, 0.0) * size.fate

    def _anomaly(
        self,
        size: _Size,
        episode: AudienceEpisode,
        phase: Phase,
        window: MergedWindow,
        level: float,
        *,
        lasting: bool = False,
    ) -> Anomaly:
        cell = size.audience.cell
        subject = words.name(cell_key(cell))
        contrast = self._contrast(size)
        causes = [
            Cause(
                cell=cell,
                score=min(max(-size.change, 0.0), 1.0),
                excess_viewers=max(size.missing, 0.0),
                explained=1.0,
                contrast=contrast,
                owner=levers.owner(cell),
                lever=levers.in_words(cell, {}, self._policy),
            )
        ]
        over = phase is Phase.END
        return Anomaly(
            id=derive_id("audience", subject, episode.started_ms, phase, window.start_ms),
            time_ms=window.start_ms + window.window_ms,
            subject=subject,
            series=words.name(f"{subject}/{METRIC}"),
            phase=phase,
            kind=AnomalyKind.TRAFFIC_ANOMALY,
            severity=episode.severity,
            score=0.0 if over else 1 - 2 ** (-abs(size.sigmas) / self._settings.sigmas),
            confidence=0.0 if over else math.erf(abs(size.sigmas) / math.sqrt(2)),
            metric=METRIC,
            value=size.viewers,
            baseline=size.expected,
            deviation_sigmas=size.sigmas,
            detector=DETECTOR,
            window_ms=window.window_ms,
            cell=cell,
            causes=causes if episode.vanished and cell and not over else [],
            impact_viewers=0.0 if over else abs(size.missing),
            detail="it is so large now" if lasting else contrast,
            pages=episode.paged,
            p_value=None if over else math.exp(size.log_p),
            page_level=level,
            origin_ms=window.origin_ms,
        )

    def _contrast(self, size: _Size) -> str:
        """In words: what came, what was expected, and what became of the rest."""
        who = cell_key(size.audience.cell)
        told = f"{size.viewers:,.0f} viewers of {who}, expected {size.expected:,.0f}"
        if size.missing > 0:
            told += f"; {size.goodbyes:,.0f} said goodbye"
        if size.audience.cell and size.fate != 1.0:
            told += f"; the rest is at {words.percent(size.fate)} of what it was"
        return told

    # -- learning -----------------------------------------------------------------------------------------

    def _learn(self, size: _Size, rest: float, all_excess: float) -> None:
        """Take the size in as usual.

        Args:
            rest: how many others there are.
            all_excess: goodbyes beyond what is usual, of everyone.
        """
        audience = size.audience
        if audience.windows:
            off = math.log((size.viewers + 0.5) / (size.expected + 0.5))
            noise = 1 / (size.expected + 0.5)
            # Bounded, so that one leap does not blind it for the next.
            square = min(
                max(off * off - noise, 0.0), 9 * max(audience.wander, self._settings.least_wander**2)
            )
            audience.wander += self._alpha * (square - audience.wander)
        alpha = max(self._alpha, 1 / (audience.windows + 1))
        excess = max(size.goodbyes - audience.leaving, 0.0)
        level, rest_level = size.expected, self._rest_now(size)
        audience.level = level + alpha * (size.viewers - level)
        audience.rest = rest_level + alpha * (rest - rest_level)
        # Windows that overlap tell the same goodbyes again.
        audience.due = excess * self._weight
        audience.rest_due = max(all_excess - excess, 0.0) * self._weight
        audience.leaving += alpha * (size.goodbyes - audience.leaving)
        audience.windows += 1

    def _slot(self, window: MergedWindow) -> int:
        return window.start_ms % WEEK_MS * self._settings.profile_slots // WEEK_MS

    def _learn_slot(self, window: MergedWindow, viewers: float) -> None:
        slot, week = self._slots.setdefault(self._slot(window), Slot()), window.start_ms // WEEK_MS
        if slot.week != week:
            slot.mean, slot.weeks = slot.before(week)
            slot.week, slot.total, slot.count = week, 0.0, 0
        slot.total += viewers
        slot.count += 1

    def _forget(self) -> None:
        """Keep the audiences seen last, and those in trouble."""
        excess = len(self._audiences) - self._settings.max_audiences
        if excess > 0:
            calm = [key for key, each in self._audiences.items() if key and each.episode is None]
            for key in sorted(calm, key=lambda key: (self._audiences[key].seen_ms, key))[:excess]:
                del self._audiences[key]
