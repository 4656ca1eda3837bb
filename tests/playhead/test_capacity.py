"""A plan of capacity follows from its figures, and takes the costs of a run where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from config import load
from playhead.cli import app
from playhead.lab.capacity import plan

FIGURES = load({}).settings.capacity


def test_the_arithmetic_of_each_need_is_the_stated_one() -> None:
    figures = FIGURES.model_copy(
        update={
            "worker_us_per_event": 2.0,
            "core_share": 0.5,
            "partitions_per_worker": 4,
            "wire_bytes_per_event": 100.0,
            "replication": 3,
            "consumer_groups": 1,
            "retention_hours": 1.0,
            "series_bytes": 100.0,
            "series_interval_s": 10.0,
        }
    )

    found = plan(1_000_000.0, figures)

    needs = {need.what: need.amount for need in found.needs}
    assert (found.workers, found.partitions) == (4, 16)
    assert needs["produced"] == pytest.approx(0.1)
    assert needs["into the brokers"] == pytest.approx(0.3)
    assert needs["out of the brokers"] == pytest.approx(0.3)
    assert needs["kept"] == pytest.approx(0.3 * 3600 / 1000)
    assert found.state_mb_per_worker == pytest.approx(10e6 / 4 * 100 / 1e6)


@given(st.floats(1.0, 1e9), st.floats(1.01, 10.0))
def test_more_events_never_need_less(rate: float, times: float) -> None:
    small, large = plan(rate, FIGURES), plan(rate * times, FIGURES)

    assert large.workers >= small.workers
    assert large.partitions >= small.partitions
    assert large.brokers >= small.brokers


def test_brokers_hold_every_copy_and_may_lose_one() -> None:
    found = plan(1.0, FIGURES)

    assert found.brokers == FIGURES.replication + FIGURES.brokers_spare
    assert found.bound_by == "replication"


def test_many_series_need_workers_for_their_memory() -> None:
    few, many = plan(1_000.0, FIGURES, series=1_000), plan(1_000.0, FIGURES, series=1e9)

    assert few.workers == 1
    assert many.workers == pytest.approx(1e9 * FIGURES.series_bytes / (FIGURES.worker_memory_gb * 1e9), abs=1)


def test_the_command_prints_the_plan_and_refuses_a_run_without_packed_records(tmp_path: Path) -> None:
    wrong = tmp_path / "engine.json"
    wrong.write_text("{}")

    told = CliRunner().invoke(app, ["plan", "--events-per-s", "1000000", "--json"])
    refused = CliRunner().invoke(app, ["plan", "--measured", str(wrong)])

    assert json.loads(told.stdout)["workers"] == plan(1_000_000.0, FIGURES).workers
    assert refused.exit_code == 2
    assert "engine.json" in refused.output
