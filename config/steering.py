"""The section of the settings that says how the gateway answers players who ask which CDN to use."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.sections import NonNegativeFloat, PositiveFloat, PositiveInt, Section, Share

WholeSeconds = Annotated[int, Field(ge=1, le=3_600)]


class SteeringSettings(Section):
    """How often players ask, how their state is signed, and what is kept for when Kafka is away."""

    calm_ttl_s: WholeSeconds
    calm_ttl_most_s: WholeSeconds
    suspect_ttl_s: WholeSeconds
    suspect_ttl_most_s: WholeSeconds
    ttl_jitter: Annotated[float, Field(ge=0, lt=1)]
    live_buffer_s: Annotated[float, Field(gt=1)]
    polls_per_s_at_most: PositiveFloat
    load_memory_s: PositiveFloat
    buckets: PositiveInt
    unsigned_dimensions: tuple[str, ...]
    state_keys: tuple[str, ...]
    behind_within_s: NonNegativeFloat
    shared_max_age_s: Annotated[int, Field(ge=0, le=60)]
    kept_spare_lines: PositiveInt
    kept_every_s: NonNegativeFloat
    heard_within_s: PositiveFloat
    poll_sample: Share

    @model_validator(mode="after")
    def _ttl_bounds_in_order(self) -> Self:
        if not self.suspect_ttl_s <= self.suspect_ttl_most_s <= self.calm_ttl_s <= self.calm_ttl_most_s:
            raise ValueError(
                "the TTLs must not fall in the order suspect_ttl_s, suspect_ttl_most_s, calm_ttl_s, "
                "calm_ttl_most_s"
            )
        return self
