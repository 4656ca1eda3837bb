"""What an expression says of a record: a tree of functions, made once and asked of every record."""

from __future__ import annotations

import operator
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from playhead.where.syntax import And, Comparison, Expression, Node, Not, Or, Value

Place = Callable[[str], Any]
"""Tells where a record stands in Kafka, by the names of `PLACE_FIELDS`."""

Holds = Callable[[Any, Place], bool]

PLACE_FIELDS: dict[str, type] = {
    "$topic": str,
    "$partition": int,
    "$offset": int,
    "$key": str,
    "$time_ms": int,
}

_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition:
    """An expression, ready to be asked.

    Example:
        >>> from playhead.where.syntax import parse
        >>> from topics import TELEMETRY
        >>> sample = TELEMETRY.value(time_ms=1, service="payment", metric="error_rate", value=0.2)
        >>> Condition(parse("value>0.1 and service ~ ^pay")).holds(sample, lambda name: None)
        True
    """

    def __init__(self, expression: Expression) -> None:
        self._holds = _make(expression.root)

    def holds(self, record: Any, place: Place) -> bool:
        """Return whether it is true of `record` (None for a tombstone) at `place`."""
        return self._holds(record, place)


def _make(node: Node) -> Holds:
    match node:
        case Or(parts):
            any_of = [_make(part) for part in parts]
            return lambda record, place: any(holds(record, place) for holds in any_of)
        case And(parts):
            all_of = [_make(part) for part in parts]
            return lambda record, place: all(holds(record, place) for holds in all_of)
        case Not(inner):
            holds = _make(inner)
            return lambda record, place: not holds(record, place)
        case Comparison():
            return _make_comparison(node)


def _make_comparison(node: Comparison) -> Holds:
    path, name = node.path, node.path[0]
    judge = _make_judge(node)
    if name in PLACE_FIELDS:
        return lambda record, place: judge([place(name)])
    return lambda record, place: judge(_reach(record, path, 0))


def _make_judge(node: Comparison) -> Callable[[list[Any]], bool]:
    """Return what judges all values that the field has: lists on the way may give several, or none."""
    if not node.operator:
        return any
    if node.value.is_null:
        wanted = node.operator == "=="
        return lambda values: all(value is None for value in values) is wanted
    matches = _make_match(node)
    return lambda values: any(matches(value) for value in values if value is not None)


def _make_match(node: Comparison) -> Callable[[Any], bool]:
    pattern, literal = node.pattern, node.value
    if pattern is not None:
        wanted = node.operator == "~"
        return lambda value: (pattern.search(_written(value)) is not None) is wanted
    order, differs = _ORDER[node.operator], node.operator == "!="
    number = literal.number

    def matches(value: Any) -> bool:
        left, right = _comparable(value, literal, number)
        return differs if right is None else bool(order(left, right))

    return matches


def _reach(value: Any, path: tuple[str, ...], depth: int) -> list[Any]:
    if isinstance(value, list):
        return [found for element in value for found in _reach(element, path, depth)]
    if depth == len(path):
        return [value]
    if isinstance(value, dict):
        return _reach(value.get(path[depth]), path, depth + 1)
    if isinstance(value, msgspec.Struct):
        return _reach(getattr(value, path[depth], None), path, depth + 1)
    return []


def _comparable(value: Any, literal: Value, number: float | None) -> tuple[Any, Any]:
    """Return both sides as values of one type; the right one is None where the literal is not of the type."""
    if isinstance(value, bool):
        return value, {"true": True, "false": False}.get(literal.text)
    if isinstance(value, IntEnum) and number is None:
        return value, type(value).__members__.get(literal.text.upper())
    if isinstance(value, int | float):
        return value, number
    text = _written(value)
    # Dimension values are strings, but people mean bitrate_kbps>1000 as numbers.
    if number is not None and (read := Value(text).number) is not None:
        return read, number
    return text, literal.text


def _written(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, IntEnum):
        return value.name.lower()
    return str(value)
