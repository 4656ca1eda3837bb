"""What is spent of the budget of false pages: by detector, and all of them together."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from config.budget import BudgetSettings
from models.budget.foreign import account_of
from models.budget.spending import WEEK_MS
from topics.spending import Spending

ROUNDING = 1e-6
"""Shares that are parts of a share may miss their sum by so much."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector has spent. Weeks are counted from when it began; false pages are expected ones."""

    detector: str
    since_ms: int
    time_ms: int
    """When it last told."""
    weeks: float
    share: float
    pages_per_week: float
    """Its part of the budget, in false pages a week."""
    page_level: float
    """The p-value below which it pages; 0 where it does not page yet."""
    tests: int
    tests_per_week: float | None
    """At the pace of late; None where that is not known."""
    spent: float
    """False pages that its tests make at most, since it began."""
    left: float
    """Of its part for the weeks begun; below 0 where more was spent."""
    ahead: bool
    """Whether more was spent than the time that has passed allows."""
    episodes: int
    pages: int
    """Right and wrong alike."""
    static_pages: int


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts, and their sums."""

    false_pages_per_week: float
    """As it is set now."""
    share: float
    pages_per_week: float
    """What those that test may spend, in false pages a week."""
    tests: int
    tests_per_week: float
    spent: float
    left: float
    episodes: int
    pages: int
    static_pages: int
    outdated: list[str]
    """Detectors whose budget is not the one that is set."""
    accounts: list[Account]
    """By detector."""

    @property
    def overdrawn(self) -> bool:
        """Whether the shares are more than the whole."""
        return self.share > 1.0 + ROUNDING


def book_of(ledgers: Iterable[Spending], settings: BudgetSettings) -> Book:
    """Return what the newest ledger of each detector says.

    Example:
        >>> from config import load
        >>> ledger = Spending(time_ms=302_400_000, detector="cohorts", since_ms=0, share=0.4, tests=40_000,
        ...                   false_pages_per_week=1.0, page_level=5e-6, spent=0.15, episodes=9, pages=2,
        ...                   static_pages=0)
        >>> account = book_of([ledger], load({}).settings.budget).accounts[0]
        >>> account.weeks, round(account.tests_per_week), account.left, account.ahead
        (0.5, 80000, 0.25, False)
    """
    ledgers = sorted(_merged(ledgers), key=_place)
    accounts = [_account(ledger) for ledger in ledgers]
    whole = settings.false_pages_per_week
    return Book(
        false_pages_per_week=whole,
        share=sum(each.share for each in accounts),
        pages_per_week=sum(each.pages_per_week for each in accounts),
        tests=sum(each.tests for each in accounts),
        tests_per_week=sum(each.tests_per_week or 0.0 for each in accounts),
        spent=sum(each.spent for each in accounts),
        left=sum(each.left for each in accounts),
        episodes=sum(each.episodes for each in accounts),
        pages=sum(each.pages for each in accounts),
        static_pages=sum(each.static_pages for each in accounts),
        outdated=[each.detector for each in ledgers if each.false_pages_per_week != whole],
        accounts=accounts,
    )


def _merged(ledgers: Iterable[Spending]) -> list[Spending]:
    """Return the ledgers with those of one foreign rule put together: its alerts come by many partitions."""
    merged: dict[str, Spending] = {}
    for ledger in ledgers:
        name = account_of(ledger.detector)
        known = merged.get(name)
        if known is None:
            merged[name] = msgspec.structs.replace(ledger, detector=name)
            continue
        merged[name] = msgspec.structs.replace(
            known,
            time_ms=max(known.time_ms, ledger.time_ms),
            since_ms=min(known.since_ms, ledger.since_ms),
            **{
                each: getattr(known, each) + getattr(ledger, each)
                for each in ("tests", "spent", "episodes", "pages", "static_pages")
            },
        )
    return list(merged.values())


def _account(ledger: Spending) -> Account:
    allowed = ledger.share * ledger.false_pages_per_week
    weeks = max(ledger.time_ms - ledger.since_ms, 0) / WEEK_MS
    # The level is the part of the budget over the pace; at 1 it is cut, and the pace may be anything below.
    paced = 0.0 < ledger.page_level < 1.0
    return Account(
        detector=ledger.detector,
        since_ms=ledger.since_ms,
        time_ms=ledger.time_ms,
        weeks=weeks,
        share=ledger.share,
        pages_per_week=allowed,
        page_level=ledger.page_level,
        tests=ledger.tests,
        tests_per_week=allowed / ledger.page_level if paced else None,
        spent=ledger.spent,
        left=allowed * (int(weeks) + 1) - ledger.spent,
        ahead=ledger.spent > allowed * weeks * (1.0 + ROUNDING),
        episodes=ledger.episodes,
        pages=ledger.pages,
        static_pages=ledger.static_pages,
    )


def _place(ledger: Spending) -> tuple[str, int, str]:
    """Partitions of an agent come in the order of their numbers."""
    name, _, number = ledger.detector.partition("/")
    return name, int(number) if number.isdecimal() else -1, ledger.detector
