"""What `playhead bench recovery` and `bench memory` measure, on a real Kafka and within their bounds."""

from __future__ import annotations

from typing import Any

import pytest

from config import Settings, load
from playhead.bench import memory, recovery

RECOVERY_BOUND_S = 10.0
"""From a kill until all is watched again."""

BUSY_MACHINE = 3.0
"""How many times longer a gate may take whose machine does other things as well."""

GROWTH_BOUND_MB = 400.0
"""Of a worker's memory, once a tenth of its backlog is drained: most of it is the client's queues."""


@pytest.fixture
def settings(kafka: Any) -> Settings:
    return load({"PLAYHEAD_BROKERS": kafka.brokers}).settings


def nothing() -> None:
    pass


def test_a_killed_process_is_replaced_within_the_bound(settings: Settings) -> None:
    plan = recovery.Plan(series=10_000, rate_per_s=5_000, kills=1, contestants=["lane"])

    result = recovery.run(settings, plan, "a test", lambda line: None, nothing)

    assert result.missing == {}
    (kill,) = result.kills
    print(f"\n{kill}")
    assert kill.series >= 2_500
    assert kill.outputs > 0
    assert 0.0 < kill.first_output_s <= kill.caught_up_s < BUSY_MACHINE * RECOVERY_BOUND_S


def test_another_contestant_is_killed_by_the_same_rules(settings: Settings) -> None:
    plan = recovery.Plan(series=1_000, rate_per_s=1_000, kills=1, contestants=["quix"])

    result = recovery.run(settings, plan, "a test", lambda line: None, nothing)

    print(f"\n{result}")
    assert result.missing == {}
    (kill,) = result.kills
    assert kill.outputs > 0
    assert settings.engine.session_timeout_s / 2 < kill.taken_over_s < kill.first_output_s


def test_memory_does_not_grow_with_the_backlog(settings: Settings) -> None:
    plan = memory.Plan(events=300_000, series=2_000, many_series=30_000, packed=1, contestants=["lane"])

    result = memory.run(settings, plan, "a test", lambda line: None, nothing)

    assert result.missing == {}
    (lane,) = result.contestants
    print(
        f"\n{lane.few.events:,} events: {lane.few.started_mb:.0f} MB before, {lane.few.warm_mb:.0f} MB warm, "
        f"peak {lane.few.peak_mb:.0f} MB, {lane.bytes_per_series:.0f} B a series"
    )
    assert lane.few.events == lane.many.events == 300_000
    assert lane.few.growth_mb < GROWTH_BOUND_MB
