"""What a detector has spent of the budget of false pages, told once in a period of event time."""

from __future__ import annotations

from collections.abc import Iterator

from config.budget import BudgetSettings
from models.budget.spending import PageBudget
from topics import SPENDING
from topics.emission import Emission
from topics.fields import derive_id
from topics.spending import Spending


class Ledger:
    """Tells of one budget whenever a period has passed.

    Args:
        detector: who spends.
        share: of the whole budget.
    """

    def __init__(self, detector: str, budget: PageBudget, share: float, settings: BudgetSettings) -> None:
        self._detector = detector
        self._budget = budget
        self._share = share
        self._false_pages_per_week = settings.false_pages_per_week

    def told(self, before_ms: int) -> Iterator[Emission]:
        """Yield the ledger where a period has begun since the budget's time was `before_ms`."""
        budget = self._budget
        if not 0 < before_ms // budget.period_ms < budget.newest_ms // budget.period_ms:
            return
        yield Emission(
            SPENDING,
            Spending(
                id=derive_id("spending", self._detector, budget.newest_ms),
                time_ms=budget.newest_ms,
                detector=self._detector,
                since_ms=budget.since_ms,
                share=self._share,
                false_pages_per_week=self._false_pages_per_week,
                page_level=budget.level,
                tests=budget.tests,
                spent=budget.spent,
                episodes=budget.episodes,
                pages=budget.pages,
                static_pages=budget.static_pages,
            ),
        )
