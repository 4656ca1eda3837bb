"""The measures of playback QoE: what is divided by what, what is too bad, and how people say it.

Definitions follow CTA-2066; sums first, divide last: see `docs/qoe.md`. A 95th percentile is tested as the
proportion it is a percentile of: it lies beyond a bound when more than a twentieth do, and that is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.sections import QoeSettings
from models.localisation import Wording
from topics.anomalies import AnomalyKind
from topics.cohorts import MEASURES

Floats = NDArray[np.float64]
Row = Sequence[float] | Floats
"""Sums of one cell, by column."""

COLUMNS: Final = (*MEASURES, "slow_starts", "timed_starts", "behind_live", "live_viewers")
"""Sums of a cell: those that are told, and the counts behind the percentiles."""
AT: Final = {name: column for column, name in enumerate(COLUMNS)}

PERCENTILES: Final = {"startup_p95_ms": "startup_ms", "live_latency_p95_ms": "live_latency_ms"}
"""By metric, the sketch that tells it."""
PERCENTILE: Final = 0.95

PROPORTIONS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "stalled_ratio": ("stalled_viewers", ("viewers",)),
    "start_failure_ratio": ("start_failures", ("attempts",)),
    "exit_before_start_ratio": ("exits_before_start", ("attempts",)),
    "playback_failure_ratio": ("playback_failures", ("ended_plays",)),
    "rebuffering_ratio": ("stall_ms", ("stall_ms", "play_ms")),
    "startup_p95_ms": ("slow_starts", ("timed_starts",)),
    "live_latency_p95_ms": ("behind_live", ("live_viewers",)),
}
"""What is counted as bad, of what."""
LEVELS: Final[dict[str, tuple[str, tuple[str, ...], bool]]] = {
    "startup_mean_ms": ("startup_ms", ("starts",), True),
    "bitrate_mean_kbps": ("bitrate_kbps_ms", ("bitrate_ms",), False),
}
"""What is divided by what, and whether more is worse."""

WORDINGS: Final = {
    "stalled_ratio": Wording("viewers", "stall"),
    "start_failure_ratio": Wording("attempts", "fail to start"),
    "exit_before_start_ratio": Wording("attempts", "leave before the start"),
    "playback_failure_ratio": Wording("plays that ended", "failed"),
    "rebuffering_ratio": Wording("minutes", "are spent stalled"),
    "startup_p95_ms": Wording("starts", "are slow"),
    "live_latency_p95_ms": Wording("viewers", "fall behind live"),
}
KINDS: Final = {
    "start_failure_ratio": AnomalyKind.ERROR_RATE_INCREASE,
    "playback_failure_ratio": AnomalyKind.ERROR_RATE_INCREASE,
    "startup_p95_ms": AnomalyKind.LATENCY_SPIKE,
    "startup_mean_ms": AnomalyKind.LATENCY_SPIKE,
    "live_latency_p95_ms": AnomalyKind.LATENCY_SPIKE,
}
"""What is of another kind than a drop of streaming quality."""


@dataclass(frozen=True, slots=True)
class Bound:
    """From where on a measure is too bad; below half of it trouble is over."""

    of_value: bool
    """Of the value itself, not of how far it is above its baseline."""
    warn: float
    critical: float


def bounds(qoe: QoeSettings) -> dict[str, Bound]:
    """Return the bound of each metric."""
    return {
        "stalled_ratio": Bound(False, qoe.stalled_ratio_rise, qoe.stalled_ratio_critical_rise),
        "rebuffering_ratio": Bound(True, qoe.rebuffering_warn, qoe.rebuffering_critical),
        "start_failure_ratio": Bound(True, qoe.start_failure_warn, qoe.start_failure_critical),
        "exit_before_start_ratio": Bound(False, qoe.exit_rise_warn, qoe.exit_rise_critical),
        "playback_failure_ratio": Bound(True, qoe.playback_failure_warn, qoe.playback_failure_critical),
        "startup_p95_ms": Bound(True, qoe.startup_warn_ms, qoe.startup_critical_ms),
        "startup_mean_ms": Bound(True, qoe.startup_warn_ms, qoe.startup_critical_ms),
        "live_latency_p95_ms": Bound(False, qoe.live_latency_rise_warn_ms, qoe.live_latency_rise_critical_ms),
        "bitrate_mean_kbps": Bound(False, qoe.bitrate_drop_warn, qoe.bitrate_drop_critical),
    }


def kind_of(metric: str) -> AnomalyKind:
    """Return what sort of trouble a departure of `metric` is."""
    return KINDS.get(metric, AnomalyKind.STREAMING_QUALITY_DROP)


def ratio(sums: Row, over: str, under: tuple[str, ...]) -> float | None:
    """Return one measure over the sum of others, or None where these are 0."""
    below = float(sum(sums[AT[name]] for name in under))
    return float(sums[AT[over]]) / below if below > 0 else None


def value_of(sums: Row, metric: str) -> float | None:
    """Return a ratio or a mean; None where there is nothing to divide by. Percentiles are not in sums."""
    over, under = PROPORTIONS[metric] if metric in PROPORTIONS else LEVELS[metric][:2]
    value = ratio(sums, over, under)
    return min(value, 1.0) if value is not None and metric in PROPORTIONS else value


def counts_of(sums: Floats, metric: str, observation_ms: float) -> tuple[Floats, Floats]:
    """Return bad and all units of a proportion, of many cells.

    Args:
        sums: shape (cells, columns).
        observation_ms: so much of one viewer's time is one observation: within it, times are far from
            independent.
    """
    over, under = PROPORTIONS[metric]
    unit = observation_ms if over == "stall_ms" else 1.0
    total: Floats = sums[:, [AT[name] for name in under]].sum(axis=1) / unit
    return np.minimum(sums[:, AT[over]] / unit, total), total


def counts_in(sums: Row, metric: str, observation_ms: float) -> tuple[float, float]:
    """Return the same of one cell."""
    over, under = PROPORTIONS[metric]
    unit = observation_ms if over == "stall_ms" else 1.0
    total = float(sum(sums[AT[name]] for name in under)) / unit
    return min(float(sums[AT[over]]) / unit, total), total


def viewers_hurt(sums: Row, metric: str, value: float, baseline: float, excess: float) -> float:
    """Return how many viewers a departure reaches beyond what is usual.

    Stalled time reaches those who stalled; a lower bitrate reaches all of the cohort.

    Args:
        excess: bad units beyond expectation, which are viewers unless the units are times.
    """
    if metric == "rebuffering_ratio":
        share = max(value - baseline, 0.0) / value if value > 0 else 0.0
        return float(sums[AT["stalled_viewers"]]) * share
    if metric in LEVELS:
        return float(sums[AT["starts" if metric == "startup_mean_ms" else "viewers"]])
    return excess
