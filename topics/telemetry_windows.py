"""`telemetry.windows`: chosen series in windows of event time, for models that are too slow for samples."""

from __future__ import annotations

from typing import Annotated

import msgspec

from topics.fields import Count, DurationMs, EpochMs, NonNegative, Record
from topics.spec import TopicSpec


class SeriesWindows(Record, frozen=True, kw_only=True):
    """One window of many series, as columns: `series[i]` had `count[i]` samples of `mean[i]`."""

    source: Count
    """Partition of `telemetry` that they come from."""
    shard: Count
    """Group of series that they belong to: all windows of a series are of one."""
    window_start_ms: EpochMs
    window_ms: DurationMs
    series: Annotated[list[str], msgspec.Meta(max_length=4_000)]
    count: list[Annotated[int, msgspec.Meta(ge=1)]]
    mean: list[float]
    min: list[float]
    max: list[float]
    variance: list[NonNegative]
    """Divided by the count."""
    origin_ms: EpochMs | None = None
    """Broker's time of the sample that closed the window."""

    def __post_init__(self) -> None:
        for name in ("count", "mean", "min", "max", "variance"):
            if len(getattr(self, name)) != len(self.series):
                raise ValueError(f"{name} does not have a value for each of the series")


TELEMETRY_WINDOWS = TopicSpec(
    name="telemetry.windows",
    key="shard of the series",
    value=SeriesWindows,
    key_of=lambda windows: str(windows.shard),
    describes="Count, mean, least, most and variance of chosen series per window of event time.",
    producers=("telemetry",),
    consumers=("learned",),
    retention_hours=24,
)
