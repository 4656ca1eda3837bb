"""Anomaly scores of a time series in CSV: `timestamp,value` in, `timestamp,value,anomaly_score` out.

The score of a row is yielded before the next row is read, so a series may come through a pipe as it happens,
and what follows a row cannot change its score.

ScoreError         a file or row that cannot be scored: names file, line, column and value
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from models.anomaly.base import Detector
from playhead.when import MomentError, parse_moment
from topics.errors import PlayheadError

if TYPE_CHECKING:
    from _csv import Reader

COLUMNS: Final = ("timestamp", "value")
SCORED_COLUMNS: Final = (*COLUMNS, "anomaly_score")

_MISSING: Final = frozenset({"", "nan", "na", "n/a", "null", "none"})


class ScoreError(PlayheadError):
    """The text names the file, and where it is a row's fault the line, column and value, and what to do."""


class Row(NamedTuple):
    """One row as it stands in the file."""

    timestamp: str
    value: str
    line: int


class ScoredRow(NamedTuple):
    """One row with its score, timestamp and value as they stood."""

    timestamp: str
    value: str
    anomaly_score: float


@dataclass
class Tally:
    """What was met in a series."""

    rows: int = 0
    missing: int = 0
    """Rows without a value: scored 0, not learned."""
    backwards: int = 0
    """Rows older than the row before: scored and learned in the order of the file."""


@dataclass
class FolderReport:
    """What became of a folder of series."""

    files: int = 0
    tally: Tally = field(default_factory=Tally)
    errors: list[str] = field(default_factory=list)
    """One for each file that could not be scored; the others were."""


def read_rows(lines: Iterable[str], source: str) -> Iterator[Row]:
    """Yield the rows of a CSV with a header, reading no further than the row asked for.

    Columns beyond `timestamp` and `value` are passed over, and so are blank lines.

    Args:
        lines: Text of the file; an open file, a list, or standard input.
        source: What errors call it.

    Raises:
        ScoreError: the text is no CSV or not UTF-8, it is empty, a column is missing, or a row is short.

    Example:
        >>> list(read_rows(["timestamp,value\\n", "2026-01-01 00:00:00,7\\n"], "example.csv"))
        [Row(timestamp='2026-01-01 00:00:00', value='7', line=2)]
    """
    reader = csv.reader(lines)
    try:
        yield from _rows_of(reader, source)
    except UnicodeDecodeError as error:
        raise ScoreError(f"{source}, after line {reader.line_num}: is not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise ScoreError(f"{source}, line {reader.line_num}: is not CSV: {error}") from error


def score_rows(
    rows: Iterable[Row], detector: Detector, source: str, tally: Tally | None = None
) -> Iterator[ScoredRow]:
    """Yield each row with its score before the next row is read.

    A row without a value (empty, nan, null, ...) scores 0 and is not learned: a gap says nothing of the
    values around it. Rows at one time are scored one after the other.

    Args:
        rows: In the order of time.
        detector: A fresh one; it has learned the series afterwards.
        source: What errors call the file.
        tally: Counts what was met, where given.

    Raises:
        ScoreError: a timestamp or a value cannot be read, or a value is infinite.
    """
    tally = tally if tally is not None else Tally()
    newest_ms: int | None = None
    for row in rows:
        time_ms = _read_time(row, source)
        value = _read_value(row, source)
        tally.rows += 1
        if newest_ms is not None and time_ms < newest_ms:
            tally.backwards += 1
        newest_ms = time_ms
        if value is None:
            tally.missing += 1
            yield ScoredRow(row.timestamp, row.value, 0.0)
            continue
        score = detector.score_one(time_ms, value)
        detector.learn_one(time_ms, value)
        yield ScoredRow(row.timestamp, row.value, score)


def write_rows(rows: Iterable[ScoredRow], out: TextIO) -> None:
    """Write a header and scored rows as CSV, each row before the next is asked for."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SCORED_COLUMNS)
    out.flush()
    for row in rows:
        writer.writerow(row)
        out.flush()


def score_folder(
    in_dir: Path,
    out_dir: Path,
    detector: Callable[[], Detector],
    progress: Callable[[int, int, Path], None],
) -> FolderReport:
    """Score each CSV under a folder with a detector of its own, into files of the same names under another.

    A file that cannot be scored is reported and leaves no result; the others are scored.

    Args:
        in_dir: Searched with all its sub-folders.
        out_dir: Made where it does not exist; outside `in_dir`.
        detector: Makes a fresh detector for each file.
        progress: Called after each file with how many are done, how many there are, and the file.

    Raises:
        ScoreError: `in_dir` is no folder or holds no CSV, or `out_dir` lies within it.
    """
    if not in_dir.is_dir():
        raise ScoreError(f"{in_dir}: is not a folder; give the folder that holds the CSV files")
    if out_dir.resolve().is_relative_to(in_dir.resolve()):
        raise ScoreError(f"{out_dir}: lies within {in_dir}; scores would be read as series, choose another")
    paths = sorted(path for path in in_dir.rglob("*.csv") if path.is_file())
    if not paths:
        raise ScoreError(f"{in_dir}: holds no .csv file")
    report = FolderReport()
    for done, path in enumerate(paths, start=1):
        target = out_dir / path.relative_to(in_dir)
        try:
            score_file(path, target, detector(), report.tally)
            report.files += 1
        except ScoreError as error:
            report.errors.append(str(error))
        progress(done, len(paths), path)
    return report


def score_file(path: Path, target: Path, detector: Detector, tally: Tally | None = None) -> None:
    """Score one CSV into another, which appears only when it is complete.

    Raises:
        ScoreError: the file cannot be read or scored, or the other cannot be written.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open(encoding="utf-8", newline="") as lines, partial.open("w", encoding="utf-8") as out:
            write_rows(score_rows(read_rows(lines, str(path)), detector, str(path), tally), out)
        partial.replace(target)
    except OSError as error:
        raise ScoreError(f"{error.filename}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _rows_of(reader: Reader, source: str) -> Iterator[Row]:
    header = next(reader, None)
    if header is None:
        raise ScoreError(f"{source}: is empty; expected a header timestamp,value")
    names = [name.strip().lstrip("\ufeff").lower() for name in header]
    for column in COLUMNS:
        if column not in names:
            raise ScoreError(
                f"{source}, line 1: no column {column!r} among {', '.join(names)}; name it in the header"
            )
    time_at, value_at = (names.index(column) for column in COLUMNS)
    for fields in reader:
        if not fields:
            continue
        if len(fields) <= max(time_at, value_at):
            short = COLUMNS[0] if len(fields) <= time_at else COLUMNS[1]
            raise ScoreError(f"{source}, line {reader.line_num}: no {short} in {','.join(fields)!r}")
        yield Row(fields[time_at].strip(), fields[value_at].strip(), reader.line_num)


def _read_value(row: Row, source: str) -> float | None:
    if row.value.lower() in _MISSING:
        return None
    try:
        value = float(row.value)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise ScoreError(
            f"{source}, line {row.line}: value {row.value!r} is not a finite number; correct it, or leave it "
            "empty where it is missing"
        )
    return value


def _read_time(row: Row, source: str) -> int:
    try:
        return parse_moment(row.timestamp, now_ms=0)
    except MomentError as error:
        raise ScoreError(f"{source}, line {row.line}: timestamp {error}") from error
