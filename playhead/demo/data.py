"""The recordings that the demo replays: labelled incidents of a live video service, and metric series.

Folders have the layout of the collections they come from (`playhead/demo/data/README.md` names them), so that
a whole collection can stand in for what is shipped. Files may be compressed (`.csv.gz`).
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from topics.errors import PlayheadError
from topics.fields import Cell

HERE = Path(__file__).parent / "data"
INCIDENTS = HERE / "qoe-incidents"
SERIES = HERE / "nab"

MINUTE_S = 60
DIMENSIONS = {
    "cdn": "cdn",
    "isp": "isp",
    "device": "device",
    "platform": "platform",
    "bitrate": "bitrate_kbps",
    "p2p": "p2p",
}
"""Columns of an incident file, and the beats' names for them; rows are summed over any other column."""

SERVICES = {
    "realAWSCloudwatch": "aws-cloudwatch",
    "realAdExchange": "ad-exchange",
    "realKnownCause": "known-cause",
    "realTraffic": "road-traffic",
    "realTweets": "tweets",
}
"""Groups of the metric series, and the services they are told as; another group keeps its name."""

METRICS = {
    "ec2_request_latency_system_failure": "request_latency",
    "cpu_utilization_asg_misconfiguration": "cpu_utilization",
}
"""Files whose names tell what went wrong, and what their metrics are told as; others keep their names."""


class DemoDataError(PlayheadError):
    """A recording cannot be used: the text names the file, and where it can the line, field and value."""

    exit_code = 3


class Row(NamedTuple):
    """Viewers of one combination of dimensions in one minute."""

    cell: Cell
    viewers: int
    stalled: int


@dataclass(frozen=True, slots=True)
class Incident:
    """One recorded incident: `minutes` follow one another without a gap; one without rows is empty."""

    file: str
    minutes: list[list[Row]]
    labelled: int
    """Index of the minute that people labelled as bad."""
    causes: list[Cell]
    """What they said explains it."""

    @property
    def beats(self) -> int:
        """Viewers, added up over the minutes."""
        return sum(row.viewers for rows in self.minutes for row in rows)

    @property
    def most_viewers(self) -> int:
        """Viewers of its largest minute."""
        return max(sum(row.viewers for row in rows) for rows in self.minutes)


@dataclass(frozen=True, slots=True)
class Series:
    """One recorded metric, with the windows in which people saw an anomaly (times are Unix seconds)."""

    file: str
    service: str
    metric: str
    times_s: list[int]
    values: list[float]
    windows: list[tuple[int, int]]


def read_incidents(folder: Path = INCIDENTS) -> list[Incident]:
    """Return the incidents of `folder` in the order of `incidents.json`.

    Raises:
        DemoDataError: a file is missing or malformed.
    """
    labels = _read_json(folder / "incidents.json", list)
    if not labels:
        raise DemoDataError(f"{folder / 'incidents.json'}: names no incident")
    return [read_incident(folder, label) for label in labels]


def read_incident(folder: Path, label: dict[str, Any]) -> Incident:
    """Return the incident that `label` (`file`, `minute`, `cause`) names.

    Raises:
        DemoDataError: the label or its file is malformed, or the file has no row of the labelled minute.
    """
    try:
        name, labelled_s = str(label["file"]), int(label["minute"])
        causes = [_cell(cause) for cause in label["cause"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DemoDataError(
            f"{folder / 'incidents.json'}: {label!r} is no label: {error!r}; expected file, minute and cause"
        ) from error
    path = _find(folder / "minutes" / name)
    rows_at: dict[int, dict[tuple[tuple[str, str], ...], list[int]]] = {}
    with _open(path) as lines:
        for line, row in _rows(path, lines, ("min", "value", "cnt")):
            viewers = _count(path, line, row, "cnt")
            key = tuple(_cell(row).items())
            sums = rows_at.setdefault(_count(path, line, row, "min"), {}).setdefault(key, [0, 0])
            sums[0] += viewers
            sums[1] += min(_count(path, line, row, "value"), viewers)
    if labelled_s not in rows_at:
        raise DemoDataError(f"{path}: no row of the labelled minute {labelled_s}")
    first_s = min(rows_at)
    minutes = [
        [Row(dict(key), *sums) for key, sums in rows_at.get(at_s, {}).items() if sums[0]]
        for at_s in range(first_s, max(rows_at) + 1, MINUTE_S)
    ]
    return Incident(name, minutes, (labelled_s - first_s) // MINUTE_S, causes)


def read_series(folder: Path = SERIES) -> list[Series]:
    """Return the series that `combined_windows.json` of `folder` names, in its order.

    Raises:
        DemoDataError: a file is missing or malformed.
    """
    path = folder / "combined_windows.json"
    windows = _read_json(path, dict)
    try:
        spans = {
            name: [(_seconds(start), _seconds(end)) for start, end in pairs]
            for name, pairs in windows.items()
        }
    except (TypeError, ValueError) as error:
        raise DemoDataError(f"{path}: a window is no pair of times: {error}") from error
    return [_read_one_series(folder, name, pairs) for name, pairs in spans.items()]


def _read_one_series(folder: Path, name: str, windows: list[tuple[int, int]]) -> Series:
    path = _find(folder / "data" / name)
    times_s: list[int] = []
    values: list[float] = []
    with _open(path) as lines:
        for line, row in _rows(path, lines, ("timestamp", "value")):
            try:
                time_s, value = _seconds(row["timestamp"]), float(row["value"])
            except ValueError as error:
                raise DemoDataError(f"{path}, line {line}: {error}") from error
            if math.isfinite(value):
                times_s.append(time_s)
                values.append(value)
    if not times_s:
        raise DemoDataError(f"{path}: has no rows")
    group, _, file = name.rpartition("/")
    stem = file.removesuffix(".csv").lower()
    service, metric = SERVICES.get(group, group or "series"), METRICS.get(stem, stem)
    return Series(name, service, metric, times_s, values, windows)


def _cell(row: dict[str, Any]) -> Cell:
    """The beats' dimensions of a row or a cause; a negative bitrate says that it is not known."""
    cell = {
        name: str(row[column]) for column, name in DIMENSIONS.items() if row.get(column) not in (None, "")
    }
    if cell.get("bitrate_kbps", "").startswith("-"):
        del cell["bitrate_kbps"]
    return cell


def _rows(path: Path, lines: TextIO, needed: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(lines)
    for column in needed:
        if column not in (reader.fieldnames or ()):
            raise DemoDataError(f"{path}: no column {column!r}; it has {', '.join(reader.fieldnames or ())}")
    for row in reader:
        if None in row or None in row.values():
            raise DemoDataError(f"{path}, line {reader.line_num}: not as many fields as the header has")
        yield reader.line_num, row


def _count(path: Path, line: int, row: dict[str, str], column: str) -> int:
    try:
        number = float(row[column])
        if number < 0 or number != int(number):
            raise ValueError(row[column])
    except (ValueError, OverflowError) as error:
        raise DemoDataError(
            f"{path}, line {line}: {column} is {row[column]!r}, expected a whole number of at least 0"
        ) from error
    return int(number)


def _seconds(text: Any) -> int:
    return int(datetime.fromisoformat(str(text)).replace(tzinfo=UTC).timestamp())


def _find(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() else path


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="")
        ) as lines:
            yield lines
    except (OSError, EOFError) as error:
        raise DemoDataError(f"{path}: cannot be read: {error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DemoDataError(f"{path}: not a CSV file in UTF-8: {error}") from error


def _read_json(path: Path, kind: type) -> Any:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DemoDataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DemoDataError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, kind):
        raise DemoDataError(f"{path}: expected a JSON {kind.__name__}, found a {type(value).__name__}")
    return value
