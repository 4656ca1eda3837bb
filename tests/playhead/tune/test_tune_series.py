"""Series come out of recordings whole, whether their samples travelled alone or together."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from recorded_folders import telemetry, written

from playhead.packing import PACKED_HEADERS
from playhead.tune.series import TuneError, load_series
from topics.telemetry import Samples

ALONE, TOGETHER = 60, 60


def test_single_and_packed_samples_of_a_recording_are_one_series_in_the_order_of_time(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    packed = Samples(
        series=["s/m1"],
        which=[0] * TOGETHER,
        time_ms=[(ALONE + at) * 1000 for at in range(TOGETHER)],
        value=[float(ALONE + at) for at in range(TOGETHER)],
    )
    value = msgspec.json.encode(packed)
    sample = b'{"time_ms":%d,"service":"s","metric":"m1","value":%d}'
    written(
        folder,
        [
            telemetry(1, 0, 0, value=value, headers=PACKED_HEADERS),
            *(telemetry(1, 1 + at, at * 1000, value=sample % (at * 1000, at)) for at in range(ALONE)),
            telemetry(1, 1 + ALONE, 0, value=b"no record at all"),
        ],
    )

    series = load_series(folder, None)

    assert [each.name for each in series] == ["s/m1"]
    assert series[0].time_ms.tolist() == [at * 1000 for at in range(ALONE + TOGETHER)]
    assert series[0].value.tolist() == [float(at) for at in range(ALONE + TOGETHER)]


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cpu.csv").write_text("timestamp,value\n2026-01-01 00:00:00,1\n2026-01-01 00:01:00,many\n")

    with pytest.raises(TuneError, match=r"cpu\.csv, line 3: .*many"):
        load_series(tmp_path / "cpu.csv", None)


def test_series_too_short_to_learn_from_are_left_out_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "cpu.csv").write_text("timestamp,value\n2026-01-01 00:00:00,1\n")

    with pytest.raises(TuneError, match="no series has 100 rows"):
        load_series(tmp_path, None)
