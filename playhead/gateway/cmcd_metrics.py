"""Every metric of the gateway's part for CMCD: name, kind and meaning in one place (Prometheus naming)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REPORTS = Counter(
    "playhead_cmcd_reports_total",
    "Reports and beats that came, by how, and by what became of them: taken, refused, sampled_out.",
    ["carriage", "outcome"],
)
MALFORMED = Counter(
    "playhead_cmcd_malformed_total",
    "Keys that could not be used or were set right; an empty key is the report as a whole.",
    ["key"],
)
TURNED_AWAY = Counter(
    "playhead_cmcd_turned_away_total",
    "Requests answered 429 (too many of an address), 503 (the spool is full), 413 or 422.",
    ["status"],
)
SPOOL_BYTES = Gauge("playhead_spool_bytes", "What the spool takes on disk.")
SPOOL_WAITING_BYTES = Gauge("playhead_spool_waiting_bytes", "What of it Kafka has not taken yet.")
SPOOL_SKIPPED_BYTES = Gauge(
    "playhead_spool_skipped_bytes", "Bytes that could not be read back since the start."
)
SPOOL_STUCK = Gauge("playhead_spool_stuck", "1 while Kafka does not take what is in the spool.")
SPOOL_SENT = Gauge("playhead_spool_sent_events", "Events handed to Kafka since the start.")
ACKNOWLEDGE_SECONDS = Histogram(
    "playhead_cmcd_acknowledge_seconds",
    "From the whole body of a request to its answer.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)
