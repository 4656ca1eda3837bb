"""The budget of false pages as a table: who may spend what, and what is left."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from playhead.budget_book import Account, Book
from playhead.render.words import clean, duration, figure, share

_HEADINGS = (
    "detector",
    "share",
    "for",
    "tests",
    "a week",
    "pages below p",
    "spent",
    "left",
    "episodes",
    "pages",
    "static",
)


def budget_table(book: Book) -> Table:
    """Return the accounts as a table, with their sums below."""
    table = Table(box=None, header_style="bold", show_footer=True, footer_style="bold")
    sums: tuple[str | Text, ...] = (
        "all",
        share(book.share),
        "",
        f"{book.tests:,}",
        figure(round(book.tests_per_week)),
        "",
        _small(book.spent),
        _left(book.left, ahead=any(each.ahead for each in book.accounts)),
        f"{book.episodes:,}",
        _pages(book.pages),
        _pages(book.static_pages),
    )
    for heading, footer in zip(_HEADINGS, sums, strict=True):
        table.add_column(
            heading, footer, justify="left" if heading == "detector" else "right", overflow="fold"
        )
    for each in book.accounts:
        table.add_row(
            Text(clean(each.detector), "bold"),
            Text(share(each.share), "dim"),
            Text(duration(each.time_ms - each.since_ms) if each.weeks else "", "dim"),
            f"{each.tests:,}",
            "" if each.tests_per_week is None else figure(round(each.tests_per_week)),
            _level(each),
            _small(each.spent),
            _left(each.left, ahead=each.ahead),
            f"{each.episodes:,}",
            _pages(each.pages),
            _pages(each.static_pages),
        )
    return table


def budget_lines(book: Book) -> Iterator[Text]:
    """Yield what the sums mean, and what does not fit."""
    yield Text.assemble(
        (f"{book.pages:,} pages", "bold"),
        f" so far, {_small(book.spent)} of them false at most in expectation. Those that test hold "
        f"{figure(book.pages_per_week)} of {figure(book.false_pages_per_week)} false pages a week; "
        f"{_small(book.left)} of this week's are left.",
    )
    if book.outdated:
        yield Text(
            f"{clean(', '.join(book.outdated))}: told under another budget than "
            f"{figure(book.false_pages_per_week)} a week, which is set now: start the workers again",
            "yellow",
        )
    if book.overdrawn:
        yield Text(
            f"the shares add up to {share(book.share)}: some are of detectors that run no longer, or of "
            "settings that have changed",
            "yellow",
        )


def _level(account: Account) -> Text:
    return Text(f"{account.page_level:.2g}", "cyan") if account.page_level else Text("none yet", "dim")


def _left(value: float, *, ahead: bool) -> Text:
    """Return what is left: red where it is overspent, yellow where it goes faster than time."""
    return Text(_small(value), "bold red" if value < 0.0 else "yellow" if ahead else "green")


def _pages(count: int) -> Text:
    return Text(f"{count:,}", "bold red" if count else "dim")


def _small(value: float) -> str:
    return f"{value:.3g}"
