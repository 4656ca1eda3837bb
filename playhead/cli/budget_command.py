"""`playhead budget`: what detectors have spent of the false pages that people put up with."""

from __future__ import annotations

import os

import typer

from config import load
from playhead.brokers import client_config
from playhead.budget_book import book_of
from playhead.cli.output import AsJson, notes, people, print_json, tells_errors
from playhead.cli.produce_command import Prefix
from playhead.newest import newest
from playhead.render.budget import budget_lines, budget_table
from topics import SPENDING


def register(app: typer.Typer) -> None:
    """Add `budget` to the command line."""
    app.command("budget")(budget)


@tells_errors
def budget(prefix: Prefix = None, as_json: AsJson = False) -> None:
    """Show what each detector has spent of the budget of false pages, what is left, and who has paged.

    Learned and static rules spend alike. A page is below the p-value that the budget allows at the pace of
    late; what is spent is how many false pages all tests so far make at most, in expectation.

    Example: [bold]playhead budget[/]
    """
    settings = load(os.environ).settings
    run = settings.prefix if prefix is None else prefix
    book = book_of(newest(client_config(settings), run, SPENDING).values(), settings.budget)
    if as_json:
        print_json(book)
        return
    if not book.accounts:
        notes.print(
            f"nothing has been spent yet of {book.false_pages_per_week:g} false pages a week: detectors tell "
            f"it every {settings.budget.pace_period_s:g} s of what they judge. Does a worker run? "
            "[bold]playhead status[/] tells",
            highlight=False,
        )
        return
    people.print(budget_table(book))
    for told in budget_lines(book):
        people.print(told, highlight=False, soft_wrap=True)
