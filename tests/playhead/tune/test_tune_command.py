"""`playhead tune` reads what was recorded, chooses on one part, tells of the other, and writes settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from config import load
from playhead.cli import app

ROWS = 600
FAULT = slice(450, 460)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def moment(row: int) -> str:
    return (BEGAN + timedelta(minutes=row)).strftime("%Y-%m-%d %H:%M:%S")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four noisy series; each has one fault that is labelled."""
    labels = {}
    (tmp_path / "series").mkdir()
    for number in range(4):
        values = np.random.default_rng(number).normal(100.0, 5.0, ROWS)
        values[FAULT] += 400.0
        lines = [f"{moment(row)},{value:.3f}" for row, value in enumerate(values)]
        (tmp_path / "series" / f"cpu{number}.csv").write_text("timestamp,value\n" + "\n".join(lines) + "\n")
        labels[f"cpu{number}.csv"] = [[moment(FAULT.start), moment(FAULT.stop)]]
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


def tuned(folder: Path, *more: str) -> dict[str, object]:
    arguments = ["tune", str(folder / "series"), "--labels", str(folder / "labels.json"), "--json"]
    told = CliRunner().invoke(app, [*arguments, "--detector", "bank", "--detector", "forecast", *more])
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def test_bounds_are_raised_until_false_episodes_keep_within_the_budget(folder: Path) -> None:
    result = tuned(folder, "--false-per-week", "0")

    for each in result["detectors"]:
        assert each["now_chosen_on"]["false_episodes"] > 0
        assert each["choices"], each["why"]
        assert each["choices"][0]["tuned"] > each["choices"][0]["now"]
        assert each["tuned"]["windows"] == 2  # those of every second series
        assert each["tuned"]["windows_seen"] == 2
        assert each["tuned"]["false_episodes"] < each["now"]["false_episodes"]


def test_the_file_that_is_written_is_read_as_settings(folder: Path) -> None:
    written = folder / "playhead.toml"

    result = tuned(folder, "--false-per-week", "0", "--write", str(written))

    settings = load({"PLAYHEAD_CONFIG": str(written)}).settings
    bank = result["detectors"][0]
    assert bank["choices"][0]["setting"] == "detection.z_high"
    assert settings.detection.z_high == bank["choices"][0]["tuned"]


def test_a_file_that_is_there_is_not_overwritten(folder: Path) -> None:
    there = folder / "playhead.toml"
    there.write_text("# mine\n")

    told = CliRunner().invoke(app, ["tune", str(folder / "series"), "--write", str(there)])

    assert told.exit_code == 2
    assert there.read_text() == "# mine\n"


def test_the_picture_shows_every_series_and_fetches_nothing(folder: Path) -> None:
    picture = folder / "tune.svg"

    tuned(folder, "--picture", str(picture))

    drawn = picture.read_text()
    assert all(f"cpu{number}.csv" in drawn for number in range(4))
    assert "href" not in drawn


def test_labels_of_a_series_that_is_not_there_are_an_error_that_names_it(folder: Path) -> None:
    (folder / "labels.json").write_text(json.dumps({"gpu.csv": []}))

    told = CliRunner().invoke(
        app, ["tune", str(folder / "series"), "--labels", str(folder / "labels.json"), "--detector", "bank"]
    )

    assert told.exit_code == 1
    assert "gpu.csv" in told.output


def test_an_unknown_detector_is_refused_with_those_there_are(folder: Path) -> None:
    told = CliRunner().invoke(app, ["tune", str(folder / "series"), "--detector", "oracle"])

    assert told.exit_code == 2
    assert "ensemble" in told.output
