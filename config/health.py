"""The section of the settings that says when a cache node is ill."""

from __future__ import annotations

from config.sections import PositiveFloat, Section, Share


class HealthSettings(Section):
    """Bounds of a node's own figures."""

    error_rate: Share
    latency_p99_ms: PositiveFloat
    cache_hit_ratio: Share
    sick_error_rate: Share
