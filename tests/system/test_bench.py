"""Every contestant of the benchmark tells the episodes that the bank finds in the same events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config import Settings, load
from playhead.bench.job import Shape, held_backlog, send_backlog
from playhead.bench.live import measure_latency
from playhead.bench.running import Alerts, Running, forget_groups, run_topics
from playhead.brokers import client_config

from .conftest import Kafka

EVENTS = 20_000
SHAPE = Shape(series=50, cycle=101)
"""Long enough for each series to be judged by its baseline too."""


@pytest.fixture(scope="module")
def settings(kafka: Kafka) -> Settings:
    return load({"PLAYHEAD_BROKERS": kafka.brokers}).settings


@pytest.fixture(scope="module")
def backlog(settings: Settings) -> Iterator[Settings]:
    with run_topics(settings, 4) as mine:
        send_backlog(client_config(mine), mine.prefix, SHAPE, EVENTS, 4)
        yield mine


def quiet(_: str) -> None:
    pass


@pytest.mark.parametrize("contestant", ["lane", "faust", "quix", "kafka-streams"])
def test_a_contestant_tells_every_episode(backlog: Settings, contestant: str) -> None:
    alerts = Alerts(backlog)

    with Running(backlog, contestant, quiet) as running:
        running.wait_for(EVENTS)
    forget_groups(client_config(backlog), backlog.prefix)

    assert running.events == EVENTS
    assert len(alerts.starts()) == SHAPE.starts(backlog, EVENTS) > 100


def test_a_ceiling_reads_everything_and_tells_nothing(backlog: Settings) -> None:
    alerts = Alerts(backlog)

    with Running(backlog, "ceiling-decode", quiet) as running:
        running.wait_for(EVENTS)
    forget_groups(client_config(backlog), backlog.prefix)

    assert (running.events, alerts.starts()) == (EVENTS, [])


@pytest.mark.parametrize("contestant", ["lane", "quix", "kafka-streams"])
def test_packed_records_are_counted_by_their_events(settings: Settings, contestant: str) -> None:
    shape = Shape(series=50, cycle=101, packed=100)
    with run_topics(settings, 4) as mine:
        send_backlog(client_config(mine), mine.prefix, shape, EVENTS, 4)
        alerts = Alerts(mine)

        with Running(mine, contestant, quiet, packed=True) as running:
            running.wait_for(EVENTS)

        assert running.events == EVENTS
        assert len(alerts.starts()) == shape.starts(mine, EVENTS)


def test_processes_share_the_partitions_before_they_see_the_first_event(settings: Settings) -> None:
    with (
        run_topics(settings, 4) as mine,
        held_backlog(client_config(mine), mine.prefix, SHAPE, EVENTS, 4) as let_go,
    ):
        alerts = Alerts(mine)
        with Running(mine, "lane-2", quiet) as running:
            running.wait_until_shared(4)
            before = running.events
            let_go()
            running.wait_for(EVENTS)

        assert before == 0
        assert [member.events > 0 for member in running.members] == [True, True]
        assert len(alerts.starts()) == SHAPE.starts(mine, EVENTS)


def test_latency_is_measured_from_live_events(settings: Settings) -> None:
    live = measure_latency(
        settings, "lane", rate_per_s=1_000, seconds=2, capacity_per_s=100_000, report=quiet
    )

    assert live.alerts > 100
    assert 0 < live.p50_ms <= live.p99_ms
    assert live.sent_per_s == pytest.approx(1_000, rel=0.2)
