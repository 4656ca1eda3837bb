"""What is told of each cohort of a window."""

from __future__ import annotations

from models import words
from models.qoe_cells import UNKNOWN, Cohort, Leaves
from models.qoe_measures import AT, value_of
from topics.cohorts import MEASURES, CohortWindow, Measures
from topics.fields import Cell, cell_key, derive_id


def described(leaves: Leaves, cohort: Cohort, everyone: Cohort, scope: str) -> CohortWindow:
    """Return what is told of a cohort: sums, ratios, percentiles and its share of the scope's viewers."""
    window, sums = leaves.window, cohort.sums
    cell: Cell = {scope: leaves.name, **cohort.cell} if leaves.name else cohort.cell
    key = words.name(cell_key(cell))
    startup, latency = (
        cohort.percentiles.get("startup_ms", UNKNOWN),
        cohort.percentiles.get("live_latency_ms", UNKNOWN),
    )
    viewers, of_all = float(sums[AT["viewers"]]), float(everyone.sums[AT["viewers"]])
    return CohortWindow(
        id=derive_id("cohort", key, window.start_ms),
        time_ms=window.start_ms,
        cohort=key,
        cell=cell,
        window_start_ms=window.start_ms,
        window_ms=window.window_ms,
        measures=Measures(**{name: float(sums[AT[name]]) for name in MEASURES}),
        rebuffering_ratio=value_of(sums, "rebuffering_ratio"),
        stalled_ratio=value_of(sums, "stalled_ratio"),
        start_failure_ratio=value_of(sums, "start_failure_ratio"),
        exit_before_start_ratio=value_of(sums, "exit_before_start_ratio"),
        playback_failure_ratio=value_of(sums, "playback_failure_ratio"),
        startup_mean_ms=value_of(sums, "startup_mean_ms"),
        startup_p50_ms=startup.p50,
        startup_p95_ms=startup.p95,
        bitrate_mean_kbps=value_of(sums, "bitrate_mean_kbps"),
        live_latency_p50_ms=latency.p50,
        live_latency_p95_ms=latency.p95,
        share=min(viewers / of_all, 1.0) if of_all > 0 else None,
    )
