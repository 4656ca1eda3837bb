"""The scoring job in Quix Streams, run by the Python of an environment of its own: ``quix_program.py TASK``.

Quix Streams pins another version of confluent-kafka than Playhead's, so this file imports nothing of Playhead
but the two modules beside it. Single samples keep the state of their series in Quix's state store (RocksDB
with a changelog topic), as its users write it. That store is by record key, and packed records have none:
their series are kept in a dictionary.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from quixstreams import Application, State, message_context
from rules import Rules, fresh  # type: ignore[import-not-found,unused-ignore]  # beside this file
from usage import cpu_seconds, peak_rss_mb  # type: ignore[import-not-found,unused-ignore]

WATCH_S = 0.02
PACKED = ("playhead-encoding", b"packed")


class Scoring:
    """Counts what it took, and scores it."""

    def __init__(self, rules: Rules) -> None:
        self.taken = 0
        self._rules = rules
        self._known: dict[str, list[float]] = {}

    def single(self, value: dict[str, Any], state: State) -> list[dict[str, Any]]:
        """Return the anomaly that one sample starts, worsens or ends, if it does."""
        self.taken += 1
        series_state = state.get("series") or fresh()
        change = self._rules.step(series_state, value["value"])
        state.set("series", series_state)
        return [] if change is None else [anomaly(value, series_of(value), change, 0)]

    def packed(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the anomalies of a packed record."""
        found = []
        self.taken += len(value["which"])
        columns = zip(value["which"], value["time_ms"], value["value"], strict=True)
        for inside, (which, time_ms, number) in enumerate(columns):
            series = value["series"][which]
            change = self._rules.step(self._known.setdefault(series, fresh()), number)
            if change is not None:
                service, _, metric = series.partition("/")
                sample = {"time_ms": time_ms, "service": service, "metric": metric, "value": number}
                found.append(anomaly(sample, series, change, inside))
        return found


def series_of(sample: dict[str, Any]) -> str:
    """Return the canonical name of a sample's series."""
    tags = sample.get("tags")
    inside = ",".join(f"{name}={tags[name]}" for name in sorted(tags)) if tags else ""
    return f"{sample['service']}/{sample['metric']}" + (f"{{{inside}}}" if tags else "")


def anomaly(sample: dict[str, Any], series: str, change: Any, inside: int) -> dict[str, Any]:
    """Return a record of the `anomalies` contract, without what only the message knows."""
    return {
        "time_ms": sample["time_ms"],
        "subject": sample["service"],
        "series": series,
        "phase": change.phase,
        "kind": "latency_spike",
        "severity": change.severity,
        "score": change.severity / 4.0,
        "confidence": 0.5,
        "metric": sample["metric"].partition("{")[0],
        "value": sample["value"],
        "inside": inside,
    }


def with_origin(value: dict[str, Any], key: Any, timestamp_ms: int, headers: Any) -> dict[str, Any]:
    """Add what the message knows."""
    place = message_context()
    identity = f"{place.partition}-{place.offset}-{value['series']}-{value['phase']}-{value['inside']}"
    return {**value, "id": hashlib.sha256(identity.encode()).hexdigest()[:24], "origin_ms": timestamp_ms}


def watch(scoring: Scoring) -> None:
    """Print whenever more was taken."""
    told = 0
    while True:
        if scoring.taken != told:
            told = scoring.taken
            said = {
                "at": "progress",
                "clock_s": time.monotonic(),
                "events": told,
                "cpu_s": cpu_seconds(),
                "rss_mb": peak_rss_mb(),
            }
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()
        time.sleep(WATCH_S)


def main(task: dict[str, Any], packed: bool) -> None:
    """Score until standard input ends."""
    scoring = Scoring(Rules(**task["rules"]))
    app = Application(
        broker_address=task["brokers"],
        consumer_group=task["group"],
        auto_offset_reset="earliest",
        state_dir=Path(task["state_dir"]),
        loglevel="WARNING",
        consumer_extra_config={
            "client.id": task["client_id"],
            "session.timeout.ms": int(task["session_timeout_s"] * 1_000),
            "heartbeat.interval.ms": int(task["session_timeout_s"] * 250),
        },
        producer_extra_config={"linger.ms": 5, "compression.type": "lz4"},
    )
    stream = app.dataframe(app.topic(task["telemetry"], value_deserializer="json"))
    if packed:
        stream = stream.apply(scoring.packed, expand=True)
    else:
        stream = stream.apply(scoring.single, stateful=True, expand=True)
    stream = stream.apply(with_origin, metadata=True)
    stream.to_topic(app.topic(task["anomalies"]), key=lambda value: value["subject"].encode())
    threading.Thread(target=watch, args=(scoring,), daemon=True).start()

    def stop() -> None:
        sys.stdin.buffer.read()
        app.stop()

    threading.Thread(target=stop, daemon=True).start()
    app.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[-1]), packed="--packed" in sys.argv)
