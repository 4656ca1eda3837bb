"""The section of the settings that says which series are summed up by windows, and how they are judged."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.sections import NonNegativeFloat, PositiveFloat, PositiveInt, Section

Statistic = Literal["mean", "sum", "min", "max", "count"]
Model = Literal["forecast", "half_space_trees", "ensemble"]


class LearnedMetric(Section):
    """Metrics that deserve a model of their own: which figure of a window it judges, and which it is."""

    pattern: str
    statistic: Statistic
    model: Model


class LearnedSettings(Section):
    """Windows of chosen series, and the episodes that learned models find in them."""

    window_s: PositiveFloat
    slide_s: PositiveFloat
    lateness_s: NonNegativeFloat
    max_series: PositiveInt
    max_cells: PositiveInt
    series_per_record: Annotated[int, Field(ge=1, le=4000)]
    shards: PositiveInt
    max_judged_series: PositiveInt
    expire_after_s: PositiveFloat
    open_after_windows: tuple[PositiveInt, PositiveInt]
    clear_after_windows: PositiveInt
    page_after_windows: PositiveInt
    baseline_rate: Annotated[float, Field(gt=0, le=1)]
    metrics: tuple[LearnedMetric, ...]

    @model_validator(mode="after")
    def _slides_fit(self) -> Self:
        if round(self.window_s * 1000) % round(self.slide_s * 1000):
            raise ValueError(f"window_s {self.window_s:g} is no multiple of slide_s {self.slide_s:g}")
        return self
