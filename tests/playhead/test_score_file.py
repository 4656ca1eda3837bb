"""Scores of CSV files: row by row, causal, and clear about what cannot be scored."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config import load
from models.anomaly import build
from models.anomaly.base import Detector
from playhead.score_file import (
    FolderReport,
    Row,
    ScoredRow,
    ScoreError,
    Tally,
    read_rows,
    score_file,
    score_folder,
    score_rows,
    write_rows,
)

HEADER = "timestamp,value\n"
LOADED = load({}).settings


def fresh() -> Detector:
    return build.ensemble(LOADED.ensemble, LOADED.detection)


@dataclass
class Recorder:
    """A detector that scores every sample 0.25 and remembers what it learned."""

    learned: list[tuple[int, float]] = field(default_factory=list)

    def score_one(self, time_ms: int, value: float) -> float:
        return 0.25

    def learn_one(self, time_ms: int, value: float) -> None:
        self.learned.append((time_ms, value))

    def snapshot(self) -> bytes:
        return b""

    def restore(self, data: bytes) -> None:
        self.learned.clear()


def scored(text: str, detector: Detector | None = None, tally: Tally | None = None) -> list[ScoredRow]:
    rows = read_rows(io.StringIO(text), "series.csv")
    return list(score_rows(rows, detector or Recorder(), "series.csv", tally))


def series(rows: int) -> str:
    lines = [f"2026-03-01 {at // 60 % 24:02d}:{at % 60:02d}:00,{100 + at * 7 % 13}" for at in range(rows)]
    return HEADER + "\n".join(lines) + "\n"


def test_a_row_is_scored_before_the_next_is_read() -> None:
    read = []

    def lines() -> Iterator[str]:
        for line in series(5).splitlines(keepends=True):
            read.append(line)
            yield line

    rows = score_rows(read_rows(lines(), "-"), Recorder(), "-")

    for at in range(1, 6):
        next(rows)
        assert len(read) == 1 + at


def test_cutting_off_the_future_changes_nothing() -> None:
    text = series(900)
    lines = text.splitlines(keepends=True)

    whole = scored(text, fresh())

    for rows in (1, 60, 400, 899):
        assert scored("".join(lines[: rows + 1]), fresh()) == whole[:rows]


def test_a_pipe_is_answered_line_by_line() -> None:
    reading, writing = os.pipe()
    answered, answering = os.pipe()
    with (
        os.fdopen(reading, encoding="utf-8") as lines,
        os.fdopen(writing, "w", encoding="utf-8") as feed,
        os.fdopen(answered, encoding="utf-8") as answers,
        os.fdopen(answering, "w", encoding="utf-8") as out,
    ):
        rows = score_rows(read_rows(lines, "-"), Recorder(), "-")
        feed.write(HEADER)
        for minute in range(3):
            print(f"2026-03-01 00:0{minute}:00,{minute}", file=feed, flush=True)
            write_rows([next(rows)], out)
            assert answers.readline() == "timestamp,value,anomaly_score\n"
            assert answers.readline() == f"2026-03-01 00:0{minute}:00,{minute},0.25\n"


def test_timestamps_and_values_come_out_as_they_stood() -> None:
    rows = scored(HEADER + "2026-03-01T00:00:00Z,1.50\n2026-03-01T00:01:00Z,+2e0\n")

    assert rows == [("2026-03-01T00:00:00Z", "1.50", 0.25), ("2026-03-01T00:01:00Z", "+2e0", 0.25)]


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2014-04-01 00:05:00", 1396310700000),
        ("2014-04-01T00:05:00Z", 1396310700000),
        ("2014-04-01T02:05:00.250+02:00", 1396310700250),
        ("1396310700", 1396310700000),
        ("1396310700000", 1396310700000),
    ],
)
def test_times_are_read_in_their_usual_forms(text: str, time_ms: int) -> None:
    recorder = Recorder()

    scored(HEADER + f"{text},1\n", recorder)

    assert recorder.learned == [(time_ms, 1.0)]


def test_other_columns_and_blank_lines_are_passed_over() -> None:
    recorder = Recorder()

    scored("\ufeffhost, Value ,timestamp\na,1,60\n\nb,2,120\n", recorder)

    assert recorder.learned == [(60_000, 1.0), (120_000, 2.0)]


@pytest.mark.parametrize("missing", ["", "  ", "nan", "NaN", "null", "NA", "None"])
def test_a_missing_value_scores_nothing_is_not_learned_and_is_counted(missing: str) -> None:
    recorder, tally = Recorder(), Tally()

    rows = scored(HEADER + f"60,1\n120,{missing}\n180,3\n", recorder, tally)

    assert [row.anomaly_score for row in rows] == [0.25, 0.0, 0.25]
    assert recorder.learned == [(60_000, 1.0), (180_000, 3.0)]
    assert tally == Tally(rows=3, missing=1, backwards=0)


def test_repeated_times_are_scored_and_times_that_go_back_are_counted() -> None:
    recorder, tally = Recorder(), Tally()

    scored(HEADER + "120,1\n120,2\n60,3\n180,4\n", recorder, tally)

    assert [value for _, value in recorder.learned] == [1.0, 2.0, 3.0, 4.0]
    assert tally == Tally(rows=4, missing=0, backwards=1)


def test_a_header_alone_is_a_series_without_rows() -> None:
    assert scored(HEADER) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "series.csv: is empty; expected a header timestamp,value"),
        ("timestamp,count\n1,2\n", "series.csv, line 1: no column 'value' among timestamp, count"),
        ("60,1\n120,2\n", "series.csv, line 1: no column 'timestamp' among 60, 1"),
        (HEADER + "60,1\n120\n", "series.csv, line 3: no value in '120'"),
        (HEADER + "60,1\n120,much\n", "series.csv, line 3: value 'much' is not a finite number"),
        (HEADER + "60,inf\n", "series.csv, line 2: value 'inf' is not a finite number"),
        (HEADER + "60,1e999\n", "series.csv, line 2: value '1e999' is not a finite number"),
        (HEADER + "noon,1\n", "series.csv, line 2: timestamp 'noon' is no time"),
        (HEADER + ",1\n", "series.csv, line 2: timestamp '' is no time"),
        (HEADER + "nan,1\n", "series.csv, line 2: timestamp 'nan' is no time"),
        (HEADER + "5m,1\n", "series.csv, line 2: timestamp '5m' lies outside the years 1970 to 2100"),
        (
            HEADER + "2026-02-30 00:00:00,1\n",
            "series.csv, line 2: timestamp '2026-02-30 00:00:00' is no time",
        ),
        (HEADER + "60,1\n\n\n120,x\n", "series.csv, line 5: value 'x'"),
        (HEADER + "60,\0\n", "series.csv, line 2: "),
    ],
)
def test_what_cannot_be_scored_is_named(text: str, said: str) -> None:
    with pytest.raises(ScoreError) as caught:
        scored(text)

    assert str(caught.value).startswith(said)


def test_rows_before_a_bad_one_are_scored() -> None:
    rows = score_rows(read_rows([HEADER, "60,1\n", "120,x\n"], "-"), Recorder(), "-")

    assert next(rows).anomaly_score == 0.25
    with pytest.raises(ScoreError):
        next(rows)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bytes.csv"
    path.write_bytes(b"timestamp,value\n60,\xff\xfe\n")

    with pytest.raises(ScoreError, match=r"bytes\.csv.*not UTF-8"):
        score_file(path, tmp_path / "out.csv", Recorder())


def test_scores_are_written_as_text_that_reads_back_the_same() -> None:
    out = io.StringIO()

    write_rows([ScoredRow("60", "1", 0.1 + 0.2), ScoredRow("120", "2", 0.0)], out)

    lines = out.getvalue().splitlines()
    assert lines[0] == "timestamp,value,anomaly_score"
    assert float(lines[1].split(",")[2]) == 0.1 + 0.2
    assert "np." not in out.getvalue()


# -- folders --------------------------------------------------------------------------------------------


def folder(tmp_path: Path, files: dict[str, str]) -> tuple[Path, Path]:
    source = tmp_path / "in"
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return source, tmp_path / "out"


def run_folder(source: Path, target: Path) -> tuple[FolderReport, list[tuple[int, int, str]]]:
    seen: list[tuple[int, int, str]] = []
    report = score_folder(
        source, target, Recorder, lambda done, files, path: seen.append((done, files, path.name))
    )
    return report, seen


def test_a_folder_is_mirrored_with_its_sub_folders(tmp_path: Path) -> None:
    source, target = folder(
        tmp_path,
        {"aws/cpu.csv": series(3), "tweets/a.csv": series(2), "top.csv": series(1), "README.md": "no"},
    )

    report, seen = run_folder(source, target)

    written = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert written == ["aws/cpu.csv", "top.csv", "tweets/a.csv"]
    assert (target / "tweets/a.csv").read_text(encoding="utf-8").splitlines() == [
        "timestamp,value,anomaly_score",
        "2026-03-01 00:00:00,100,0.25",
        "2026-03-01 00:01:00,107,0.25",
    ]
    assert report == FolderReport(files=3, tally=Tally(rows=6), errors=[])
    assert seen == [(1, 3, "cpu.csv"), (2, 3, "top.csv"), (3, 3, "a.csv")]


def test_a_bad_file_is_reported_leaves_no_result_and_stops_no_other(tmp_path: Path) -> None:
    source, target = folder(tmp_path, {"a.csv": series(2), "b.csv": HEADER + "60,1\n120,x\n", "c.csv": ""})

    report, _ = run_folder(source, target)

    assert [path.name for path in target.rglob("*")] == ["a.csv"]
    assert report.files == 1
    assert len(report.errors) == 2
    assert "b.csv, line 3: value 'x'" in report.errors[0]


def test_each_file_has_a_detector_of_its_own(tmp_path: Path) -> None:
    source, target = folder(tmp_path, {"a.csv": series(300), "b.csv": series(300)})

    score_folder(source, target, fresh, lambda *_: None)

    assert (target / "a.csv").read_bytes() == (target / "b.csv").read_bytes()


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("nowhere", "out", "nowhere: is not a folder"),
        ("in", "in/out", "lies within"),
        ("in", "in", "lies within"),
        ("empty", "out", "holds no .csv file"),
    ],
)
def test_a_folder_that_cannot_be_scored_is_refused(
    tmp_path: Path, source: str, target: str, said: str
) -> None:
    folder(tmp_path, {"a.csv": series(1)})
    (tmp_path / "empty").mkdir()

    with pytest.raises(ScoreError, match=said):
        score_folder(tmp_path / source, tmp_path / target, Recorder, lambda *_: None)


def test_a_row_names_its_line() -> None:
    assert list(read_rows(["value,timestamp\n", "7,60\n"], "-")) == [Row("60", "7", 2)]
