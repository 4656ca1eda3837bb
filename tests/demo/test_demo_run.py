from __future__ import annotations

from pathlib import Path

from command_line import CommandLine

from config import load
from playhead.demo.data import Incident, Row
from playhead.demo.gauge import Gauge
from playhead.demo.run import Recordings, Run
from playhead.engine.broker import Service, Services

SETTINGS = load({"PLAYHEAD_PREFIX": "demo-1."}).settings
PLAYED = Incident("one.csv", [[Row({"cdn": "5"}, 1_000, 1)]] * 6, 3, [{"cdn": "5"}])
KAFKA = Service("Kafka", "local", "127.0.0.1:9", was_running=False, log=None)
REDIS = Service("Redis", "local", "redis://127.0.0.1:8/0", was_running=False, log=None)


def run(redis: Service | None = REDIS) -> Run:
    return Run(SETTINGS, Recordings([PLAYED], []), Services(KAFKA, redis, ()), Path("unused"))


def test_the_worker_is_pointed_at_the_services_and_topics_of_the_run() -> None:
    told = run().worker_settings()

    assert told["PLAYHEAD_BROKERS"] == "127.0.0.1:9"
    assert told["PLAYHEAD_REDIS_URL"] == "redis://127.0.0.1:8/0"
    assert told["PLAYHEAD_PREFIX"] == "demo-1."


def test_without_a_redis_the_worker_keeps_its_cache_inside() -> None:
    assert run(redis=None).worker_settings()["PLAYHEAD_REDIS_URL"] == "memory://"


def test_the_workers_settings_are_ones_that_there_are() -> None:
    assert load(run().worker_settings()).settings.prefix == "demo-1."


def test_the_gauge_counts_what_is_left_now_and_then_only() -> None:
    gauge = Gauge()
    counted: list[int] = []

    def count() -> int:
        counted.append(1)
        return 7

    assert [gauge.left(count) for _ in range(100)] == [7] * 100
    assert len(counted) < 100


def test_where_no_incident_is_small_enough_the_demo_says_so_before_it_starts_anything() -> None:
    told = CommandLine({})("demo", "--largest", "1")

    assert told.exit_code == 1
    assert "none of the 12 incidents has at most 1 viewers in a minute" in told.stderr
