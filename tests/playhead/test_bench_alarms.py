"""Healthy series of many kinds are drawn alike from a seed, and their false pages are counted and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from config import load
from playhead.bench import alarms, quiet
from playhead.bench.alarms_picture import draw
from playhead.bench.healthy import KINDS, Fleet
from playhead.cli import app

SETTINGS = load({}).settings


@pytest.fixture(scope="module")
def result() -> alarms.Alarms:
    return alarms.run(SETTINGS, series=100, days=1.0, minutes_per_step=5, seed=3, progress=lambda *_: None)


def test_a_fleet_is_the_same_from_the_same_seed_and_has_every_kind() -> None:
    first, second = Fleet(50, seed=4), Fleet(50, seed=4)

    assert set(first.parts) == set(KINDS)
    for _ in range(20):
        values = first.draw()
        np.testing.assert_array_equal(values, second.draw())
        assert np.isfinite(values).all()


def test_every_kind_is_counted_and_few_page(result: alarms.Alarms) -> None:
    assert sum(kind.samples for kind in result.by_kind) == 100 * 288
    assert sum(kind.beyond_three_sigmas for kind in result.by_kind) > 50
    assert result.pages <= 1
    assert result.low <= result.pages_per_week <= result.high


def test_what_was_spent_is_within_the_budget(result: alarms.Alarms) -> None:
    assert 0.0 < result.spent <= 1.05 * result.budget_pages_per_week * result.weeks


def test_faults_are_recorded_sooner_than_they_page(result: alarms.Alarms) -> None:
    for fault in result.faults:
        assert fault.paged <= fault.recorded
        if fault.paged_median is not None and fault.recorded_median is not None:
            assert fault.recorded_median <= fault.paged_median


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.025, 5.572), (10, 4.795, 18.390)])
def test_intervals_of_counts_are_the_exact_ones(count: int, low: float, high: float) -> None:
    assert alarms.poisson_interval(count) == pytest.approx((low, high), abs=1e-3)


def test_the_picture_is_svg_that_names_every_kind(result: alarms.Alarms) -> None:
    picture = draw(result)

    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert all(kind.split(" (")[0] in picture for kind in KINDS)


def write_recording(folder: Path) -> Path:
    rng = np.random.default_rng(5)
    rows = ["timestamp,value"]
    for minute in range(5000):
        value = 100.0 + rng.normal(0.0, 2.0) + 300.0 * (4000 <= minute < 4030)
        rows.append(f"{1_781_481_600 + 60 * minute},{value:.3f}")
    (folder / "data").mkdir()
    (folder / "data" / "cpu.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    windows = {"cpu.csv": [[str(1_781_481_600 + 60 * 3990), str(1_781_481_600 + 60 * 4040)]]}
    labels = folder / "windows.json"
    labels.write_text(json.dumps(windows), encoding="utf-8")
    return labels


def test_a_recording_is_judged_inside_and_outside_its_labels(tmp_path: Path) -> None:
    labels = write_recording(tmp_path)

    told = quiet.run(SETTINGS, tmp_path / "data", labels)

    assert (told.windows, told.windows_recorded, told.windows_paged) == (1, 1, 1)
    assert told.pages == 0
    assert told.quiet_samples == 5000 - 51


def test_the_command_asks_for_recordings_and_labels_together(tmp_path: Path) -> None:
    runner = CliRunner()
    labels = write_recording(tmp_path)
    data = str(tmp_path / "data")

    alone = runner.invoke(app, ["bench", "alarms", "--recordings", data])
    both = runner.invoke(app, ["bench", "alarms", "--recordings", data, "--labels", str(labels), "--json"])

    assert alone.exit_code == 2
    assert json.loads(both.stdout)["windows_paged"] == 1


def test_every_detector_is_timed_and_weighed() -> None:
    told = CliRunner().invoke(app, ["bench", "detectors", "--samples", "100", "--json"])

    costs = json.loads(told.stdout)
    assert {"BankDetector", "PerSeriesEnsemble", "Adwin"} <= {cost["detector"] for cost in costs}
    assert all(cost["state_bytes"] > 0 for cost in costs)
