from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from playhead.demo.data import INCIDENTS, DemoDataError, Row, read_incidents, read_series

HEADER = "min,cdn,bitrate,p2p,gameid,value,cnt"


def incidents_folder(folder: Path, *rows: str, minute: int = 120, header: str = HEADER) -> Path:
    (folder / "minutes").mkdir(parents=True)
    (folder / "minutes" / "one.csv").write_text("\n".join([header, *rows]))
    label = {"file": "one.csv", "minute": minute, "cause": [{"bitrate": "500", "p2p": "1"}]}
    (folder / "incidents.json").write_text(json.dumps([label]))
    return folder


def test_rows_become_viewers_of_the_beats_dimensions(tmp_path: Path) -> None:
    folder = incidents_folder(tmp_path, "60,5,500,1,g,2,10", "120,5,500,1,g,8,10")

    [incident] = read_incidents(folder)

    cell = {"cdn": "5", "bitrate_kbps": "500", "p2p": "1"}
    assert incident.minutes == [[Row(cell, 10, 2)], [Row(cell, 10, 8)]]
    assert incident.labelled == 1
    assert incident.causes == [{"bitrate_kbps": "500", "p2p": "1"}]


def test_rows_that_differ_only_in_a_column_beats_do_not_have_are_summed(tmp_path: Path) -> None:
    folder = incidents_folder(tmp_path, "120,5,500,1,g,2,10", "120,5,500,1,h,1,4")

    [incident] = read_incidents(folder)

    assert [row[1:] for row in incident.minutes[0]] == [(14, 3)]


def test_a_negative_bitrate_is_one_that_is_not_known(tmp_path: Path) -> None:
    folder = incidents_folder(tmp_path, "120,5,-1,1,g,2,10")

    [incident] = read_incidents(folder)

    assert incident.minutes[0][0].cell == {"cdn": "5", "p2p": "1"}


def test_minutes_without_rows_are_kept_as_gaps(tmp_path: Path) -> None:
    folder = incidents_folder(tmp_path, "60,5,500,1,g,2,10", "240,5,500,1,g,8,10", minute=240)

    [incident] = read_incidents(folder)

    assert [len(rows) for rows in incident.minutes] == [1, 0, 0, 1]
    assert incident.labelled == 3


def test_a_compressed_file_stands_in_for_a_plain_one(tmp_path: Path) -> None:
    folder = incidents_folder(tmp_path, "120,5,500,1,g,2,10")
    plain = folder / "minutes" / "one.csv"
    before = read_incidents(folder)

    (folder / "minutes" / "one.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()

    assert read_incidents(folder) == before


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ["120,5,500,1,g,many,10"],
            "one.csv, line 2: value is 'many', expected a whole number",
        ),
        (["120,5,500,1,g,nan,10"], "line 2: value is 'nan'"),
        (["120,5,500,1,g,1,inf"], "line 2: cnt is 'inf'"),
        (["120,5,500,1,g,1"], "line 2: not as many fields as the header has"),
        (["60,5,500,1,g,1,2"], "no row of the labelled minute 120"),
    ],
)
def test_a_bad_row_is_told_with_file_line_and_value(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(DemoDataError, match=said):
        read_incidents(incidents_folder(tmp_path, *rows))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoDataError, match="no column 'value'; it has min, cdn"):
        read_incidents(incidents_folder(tmp_path, header="min,cdn"))


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoDataError, match=r"incidents\.json: cannot be read"):
        read_incidents(tmp_path)


def test_what_is_shipped_has_incidents_of_many_causes_and_series_of_every_real_group() -> None:
    incidents = read_incidents()
    series = read_series()

    named = {name for incident in incidents for cause in incident.causes for name in cause}
    assert named == {"cdn", "bitrate_kbps", "p2p", "device", "isp"}
    assert len({each.service for each in series}) == len(series) == 5
    assert all(each.windows for each in series)
    assert "known-cause/request_latency" in {f"{each.service}/{each.metric}" for each in series}


def test_what_is_shipped_names_its_origin_and_is_small() -> None:
    files = [path for path in INCIDENTS.parent.rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) < 1_500_000
    for folder in (INCIDENTS, INCIDENTS.parent / "nab"):
        assert "MIT" in (folder / "ORIGIN.md").read_text()
