"""Every metric of the agents: name, kind and meaning in one place (Prometheus naming)."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter(
    "playhead_records_total",
    "Records read, by what became of them: processed, duplicate or dead. Read = the sum of the three.",
    ["agent", "outcome"],
)
EVENTS = Counter(
    "playhead_events_total",
    "Events inside the records, by what became of them: processed, late or dead.",
    ["agent", "outcome"],
)
EMISSIONS = Counter("playhead_emissions_total", "Records published.", ["agent", "topic"])
PROCESSING_SECONDS = Histogram(
    "playhead_processing_seconds",
    "Time to take one record (agents) or one batch (lanes) from read to published.",
    ["agent"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
LATENCY_SECONDS = Histogram(
    "playhead_latency_seconds",
    "Broker's time of a record to the end of its processing.",
    ["agent"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
LAG_RECORDS = Gauge("playhead_lag_records", "Records of the topic not yet read.", ["agent", "partition"])
WATERMARK_SECONDS = Gauge(
    "playhead_watermark_seconds",
    "Event time up to which windows are closed, Unix epoch.",
    ["agent", "partition"],
)
CHECKPOINT_BYTES = Gauge("playhead_checkpoint_bytes", "Size of the newest snapshot.", ["agent", "partition"])
CHECKPOINTS = Counter("playhead_checkpoints_total", "Snapshots committed with their offsets.", ["agent"])
SNAPSHOTS_LOST = Counter(
    "playhead_snapshots_lost_total",
    "Snapshots that were gone or could not be taken up: the partition began with nothing known.",
    ["agent"],
)
UNPUBLISHABLE = Counter(
    "playhead_unpublishable_total",
    "Records too large for their topic, which went to the dead letters in its place.",
    ["topic"],
)
CACHE_ERRORS = Counter("playhead_cache_errors_total", "Cache operations that failed.", ["operation"])


def forget_partition(agent: str, partition: int) -> None:
    """Tell no more of a partition that others have now: its last figures would stand for ever."""
    for gauge in (LAG_RECORDS, WATERMARK_SECONDS, CHECKPOINT_BYTES):
        with suppress(KeyError):
            gauge.remove(agent, partition)
