"""Pages that other tools' alerts spend: counted rule by rule beside what Playhead's own detectors spend.

A rule of another tool states no p-value, so nothing is known of how often it is wrong: each of its pages
counts as one that may be false. It has no part of the budget; what it spends is taken from what is left.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from config.budget import BudgetSettings
from models import words
from models.budget.spending import WEEK_MS
from models.foreign_alerts import DETECTOR
from models.recent_ids import RecentIds
from topics.anomalies import Anomaly, Phase
from topics.fields import derive_id
from topics.spending import Spending

FOREIGN = "foreign"
OTHERS = "others"
"""The rule that stands for those beyond `MOST_RULES`."""
MOST_RULES = 1_000
MOST_IDS = 10_000
RULE_CHARACTERS = 180


class Spent(msgspec.Struct):
    """What one rule has spent."""

    since_ms: int
    newest_ms: int
    episodes: int = 0
    pages: int = 0


class _State(msgspec.Struct, array_like=True):
    rules: dict[str, Spent]
    ids: list[str]


_STATES = msgspec.msgpack.Decoder(_State)


class ForeignRules:
    """Counts the alerts of each rule that come by one partition.

    Args:
        partition: of `anomalies`: each counts by itself, and whoever reads the ledgers adds them up.
        settings: the budget, as the ledgers tell it.
    """

    def __init__(self, partition: int, settings: BudgetSettings) -> None:
        self._partition = partition
        self._settings = settings
        self._rules: dict[str, Spent] = {}
        self._ids = RecentIds(MOST_IDS)

    def take(self, anomaly: Anomaly) -> Spending | None:
        """Return the ledger of the alert's rule after `anomaly`; None where nothing has changed."""
        if anomaly.detector != DETECTOR or anomaly.phase is not Phase.START or not self._ids.add(anomaly.id):
            return None
        rule = anomaly.metric[:RULE_CHARACTERS]
        if rule not in self._rules and len(self._rules) >= MOST_RULES:
            rule = OTHERS
        spent = self._rules.setdefault(rule, Spent(since_ms=anomaly.time_ms, newest_ms=anomaly.time_ms))
        spent.since_ms = min(spent.since_ms, anomaly.time_ms)
        spent.newest_ms = max(spent.newest_ms, anomaly.time_ms)
        spent.episodes += 1
        spent.pages += int(anomaly.pages)
        return Spending(
            id=derive_id("spending", FOREIGN, rule, self._partition, anomaly.id),
            time_ms=spent.newest_ms,
            detector=f"{account(rule)}/{self._partition}",
            since_ms=spent.since_ms,
            share=0.0,
            false_pages_per_week=self._settings.false_pages_per_week,
            page_level=1.0,
            tests=spent.episodes,
            spent=float(spent.pages),
            episodes=spent.episodes,
            pages=spent.pages,
            static_pages=spent.pages,
        )

    def snapshot(self) -> bytes:
        """Return all that is known."""
        return msgspec.msgpack.encode(_State(self._rules, list(self._ids)))

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told."""
        state = _STATES.decode(data)
        self._rules = state.rules
        self._ids = RecentIds(MOST_IDS, state.ids)


def account(rule: str) -> str:
    """Return what the ledgers of a rule are called, but for the partition.

    >>> account("HighErrors")
    'foreign/HighErrors'
    """
    return f"{FOREIGN}/{words.name(rule)[:RULE_CHARACTERS]}"


def account_of(detector: str) -> str:
    """Return the account that a ledger belongs to: those of a foreign rule's partitions are one.

    >>> account_of("foreign/HighErrors/3"), account_of("telemetry/3")
    ('foreign/HighErrors', 'telemetry/3')
    """
    return detector.rpartition("/")[0] if is_foreign(detector) else detector


def is_foreign(detector: str) -> bool:
    """Whether a ledger is that of another tool's rule."""
    return detector.startswith(f"{FOREIGN}/")


def may_page(rule: str, ledgers: Iterable[Spending], settings: BudgetSettings, now_ms: int) -> bool:
    """Whether an alert of `rule` pages at `now_ms`: always, unless the settings withhold what is too much.

    Args:
        ledgers: the newest of each detector.
    """
    if not settings.foreign_withheld:
        return True
    own = [each for each in ledgers if account_of(each.detector) == account(rule)]
    since_ms = min((each.since_ms for each in own), default=now_ms)
    weeks = int(max(now_ms - since_ms, 0) / WEEK_MS) + 1
    return sum(each.pages for each in own) < settings.foreign_pages_per_week * weeks
