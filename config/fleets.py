"""The section of the settings that says what is demanded of simulated fleets."""

from __future__ import annotations

from config.sections import NonNegativeInt, PositiveFloat, PositiveInt, Section, Share


class FleetSettings(Section):
    """What the brain must reach over many simulated fleets."""

    most_turns: NonNegativeInt
    most_flapping_turns: NonNegativeInt
    isp_outage_availability: Share
    failover_success: Share
    recovery_p99_s: PositiveFloat
    drawn: PositiveInt
