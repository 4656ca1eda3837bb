"""`cohorts` and `cohorts.parts`: playback QoE per event-time window and cohort.

Ratios follow `docs/qoe.md`: numerators and denominators are summed over sessions first and divided last;
ratios are never averaged.
"""

from __future__ import annotations

import msgspec

from topics.fields import Cell, Count, DurationMs, EpochMs, Name, NonNegative, Ratio, Record, cell_key
from topics.spec import MAX_RECORD_BYTES, TopicSpec


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the sessions of a cohort in a window; viewers are weighted where players are sampled."""

    viewers: NonNegative = 0.0
    stalled_viewers: NonNegative = 0.0
    play_ms: NonNegative = 0.0
    stall_ms: NonNegative = 0.0
    stalls: NonNegative = 0.0
    attempts: NonNegative = 0.0
    starts: NonNegative = 0.0
    startup_ms: NonNegative = 0.0
    start_failures: NonNegative = 0.0
    """Fatal errors before the first frame, but for those that are no fault: see `refusals`."""
    exits_before_start: NonNegative = 0.0
    """Left before the first frame without an error, after a wait that a viewer notices."""
    playback_failures: NonNegative = 0.0
    bitrate_kbps_ms: NonNegative = 0.0
    """Bitrate weighted by the time it was played, so that dividing by `bitrate_ms` gives the mean."""
    bitrate_ms: NonNegative = 0.0
    ended_plays: NonNegative = 0.0
    """Sessions that had started and are over: completed, left or failed."""
    refusals: NonNegative = 0.0
    """Start failures for business reasons, such as a missing right or subscription."""


MEASURES: tuple[str, ...] = Measures.__struct_fields__


DURATIONS: tuple[str, ...] = ("startup_ms", "live_latency_ms")
"""What quantiles are told of."""


class Sketch(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of durations by leaf cell and bucket, for those that are not 0; see `models.log_buckets`."""

    cell: list[Count]
    bucket: list[Count]
    count: list[NonNegative]

    def __post_init__(self) -> None:
        if not len(self.cell) == len(self.bucket) == len(self.count):
            raise ValueError("cell, bucket and count differ in length")


class CohortParts(Record, frozen=True, kw_only=True):
    """What one partition of `playback` saw of one window; the parts of all partitions make the window."""

    source: Count
    """Partition of `playback`."""
    sources: Count
    """How many partitions `playback` has: the window is whole when each has spoken."""
    window_start_ms: EpochMs
    window_ms: DurationMs
    watermark_ms: EpochMs
    """No beat before this time will be counted by this source any more."""
    idle: bool = False
    """The partition has nothing to read: do not wait for it until it speaks again."""
    origin_ms: EpochMs | None = None
    """Broker's time of the beat that closed the window."""
    dimensions: list[str] = []
    cells: list[list[str]] = []
    """One list of dimension values per leaf cell."""
    measures: dict[str, list[float]] = {}
    """Column per name of `Measures`, a value per leaf cell; one that is missing is 0 everywhere."""
    sketches: dict[str, Sketch] = {}
    """By name of `DURATIONS`."""
    folded: Count = 0
    """Beats whose combination was folded into ``other`` by the limit on leaf cells."""

    def __post_init__(self) -> None:
        for cell in self.cells:
            if len(cell) != len(self.dimensions):
                raise ValueError(f"cell {cell} does not have the dimensions {self.dimensions}")
        if self.cells and "viewers" not in self.measures:
            raise ValueError("measures: viewers are missing")
        for name, values in self.measures.items():
            if len(values) != len(self.cells):
                raise ValueError(f"measures: {name} does not have a value for each of the cells")
        for name, sketch in self.sketches.items():
            if sketch.cell and max(sketch.cell) >= len(self.cells):
                raise ValueError(f"sketches: {name} counts in a cell that is not there")


class CohortWindow(Record, frozen=True, kw_only=True):
    """QoE of one cohort in one window."""

    cohort: Name
    cell: Cell
    window_start_ms: EpochMs
    window_ms: DurationMs
    measures: Measures
    rebuffering_ratio: Ratio | None = None
    """Stall time over stall and play time; absent without either."""
    stalled_ratio: Ratio | None = None
    start_failure_ratio: Ratio | None = None
    """Technical start failures, of attempts."""
    exit_before_start_ratio: Ratio | None = None
    """Of attempts; it may fall because people wait longer, so read it with the startup time."""
    playback_failure_ratio: Ratio | None = None
    """Fatal errors after the first frame, of ended plays."""
    startup_mean_ms: NonNegative | None = None
    startup_p50_ms: NonNegative | None = None
    startup_p95_ms: NonNegative | None = None
    bitrate_mean_kbps: NonNegative | None = None
    live_latency_p50_ms: NonNegative | None = None
    live_latency_p95_ms: NonNegative | None = None
    share: Ratio | None = None
    """Of the viewers of the scope, who are those of the same title where titles are judged apart."""


COHORTS = TopicSpec(
    name="cohorts",
    key="cohort",
    value=CohortWindow,
    key_of=lambda window: cell_key(window.cell),
    describes="QoE per window and cohort: CDN, ISP, region, device and their combinations.",
    producers=("cohorts",),
    consumers=("console", "incidents"),
    retention_hours=24 * 7,
)

COHORT_PARTS = TopicSpec(
    name="cohorts.parts",
    key="source partition",
    value=CohortParts,
    key_of=lambda part: str(part.source),
    describes="Sums per leaf cell and window of one partition of playback.",
    producers=("playback",),
    consumers=("cohorts",),
    retention_hours=24,
    partitions=1,
    internal=True,
    max_bytes=8 * MAX_RECORD_BYTES,
)
