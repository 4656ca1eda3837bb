"""What is said of the budget of false pages: sums, what is left, and what does not fit."""

from __future__ import annotations

from io import StringIO

import msgspec
import pytest
from rich.console import Console

from config import load
from models.budget.spending import WEEK_MS
from playhead.budget_book import Book, book_of
from playhead.render.budget import budget_lines, budget_table
from topics.spending import Spending

BUDGET = load({}).settings.budget
NOW_MS = 1_781_980_320_000


def ledger(detector: str = "cohorts", weeks: float = 0.5, **changes: object) -> Spending:
    figures = {"share": 0.4, "page_level": 5e-6, "tests": 40_000, "spent": 0.15, "episodes": 9, "pages": 2}
    return msgspec.convert(
        {
            "detector": detector,
            "time_ms": NOW_MS,
            "since_ms": NOW_MS - round(weeks * WEEK_MS),
            "false_pages_per_week": BUDGET.false_pages_per_week,
            "static_pages": 1,
            **figures,
            **changes,
        },
        Spending,
    )


def shown(book: Book) -> str:
    written = StringIO()
    console = Console(width=200, file=written)
    console.print(budget_table(book))
    for told in budget_lines(book):
        console.print(told, soft_wrap=True)
    return written.getvalue()


def test_the_pace_follows_from_the_level() -> None:
    (account,) = book_of([ledger(page_level=0.4 / 1_000_000)], BUDGET).accounts

    assert account.tests_per_week == pytest.approx(1_000_000)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_pace_that_is_not_known_is_not_made_up(level: float) -> None:
    book = book_of([ledger(page_level=level)], BUDGET)

    assert book.accounts[0].tests_per_week is None
    assert book.tests_per_week == 0.0


@pytest.mark.parametrize(
    ("weeks", "spent", "left", "ahead"),
    [(0.5, 0.15, 0.25, False), (0.5, 0.3, 0.1, True), (0.5, 0.5, -0.1, True), (2.25, 0.88, 0.32, False)],
)
def test_what_is_left_is_of_the_weeks_that_have_begun(
    weeks: float, spent: float, left: float, ahead: bool
) -> None:
    (account,) = book_of([ledger(weeks=weeks, spent=spent)], BUDGET).accounts

    assert account.left == pytest.approx(left)
    assert account.ahead is ahead


def test_sums_are_those_of_the_accounts() -> None:
    book = book_of([ledger(), ledger("telemetry/3", share=0.05, spent=0.01, pages=1)], BUDGET)

    assert (book.share, book.spent, book.pages, book.static_pages, book.episodes, book.tests) == (
        pytest.approx(0.45),
        pytest.approx(0.16),
        3,
        2,
        18,
        80_000,
    )
    assert book.left == pytest.approx(0.25 + 0.04)
    assert not book.overdrawn


def test_partitions_come_in_the_order_of_their_numbers() -> None:
    names = ["telemetry/10", "cohorts", "telemetry/2", "audience"]

    book = book_of([ledger(name, share=0.05) for name in names], BUDGET)

    assert [each.detector for each in book.accounts] == ["audience", "cohorts", "telemetry/2", "telemetry/10"]


def test_shares_beyond_the_whole_and_budgets_of_before_are_told() -> None:
    book = book_of([ledger(), ledger("old", share=0.7, false_pages_per_week=3.0)], BUDGET)

    assert book.outdated == ["old"]
    assert book.overdrawn
    assert "the shares add up to 110 %" in shown(book)
    assert "old: told under another budget than 1 a week" in shown(book)


def test_shares_that_make_up_the_whole_are_no_more_than_it() -> None:
    book = book_of([ledger(f"telemetry/{n}", share=1.0 / 12) for n in range(12)], BUDGET)

    assert not book.overdrawn


def test_the_table_shows_every_account_and_the_sums() -> None:
    text = shown(book_of([ledger(), ledger("telemetry/3", share=0.05, page_level=0.0)], BUDGET))

    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line.strip()}
    assert rows["cohorts"] == "40 % 84 h 40,000 80,000 5e-06 0.15 0.25 9 2 1"
    assert rows["telemetry/3"] == "5 % 84 h 40,000 none yet 0.15 -0.1 9 2 1"
    assert rows["all"] == "45 % 80,000 80,000 0.3 0.15 18 4 2"
    assert "4 pages so far, 0.3 of them false at most in expectation" in text
