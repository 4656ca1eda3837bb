"""Why a line is no record of its topic, told so that it can be mended: place, field, value, expectation."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from topics.errors import ContractError

SHOWN_CHARACTERS = 60
_AT = re.compile(r" - at `(?P<path>\$[^`]*)`$")
_KEY_AT = re.compile(r" - at `key` in `(?P<path>\$[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_MALFORMED = re.compile(r"JSON is malformed: (?P<what>.*) \(byte (?P<at>\d+)\)$")
_CUT_SHORT = "Input data was truncated"
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One line that was not sent."""

    source: str
    line: int
    field: str
    """Empty where the line as a whole is at fault."""
    value: str
    problem: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}"
        if self.field:
            value = f" = {self.value}" if self.value else ""
            return f"{place}: {self.field}{value}: {self.problem}"
        return f"{place}: {self.problem}" + (f": {self.value}" if self.value else "")


class _Literal(str):
    """A number as it was written: JSON numbers too large for a float keep their text."""

    __slots__ = ()


def explain(source: str, line: int, data: bytes, error: ContractError) -> Refusal:
    """Return what is wrong with `data`, which `error` refused."""
    return Refusal(source, line, *(_of_text(data, error.reason) or _of_field(data, error.reason)))


def _of_text(data: bytes, reason: str) -> tuple[str, str, str] | None:
    """Return field, value and problem where the line cannot be read at all."""
    if "bytes exceed" in reason:
        # Whoever read the line may have cut it: its true length is not known.
        return "", "", "exceeds" + reason.partition("exceed")[2] + " bytes"
    if constant := _constant(data):
        return *constant, "JSON has no such number: leave the record or the field out"
    if reason == _CUT_SHORT:
        return "", _shown(data), "not JSON, it ends too early"
    if malformed := _MALFORMED.match(reason):
        at = int(malformed["at"])
        around = data[max(at - SHOWN_CHARACTERS // 2, 0) : at + SHOWN_CHARACTERS // 2]
        return "", _shown(around), f"not JSON, {malformed['what']} at byte {at}"
    return None


def _of_field(data: bytes, reason: str) -> tuple[str, str, str]:
    """Return field, value and problem where the line is JSON, but not the record that is wanted."""
    place = _AT.search(reason) or _KEY_AT.search(reason)
    path = place["path"] if place else "$"
    if missing := _MISSING.match(reason):
        return f"{_dotted(path)}.{missing['field']}".removeprefix("."), "", "is missing"
    problem = (reason[: place.start()] if place else reason).replace("`", "")
    value = _value_at(data, path) if place else _shown(data)
    return _dotted(path), value, problem[:1].lower() + problem[1:]


def _dotted(path: str) -> str:
    return path.removeprefix("$").removeprefix(".").removesuffix("[...]")


def _value_at(data: bytes, path: str) -> str:
    try:
        value = json.loads(data, parse_float=_Literal, parse_int=_Literal)
    except (ValueError, RecursionError):
        return ""
    for step in _STEP.finditer(path):
        if step["index"] == "...":
            break
        try:
            value = value[step["name"] if step["name"] is not None else int(step["index"])]
        except (LookupError, TypeError):
            return ""
    return _written(value)


def _written(value: Any) -> str:
    if isinstance(value, _Literal):
        return _cut(value)
    return _cut(json.dumps(value, default=str, ensure_ascii=False))


def _constant(data: bytes) -> tuple[str, str] | None:
    """Return field and name of a NaN or Infinity, which some writers put into JSON and JSON does not have."""
    if not any(word in data for word in (b"NaN", b"Infinity")):
        return None
    found: list[tuple[str, str]] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found.extend((name, str(value)) for name, value in items if isinstance(value, _Literal))
        return dict(items)

    try:
        json.loads(data, parse_constant=_Literal, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    return found[0] if found else None


def _shown(data: bytes) -> str:
    return _cut(repr(data[: SHOWN_CHARACTERS + 1].decode(errors="replace"))[1:-1])


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
