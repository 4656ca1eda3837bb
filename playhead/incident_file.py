"""Incident files: the minutes of an incident by combination of dimensions, as CSV.

Columns: ``min`` (Unix time in seconds), any number of dimensions, ``value`` (viewers who stalled) and ``cnt``
(viewers), in any order; a row for each combination and minute. UTF-8, with or without a byte-order mark.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.localisation import LocalisationFigures
from models.localisation import Cause, Cells, localise

_MINUTE, _BAD, _TOTAL = "min", "value", "cnt"
_Row = dict[str | None, str | None]


class IncidentFileError(Exception):
    """An incident file cannot be used: the text names the file, the line, the field and its value."""


@dataclass(slots=True)
class _Minute:
    """The rows of a minute, column by column."""

    values: list[list[str]] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)


def localise_file(path: Path, minute: int, figures: LocalisationFigures) -> list[Cause]:
    """What caused the stalls of a minute, best first, judged by nothing but that minute and those before it.

    Raises IncidentFileError when the file is missing, malformed or holds no row of the minute.
    """
    *history, window = read_windows(path, minute)
    return localise(window, history, figures)


def read_windows(path: Path, minute: int) -> list[Cells]:
    """The minutes of the file up to this one, oldest first; of later rows only the time is looked at.

    A row whose ``min``, ``value`` or ``cnt`` is empty or ``nan`` is a gap and is left out. More stalled
    viewers than viewers are taken for all of them.

    Raises IncidentFileError when the file is missing, malformed or holds no row of the minute.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            dimensions = _dimensions(path, reader.fieldnames or [])
            minutes = _minutes(path, ((reader.line_num, row) for row in reader), dimensions, minute)
    except OSError as error:
        raise IncidentFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise IncidentFileError(f"{path}: not a CSV file in UTF-8: {error}") from error
    if minute not in minutes:
        held = f"from {min(minutes)} to {max(minutes)}" if minutes else "none"
        raise IncidentFileError(f"{path}: no row of minute {minute}; minutes it holds up to then: {held}")
    return [Cells.of(dimensions, rows.values, rows.bad, rows.total) for _, rows in sorted(minutes.items())]


def _dimensions(path: Path, columns: Sequence[str]) -> list[str]:
    for needed in (_MINUTE, _BAD, _TOTAL):
        if needed not in columns:
            raise IncidentFileError(f"{path}: no column {needed!r}; it has {', '.join(columns) or 'none'}")
    dimensions = [column for column in columns if column not in (_MINUTE, _BAD, _TOTAL)]
    if not dimensions:
        raise IncidentFileError(f"{path}: no column but {_MINUTE}, {_BAD} and {_TOTAL}: add a dimension")
    return dimensions


def _minutes(
    path: Path, rows: Iterable[tuple[int, _Row]], dimensions: Sequence[str], last: int
) -> dict[int, _Minute]:
    minutes: dict[int, _Minute] = {}
    for line, row in rows:
        if None in row or None in row.values():
            raise IncidentFileError(f"{path}, line {line}: not as many fields as the header has")
        time = _number(path, line, row, _MINUTE)
        if math.isnan(time) or time >= last + 1:
            continue
        bad, total = _number(path, line, row, _BAD), _number(path, line, row, _TOTAL)
        if math.isnan(bad) or math.isnan(total):
            continue
        rows_of_minute = minutes.setdefault(int(time), _Minute())
        rows_of_minute.values.append([str(row[dimension]) for dimension in dimensions])
        rows_of_minute.bad.append(min(bad, total))
        rows_of_minute.total.append(total)
    return minutes


def _number(path: Path, line: int, row: _Row, column: str) -> float:
    """A count or a time; NaN where the field is empty."""
    text = (row[column] or "").strip()
    try:
        number = float(text or "nan")
    except ValueError:
        number = -math.inf
    if number < 0 or math.isinf(number):
        raise IncidentFileError(f"{path}, line {line}: {column} is {text!r}, not a number of at least 0")
    return number
