"""What `playhead bench recovery` and `bench memory` measure, on a real Kafka and within their bounds."""

from __future__ import annotations

from typing import Any

import pytest

from config import Settings, load
from playhead.bench import memory, recovery
from playhead.bench.backlog import Backlog
from playhead.packing import unpack
from topics import TELEMETRY

RECOVERY_BOUND_S = 10.0
"""From a kill until all is watched again."""

BUSY_MACHINE = 3.0
"""How many times longer a gate may take whose machine does other things as well."""

GROWTH_BOUND_MB = 400.0
"""Of a worker's memory, once a tenth of its backlog is drained: most of it is the client's queues."""


@pytest.fixture
def settings(kafka: Any) -> Settings:
    return load({"PLAYHEAD_BROKERS": kafka.brokers}).settings


def test_a_killed_worker_is_replaced_within_the_bound(settings: Settings) -> None:
    result = recovery.run(settings, series=10_000, rate=5_000, kills=1, report=lambda line: None)

    (kill,) = result.kills
    print(f"\n{kill}")
    assert kill.series >= 2_500
    assert kill.outputs > 0
    assert 0.0 < kill.first_output_s <= kill.caught_up_s < BUSY_MACHINE * RECOVERY_BOUND_S


def test_memory_does_not_grow_with_the_backlog(settings: Settings) -> None:
    result = memory.run(
        settings, events=1_000_000, series=2_000, events_per_record=1, report=lambda line: None
    )

    print(
        f"\n{result.events:,} events: {result.started_mb:.0f} MB before, {result.warm_mb:.0f} MB warm, "
        f"peak {result.peak_mb:.0f} MB"
    )
    assert result.events == 1_000_000
    assert result.growth_mb < GROWTH_BOUND_MB


@pytest.mark.parametrize("events_per_record", [1, 7])
def test_a_backlog_has_one_sample_of_every_series_in_each_turn(events_per_record: int) -> None:
    backlog = Backlog(40, events_per_record=events_per_record, outlier_every=10)

    for _ in range(2):
        wires = list(backlog.turn())

        samples = [
            sample
            for wire in wires
            for sample in (
                unpack(TELEMETRY, wire.value) if wire.key is None else [TELEMETRY.decode(wire.value)]
            )
        ]
        assert sum(wire.events for wire in wires) == len(samples) == 40
        assert len({TELEMETRY.key_of(sample) for sample in samples}) == 40
        assert sum(sample.value > 1_000 for sample in samples) == 4
        for wire in wires:
            if wire.key is not None:
                assert wire.key.decode() == TELEMETRY.key_of(TELEMETRY.decode(wire.value))
