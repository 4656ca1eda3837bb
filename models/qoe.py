"""Judges playback QoE: which windows are bad, what explains it, and when it is over.

Each *scope* (a title, or all viewers) is judged by itself. Per window: roll the leaf cells up into cohorts
worth watching, test each measure against its baseline, and where one departs find the combinations that
explain the excess. Each of those that act at once starts an episode; it is told again when it worsens, and
ends when its own cell is clean. A window in trouble teaches nothing, unless the trouble lasts so long that it
must be called normal. A cause that scopes share has one episode, of all viewers; what it explains of a scope
starts none there.

An episode needs a departure that is certain, a bound that is crossed, and viewers who are hurt by it. Whether
it may wake someone is another question: its p-value must be within the budget of false pages, which every
test spends from.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from config import Settings
from models.budget.spending import PageBudget
from models.cohort_stats import Factor
from models.localisation import Cause as FoundCause
from models.qoe_baselines import CohortTests, series_of
from models.qoe_cells import CellShapes, Leaves
from models.qoe_episodes import Episode, Teller
from models.qoe_follow import Follower
from models.qoe_measures import COLUMNS, LEVELS
from models.qoe_pool import Pool
from models.qoe_scopes import Scope, Seen, Verdicts
from models.qoe_sharing import SharedExplains, Sharing
from models.qoe_start import Starter
from models.qoe_told import described
from models.window_merge import MergedWindow
from topics.anomalies import Anomaly, Phase
from topics.cohorts import CohortWindow
from topics.fields import Cell, cell_key


class _State(msgspec.Struct, array_like=True):
    scopes: dict[str, Scope]
    budget: bytes
    shared: Scope = msgspec.field(default_factory=Scope)


_STATES = msgspec.msgpack.Decoder(_State)


class QoeJudge:
    """Judges merged windows, scope by scope.

    Args:
        settings: windows, cohorts, thresholds, the search for causes, levers, and the budget of false pages.
    """

    def __init__(self, settings: Settings) -> None:
        qoe = settings.qoe
        self._qoe = qoe
        self._shapes = CellShapes(qoe)
        self._tester = CohortTests(qoe)
        self._verdicts = Verdicts(qoe)
        self._teller = Teller(settings, self._shapes)
        self._sharing = Sharing(qoe, self._verdicts)
        self._scopes: dict[str, Scope] = {}
        self._shared = Scope()
        """What scopes share: its episodes, and what is usual of the means that they are about."""
        self.budget = PageBudget(
            settings.budget.false_pages_per_week * settings.budget.shares.cohorts,
            memory_ms=round(settings.budget.pace_memory_s * 1000),
            period_ms=round(settings.budget.pace_period_s * 1000),
        )
        parts = self._tester, self._shapes, self._teller, self._verdicts, self.budget
        self._follower = Follower(qoe, *parts)
        self._starter = Starter(settings, *parts, self._sharing)

    def judge(self, window: MergedWindow) -> tuple[list[CohortWindow], list[Anomaly]]:
        """Return the cohorts of `window` and what is to be said of them."""
        tests = len(self._shared.episodes)
        seen: list[Seen] = []
        cohort_windows: list[CohortWindow] = []
        for leaves in self._shapes.split(window, lambda name: self._behind_ms(name, window)):
            scope = self._scopes.setdefault(leaves.name, Scope())
            scope.seen_ms = window.start_ms
            cohorts = list(self._shapes.cohorts(leaves))
            factors = self._tester.factors(scope.baselines, window)
            priors = self._tester.priors(scope.baselines, cohorts[0].sums, factors)
            cohort_windows += [described(leaves, cohort, cohorts[0], self._qoe.scope) for cohort in cohorts]
            departures = [
                (cohort, departure)
                for cohort in cohorts
                for departure in self._tester.departures(scope.baselines, cohort, priors, factors)
            ]
            tests += len(departures) + len(scope.episodes)
            findings = self._verdicts.worst_first(departures)
            seen.append(Seen(scope, leaves, cohorts, priors, factors, findings))
        level = self._level(window, tests)
        pool = Pool(self._qoe, self._tester, self._shapes, seen, window)
        anomalies = self._follow(seen, pool, level)
        anomalies += self._starter.start(self._shared, seen, pool, level)
        for each in seen:
            self._learn(each)
        anomalies += self._end_absent(window)
        self._forget()
        return cohort_windows, anomalies

    def snapshot(self) -> bytes:
        """Return all that is known."""
        return msgspec.msgpack.encode(_State(self._scopes, self.budget.snapshot(), self._shared))

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told. Raises SnapshotError where the budget has changed since."""
        state = _STATES.decode(data)
        self._scopes = state.scopes
        self._shared = state.shared
        self.budget.restore(state.budget)

    def _level(self, window: MergedWindow, tests: int) -> float:
        """Spend on so many tests, and return the p-value from which an episode pages."""
        if not tests:
            return self.budget.level
        # The pace of tests is known before the first: a window ends every so often.
        self.budget.expect(tests, self._qoe.slide_ms)
        end_ms = window.start_ms + window.window_ms
        return float(np.exp(self.budget.spend(np.full(tests, end_ms))[-1]))

    def _learn(self, seen: Seen) -> None:
        """Take a window in as usual, where nothing is wrong with it or that has lasted for long."""
        scope, leaves = seen.scope, seen.leaves
        shared = [each for each in self._shared.episodes if leaves.inside(each.cell).any()]
        episodes = [*scope.episodes, *shared]
        # An episode that ended within this window began in trouble: only a window without any is learned.
        lasting = any(each.windows > self._qoe.relearn_after_windows for each in episodes)
        if lasting or not (seen.findings or episodes):
            self._tester.learn(scope.baselines, leaves, seen.cohorts, seen.factors)
            after = self._tester.factors(scope.baselines, leaves.window)
            for each in scope.episodes:
                each.factor *= after.share(each.metric).times / seen.factors.share(each.metric).times

    # -- episodes that are on -----------------------------------------------------------------------------

    def _follow(self, seen: Sequence[Seen], pool: Pool, level: float) -> list[Anomaly]:
        """Return what is to be said of the episodes that are on: worse, or over."""
        explains = SharedExplains(self._sharing, pool, self._starter.causes)
        said = []
        if self._shared.episodes:
            said += self._follower.follow(self._shared, pool.leaves, explains, level)
            kept = {series_of(each.metric, cell_key(each.cell)) for each in self._shared.episodes}
            levels = self._shared.baselines.levels
            self._shared.baselines.levels = {name: levels[name] for name in levels if name in kept}
        beside = [each.cell for each in self._shared.episodes]
        for each in seen:
            own = _Explains(self._starter, each)
            said += self._follower.follow(each.scope, each.leaves, own, level, beside)
        return said

    # -- scopes that are gone ----------------------------------------------------------------------------

    def _end_absent(self, window: MergedWindow) -> list[Anomaly]:
        """End the episodes of scopes that no one watches any more."""
        said = []
        for name, scope in self._scopes.items():
            if scope.seen_ms == window.start_ms or not scope.episodes:
                continue
            leaves = Leaves(name, (), [], np.zeros((0, len(COLUMNS))), {}, window)
            for episode in scope.episodes:
                said.append(self._teller.anomaly(episode, leaves, Phase.END, detail="no viewers are left"))
            scope.episodes = []
        return said

    def _behind_ms(self, name: str, window: MergedWindow) -> float | None:
        scope = self._scopes.get(name)
        return None if scope is None else self._tester.behind_ms(scope.baselines, window)

    def _forget(self) -> None:
        """Keep the scopes seen last, so that titles that come and go do not pile up."""
        excess = len(self._scopes) - 2 * self._qoe.max_scopes
        if excess > 0:
            for name in sorted(self._scopes, key=lambda name: (self._scopes[name].seen_ms, name))[:excess]:
                del self._scopes[name]


class _Explains:
    """Explains the episodes of one scope."""

    def __init__(self, starter: Starter, seen: Seen) -> None:
        self._starter = starter
        self._seen = seen

    def at_last(self, episode: Episode) -> list[FoundCause]:
        """Return what explains the departure now."""
        return self._starter.causes(self._seen, episode.metric)

    def again(self, episode: Episode) -> list[FoundCause]:
        """Return nothing: the causes told first are those that stand."""
        del episode
        return []

    def factor(self, metric: str, cell: Cell) -> Factor:
        """Return what the hour does to the scope."""
        del cell
        factors = self._seen.factors
        return factors.level(metric) if metric in LEVELS else factors.share(metric)
