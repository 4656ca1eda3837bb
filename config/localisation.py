"""The section of the settings that holds the figures of root-cause localisation."""

from __future__ import annotations

from config.sections import NonNegativeFloat, PositiveFloat, PositiveInt, Section, Share


class LocalisationFigures(Section):
    """How cells are rolled up, what is expected of them, and how suspects are weighed."""

    max_dimensions: PositiveInt
    history_windows: PositiveInt
    shrinkage_viewers: PositiveFloat
    clip_sigmas: PositiveFloat
    drift: NonNegativeFloat
    least_effect: PositiveFloat
    most_effect: PositiveFloat
    finer_log_odds: float
    several_log_odds: float
    temperature: PositiveFloat
    doubtful_credit: Share
    share_weight: NonNegativeFloat
    another_cell_credit: Share
    everyone_credit: Share
    cousin_credit: Share
    least_share: Share
    least_sigmas: PositiveFloat
    least_excess_viewers: PositiveFloat
    max_causes: PositiveInt
    max_answers: PositiveInt
