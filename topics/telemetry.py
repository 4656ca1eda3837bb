"""`telemetry`: metric samples of the services, one to a record or many."""

from __future__ import annotations

from typing import Annotated

import msgspec

from topics.fields import MAX_NAME, EpochMs, Name, OptionalName, Record
from topics.spec import TopicSpec


class Sample(Record, frozen=True, kw_only=True):
    """One value of one metric of one service at one time."""

    service: Name
    metric: Name
    value: float
    tags: dict[str, str] = {}


MAX_SERIES = 100_000
"""In one record."""


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """Many samples as columns; `series[which[i]]` has the value `value[i]` at `time_ms[i]`."""

    series: Annotated[list[str], msgspec.Meta(max_length=MAX_SERIES)]
    which: list[int]
    time_ms: list[EpochMs]
    value: list[float]
    id: list[OptionalName] = []
    """Of every sample, or of none."""

    def __post_init__(self) -> None:
        if not len(self.which) == len(self.time_ms) == len(self.value):
            raise ValueError("which, time_ms and value differ in length")
        if self.id and len(self.id) != len(self.which):
            raise ValueError("id differs in length from which, time_ms and value")
        if self.which and not 0 <= min(self.which) <= max(self.which) < len(self.series):
            raise ValueError("which points outside series")


def series_key(service: str, metric: str, tags: dict[str, str] | None = None) -> str:
    """Return the canonical name of a series.

    >>> series_key("payment", "error_rate", {"region": "eu", "az": "1"})
    'payment/error_rate{az=1,region=eu}'
    """
    if not tags:
        return f"{service}/{metric}"
    inside = ",".join(f"{name}={tags[name]}" for name in sorted(tags))
    return f"{service}/{metric}{{{inside}}}"


def split_series(series: str) -> tuple[str, str, dict[str, str]]:
    """Return service, metric and tags of a series' canonical name.

    Raises:
        ValueError: the text is not of the form ``service/metric`` or ``service/metric{tag=value,...}``, or
            service or metric is no `Name`.

    >>> split_series("payment/error_rate{az=1,region=eu}")
    ('payment', 'error_rate', {'az': '1', 'region': 'eu'})
    """
    head, brace, inside = series.partition("{")
    service, slash, metric = head.partition("/")
    if not (service and slash and metric) or (brace and not inside.endswith("}")):
        raise ValueError(f"series {series!r} is not service/metric or service/metric{{tag=value,...}}")
    if max(len(service), len(metric)) > MAX_NAME:
        raise ValueError(f"series {series[:40]!r}... has a service or metric of over {MAX_NAME} characters")
    if not brace:
        return service, metric, {}
    pairs = [pair.partition("=") for pair in inside[:-1].split(",") if pair]
    return service, metric, {name: value for name, _, value in pairs}


TELEMETRY = TopicSpec(
    name="telemetry",
    key="series",
    value=Sample,
    packed=Samples,
    key_of=lambda sample: series_key(sample.service, sample.metric, sample.tags),
    describes="Metric samples: time, service, metric, value, tags; many samples to a record where packed.",
    producers=("services", "gateway", "playhead produce"),
    consumers=("telemetry",),
    retention_hours=24,
)
