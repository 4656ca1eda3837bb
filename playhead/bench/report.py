"""`playhead bench report`: writes the tables of a document from the JSON of runs. Nobody types a figure.

A table stands between two marks, ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``; NAME is the kind
of the result. What stands between them is replaced. A result without a mark is added at the end. Results of
kinds that have a picture are drawn beside the document as well, as ``NAME.svg``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from playhead.bench import memory_picture, recovery_picture
from playhead.bench.memory_results import MemoryResult
from playhead.bench.recovery_results import RecoveryResult
from playhead.bench.results import EngineResult
from playhead.bench.scaling_results import ScalingResult
from playhead.bench.tables import (
    LATENCY_HEAD,
    MEMORY_HEAD,
    REBALANCE_HEAD,
    RECOVERY_HEAD,
    SCALE_HEAD,
    THROUGHPUT_HEAD,
    latency_cells,
    memory_cells,
    rebalance_cells,
    recovery_cells,
    scale_cells,
    throughput_cells,
)
from topics.errors import PlayheadError

END: Final = "<!-- end of figures -->"
MOST_ROWS: Final = 60


class ReportError(PlayheadError):
    """A file holds no result of a benchmark."""


def write_into(document: Path, results: Sequence[Path]) -> list[str]:
    """Put the tables of `results` into `document`; return their kinds.

    Raises:
        ReportError: a file cannot be read, or holds no JSON object.
    """
    try:
        written = document.read_text(encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{document}: {error.strerror}") from error
    kinds = []
    for path in results:
        kind, tables = tables_of(path)
        kinds.append(kind)
        written = placed(written, kind, _drawn(kind, path, document.parent) + tables)
    document.write_text(written, encoding="utf-8")
    return kinds


def placed(document: str, kind: str, tables: str) -> str:
    """Return the document with the tables of `kind` in their place.

    >>> print(placed("a\\n<!-- figures: x -->\\nold\\n<!-- end of figures -->\\nb\\n", "x", "new"))
    a
    <!-- figures: x -->
    <BLANKLINE>
    new
    <BLANKLINE>
    <!-- end of figures -->
    b
    <BLANKLINE>
    """
    begin = f"<!-- figures: {kind} -->"
    block = f"{begin}\n\n{tables.strip()}\n\n{END}"
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(END), re.DOTALL)
    if pattern.search(document):
        return pattern.sub(lambda _: block, document)
    return f"{document.rstrip()}\n\n## {kind.capitalize()}\n{block}\n"


def tables_of(path: Path) -> tuple[str, str]:
    """Return the kind of the result in a file, and its tables as Markdown.

    Raises:
        ReportError: it cannot be read, or holds no JSON object.
    """
    try:
        data = path.read_bytes()
        found = msgspec.json.decode(data)
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ReportError(f"{path}: {error}; expected the JSON of a run of `playhead bench`") from error
    if not isinstance(found, dict):
        raise ReportError(f"{path}: holds {type(found).__name__}; expected a JSON object")
    kind = str(found.get("kind") or path.stem)
    writer = _WRITERS.get(kind)
    try:
        return kind, writer(data) if writer is not None else any_result(found)
    except msgspec.MsgspecError as error:
        raise ReportError(f"{path}: {error}; was it written by another version?") from error


def _engine(data: bytes) -> str:
    result = msgspec.json.decode(data, type=EngineResult)
    rows = [throughput_cells(row) for row in result.throughput]
    told = [_origin(result.command, result.began, result.seconds, str(result.machine))]
    told.append(markdown(THROUGHPUT_HEAD, rows))
    if result.latency:
        told.append("Event to alert, live, with generator, Kafka and contestant on the same cores:")
        told.append(markdown(LATENCY_HEAD, [latency_cells(row) for row in result.latency]))
    return "\n\n".join([*told, *_without(result.missing)])


def _scaling(data: bytes) -> str:
    result = msgspec.json.decode(data, type=ScalingResult)
    told = [_origin(result.command, result.began, result.seconds, str(result.machine))]
    told.append(markdown(SCALE_HEAD, [scale_cells(row) for row in result.throughput]))
    if result.rebalances:
        told.append(markdown(REBALANCE_HEAD, [rebalance_cells(row) for row in result.rebalances]))
    return "\n\n".join(told)


def _recovery(data: bytes) -> str:
    result = msgspec.json.decode(data, type=RecoveryResult)
    told = [
        _origin(result.command, result.began, result.seconds, str(result.machine)),
        markdown(RECOVERY_HEAD, recovery_cells(result)),
        f"Two processes, {result.series:,} series; the dead are missed after {result.session_timeout_s:g} s.",
    ]
    return "\n\n".join([*told, *_without(result.missing)])


def _memory(data: bytes) -> str:
    result = msgspec.json.decode(data, type=MemoryResult)
    told = [_origin(result.command, result.began, result.seconds, str(result.machine))]
    told.append(markdown(MEMORY_HEAD, memory_cells(result)))
    told += [
        f"A backlog of {first.few.series:,} series; bytes a series are by a second one of "
        f"{first.many.series:,} series and as many events."
        for first in result.contestants[:1]
    ]
    return "\n\n".join([*told, *_without(result.missing)])


_WRITERS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "engine": _engine,
    "scaling": _scaling,
    "recovery": _recovery,
    "memory": _memory,
}


def _without(missing: Mapping[str, str]) -> list[str]:
    return [f"Without {name}: {why.splitlines()[0]}" for name, why in missing.items()]


def _draw_recovery(data: bytes) -> str:
    return recovery_picture.draw(msgspec.json.decode(data, type=RecoveryResult))


def _draw_memory(data: bytes) -> str:
    return memory_picture.draw(msgspec.json.decode(data, type=MemoryResult))


_PICTURES: Final[Mapping[str, tuple[Callable[[bytes], str], str]]] = {
    "recovery": (_draw_recovery, "How long the series of a killed process go unwatched, side by side"),
    "memory": (_draw_memory, "What each contestant needs to drain a backlog, side by side"),
}
"""How each kind is drawn, and what its picture shows."""


def _drawn(kind: str, path: Path, folder: Path) -> str:
    """Draw a result into a folder, where its kind has a picture; return what shows it in a document there."""
    if kind not in _PICTURES:
        return ""
    draw, shows = _PICTURES[kind]
    picture = folder / f"{kind}.svg"
    picture.write_text(draw(path.read_bytes()), encoding="utf-8")
    return f"![{shows}]({picture.name})\n\n"


def _origin(command: str, began: str, seconds: float, machine: str) -> str:
    return f"`{command}`, {began}, {seconds:.0f} s, on {machine}:"


def any_result(found: Mapping[str, Any]) -> str:
    """Return a result of any shape: single values as one table, each list of objects as a table of its own.

    >>> print(any_result({"kind": "memory", "bound_mb": 400.0, "steps": [{"at_s": 1, "rss_mb": 81.25}]}))
    | bound mb |
    | --- |
    | 400 |
    <BLANKLINE>
    | at s | rss mb |
    | --- | --- |
    | 1 | 81.25 |
    """
    single = {name: value for name, value in found.items() if not isinstance(value, dict | list)}
    command = single.pop("command", None)
    for name in ("kind", "schema"):
        single.pop(name, None)
    told = [f"`{command}`:"] if command else []
    if single:
        told.append(
            markdown([_words(name) for name in single], [[_cell(value) for value in single.values()]])
        )
    for name, value in found.items():
        if isinstance(value, dict):
            told.append(
                markdown([_words(each) for each in value], [[_cell(each) for each in value.values()]])
            )
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            told.append(_list_of_objects(value))
        elif isinstance(value, list) and value:
            told.append(f"{_words(name)}: {', '.join(_cell(each) for each in value[:MOST_ROWS])}")
    return "\n\n".join(told)


def _list_of_objects(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of at most `MOST_ROWS` rows, evenly chosen where there are more."""
    step = -(-len(rows) // MOST_ROWS)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return markdown(
        [_words(name) for name in names], [[_cell(row.get(name)) for name in names] for row in rows[::step]]
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(each.replace("|", "\\|") for each in line) + " |" for line in lines)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)
