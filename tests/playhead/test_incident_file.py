"""Incident files are read up to their minute, and the causes of labelled ones are found."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from config import load
from models.localisation import Cause
from playhead.incident_file import IncidentFileError, localise_file, read_windows

FIGURES = load({}).settings.localisation
SHIPPED = Path(__file__).parent.parent / "data" / "incidents"
ANSWERS_NEEDED = {
    "20200602_145543_1584902534.csv": None,  # labelled by ISP: all that stalls is one kind of TV set on it
    "20200602_165932_1423782086.csv": 1,
    "20200603_064301_17767732.csv": 3,
    "20200603_150855_1121940342.csv": 1,
    "case13_1016_1084106781.csv": 1,
    "case22_0919_1272997391.csv": 1,
    "case31_1119_1691592144.csv": 1,
    "case3_0824_2231886096.csv": 1,
    "case48_1205_2294432.csv": 2,  # two causes
}
HEADER = "min,cdn,value,cnt\n"


class Incident(msgspec.Struct, frozen=True):
    """A minute labelled bad, and its causes."""

    file: str
    minute: int
    cause: list[dict[str, str]]


INCIDENTS = msgspec.json.decode((SHIPPED / "incidents.json").read_bytes(), type=list[Incident])


def unpacked(folder: Path, incident: Incident, *, last_minute: float = float("inf")) -> Path:
    """The incident's file without its minutes after the last one."""
    text = gzip.decompress((SHIPPED / f"{incident.file}.gz").read_bytes()).decode("utf-8-sig")
    header, *rows = text.splitlines(keepends=True)
    path = folder / incident.file
    kept = [row for row in rows if float(row.split(",")[0]) <= last_minute]
    path.write_text(header + "".join(kept), encoding="utf-8-sig")
    return path


def written(folder: Path, text: str) -> Path:
    path = folder / "incident.csv"
    path.write_text(text, encoding="utf-8")
    return path


def answers_needed(causes: list[Cause], labels: list[dict[str, str]]) -> int | None:
    cells = [cause.cell for cause in causes]
    return (
        max(cells.index(label) + 1 for label in labels) if all(label in cells for label in labels) else None
    )


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: incident.file)
def test_the_labelled_causes_are_among_the_first_answers(tmp_path: Path, incident: Incident) -> None:
    path = unpacked(tmp_path, incident)

    causes = localise_file(path, incident.minute, FIGURES)

    assert answers_needed(causes, incident.cause) == ANSWERS_NEEDED[incident.file]


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: incident.file)
def test_rows_after_the_minute_change_nothing(tmp_path: Path, incident: Incident) -> None:
    minute = incident.minute
    whole = localise_file(unpacked(tmp_path, incident), minute, FIGURES)

    cut = localise_file(unpacked(tmp_path, incident, last_minute=minute), minute, FIGURES)

    assert cut == whole


def test_minutes_are_read_oldest_first_whatever_the_order_of_rows(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "120,a,3,30\n60,a,1,10\n60,b,2,20\n")

    first, second = read_windows(path, 120)

    assert first.total.tolist() == [10, 20]
    assert first.vocabulary == (("a", "b"),)
    assert second.bad.tolist() == [3]


def test_a_minute_may_be_written_with_a_fraction(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "60.0,a,1,10\n120.0,a,2,20\n180.0,a,0,30\n")

    windows = read_windows(path, 120)

    assert [window.total.tolist() for window in windows] == [[10], [20]]


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "cnt,isp,min,value,cdn\n10,x,60,1,a\n")

    (window,) = read_windows(path, 60)

    assert window.dimensions == ("isp", "cdn")
    assert window.vocabulary == (("x",), ("a",))


@pytest.mark.parametrize("gap", ["60,b,,20", "60,b,1,", "60,b,nan,20", ",b,1,20"])
def test_a_row_without_a_count_or_a_time_is_left_out(tmp_path: Path, gap: str) -> None:
    path = written(tmp_path, f"{HEADER}60,a,1,10\n{gap}\n")

    (window,) = read_windows(path, 60)

    assert window.total.tolist() == [10]


def test_more_stalled_viewers_than_viewers_are_all_of_them(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "60,a,12,10\n")

    (window,) = read_windows(path, 60)

    assert window.bad.tolist() == [10]


def test_an_empty_dimension_value_is_a_value(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "60,,1,10\n")

    (window,) = read_windows(path, 60)

    assert window.vocabulary == (("",),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no column 'min'; it has none"),
        ("min,cdn,value\n", "no column 'cnt'; it has min, cdn, value"),
        ("min,value,cnt\n60,1,10\n", "no column but min, value and cnt: add a dimension"),
        (HEADER, "no row of minute 60; minutes it holds up to then: none"),
        (HEADER + "0,a,1,10\n30,a,1,10\n90,a,1,10\n", "no row of minute 60; .* up to then: from 0 to 30"),
        (HEADER + "60,a,1,10\n60,a,many,10\n", "line 3: value is 'many', not a number of at least 0"),
        (HEADER + "60,a,1,-10\n", "line 2: cnt is '-10', not a number of at least 0"),
        (HEADER + "soon,a,1,10\n", "line 2: min is 'soon', not a number of at least 0"),
        (HEADER + "60,a,1,inf\n", "line 2: cnt is 'inf', not a number of at least 0"),
        (HEADER + "60,a,1\n", "line 2: not as many fields as the header has"),
        (HEADER + "60,a,1,10,extra\n", "line 2: not as many fields as the header has"),
    ],
)
def test_a_malformed_file_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(IncidentFileError, match=f"incident.csv.*{complaint}"):
        localise_file(path, 60, FIGURES)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(IncidentFileError, match=r"nowhere\.csv: cannot be read: No such file"):
        localise_file(tmp_path / "nowhere.csv", 60, FIGURES)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "incident.csv"
    path.write_bytes(b"min,cdn,value,cnt\n60,\xff\xfe,1,10\n")

    with pytest.raises(IncidentFileError, match="not a CSV file in UTF-8"):
        localise_file(path, 60, FIGURES)
