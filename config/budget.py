"""The section of the settings that holds the budget of false pages."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from config.sections import PositiveFloat, Section, Share


class BudgetShares(Section):
    """What part of the budget each detector has."""

    telemetry: Share
    cohorts: Share
    absence: Share
    learned: Share


class BudgetSettings(Section):
    """How many false pages people put up with, and who may make them."""

    false_pages_per_week: PositiveFloat
    shares: BudgetShares
    pace_memory_s: PositiveFloat
    pace_period_s: PositiveFloat
    foreign_withheld: bool
    foreign_pages_per_week: PositiveFloat

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        total = sum(self.shares.model_dump().values())
        if total > 1.0 + 1e-9:
            raise ValueError(f"the shares of the budget add up to {total:g}: keep them within 1")
        return self
