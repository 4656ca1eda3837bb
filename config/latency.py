"""The section of the settings that says what is known of the latencies that no other setting tells."""

from __future__ import annotations

from config.sections import NonNegativeFloat, PositiveFloat, Section


class LatencySettings(Section):
    """The target, and what players and machines add."""

    target_p95_s: PositiveFloat
    beat_s: NonNegativeFloat
    segment_s: NonNegativeFloat
    gateway_p50_s: NonNegativeFloat
    gateway_p99_s: NonNegativeFloat
    hop_p50_s: NonNegativeFloat
    hop_p99_s: NonNegativeFloat
    poll_p50_s: NonNegativeFloat
    poll_p99_s: NonNegativeFloat
    least_window_s: PositiveFloat
    least_ttl_s: PositiveFloat
    least_beat_s: PositiveFloat
    measured_for_s: PositiveFloat
