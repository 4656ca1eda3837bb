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
WINDOW_LATE = Counter(
    "playhead_window_late_total",
    "Samples that came after one of their windows had closed; they are judged by themselves all the same.",
    ["agent", "partition"],
)
WINDOW_REFUSED = Counter(
    "playhead_window_refused_total",
    "Samples left out of their window since so many windows were open (learned.max_cells).",
    ["agent", "partition"],
)
UNSUMMED_SERIES = Counter(
    "playhead_unsummed_series_total",
    "Series that deserve windows and were one too many (learned.max_series).",
    ["partition"],
)
UNJUDGED_WINDOWS = Counter(
    "playhead_unjudged_windows_total",
    "Windows of series that were one too many for a model each (learned.max_judged_series).",
    ["partition"],
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
CHECKPOINT_SECONDS = Histogram(
    "playhead_checkpoint_seconds",
    "Time that a checkpoint held its lane up.",
    ["agent"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
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
CMCD_SESSIONS = Counter(
    "playhead_cmcd_sessions_total",
    "Reports lost, duplicate and late; sessions restarted and forgotten.",
    ["what"],
)
NOTICES = Counter(
    "playhead_notices_total",
    "Messages about incidents to receivers outside, by what came of them: delivered, failed, refused.",
    ["receiver", "outcome"],
)
CACHE_ERRORS = Counter("playhead_cache_errors_total", "Cache operations that failed.", ["operation"])
STEERING_SECONDS = Histogram(
    "playhead_steering_answer_seconds",
    "Time to answer one poll of a player.",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1),
)


def forget_partition(agent: str, partition: int) -> None:
    """Tell no more of a partition that others have now: its last figures would stand for ever."""
    for gauge in (LAG_RECORDS, WATERMARK_SECONDS, CHECKPOINT_BYTES):
        with suppress(KeyError):
            gauge.remove(agent, partition)
