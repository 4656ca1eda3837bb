"""Moving the times in records, so that an old recording plays as of now.

Every event time that the contracts name moves by the same amount, at any depth; lengths of time, ids and what
no contract names stay. The values are then no longer those that were recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

from topics import BY_NAME
from topics.fields import MAX_TIME_MS
from topics.spec import AnySpec

Move = Callable[[Any], Any]


class Shift:
    """Moves event times by `by_ms`.

    Example:
        >>> Shift(1_000)("telemetry", b'{"time_ms":5,"service":"a","metric":"b","value":1,"new":2}', False)
        b'{"time_ms":1005,"service":"a","metric":"b","value":1,"new":2}'
    """

    def __init__(self, by_ms: int) -> None:
        self._by_ms = by_ms
        self._moves: dict[tuple[str, bool], Move | None] = {}

    def __call__(self, topic: str, value: bytes, packed: bool) -> bytes:
        """Return `value` with its times moved; as it is where it is no record of `topic`."""
        spec = BY_NAME[topic]
        move = self._move_of(spec, packed)
        if move is None:
            return value
        try:
            if spec.binary:
                return msgspec.msgpack.encode(move(msgspec.msgpack.decode(value)))
            return msgspec.json.encode(move(msgspec.json.decode(value)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return value

    def _move_of(self, spec: AnySpec, packed: bool) -> Move | None:
        at = (spec.name, packed)
        if at not in self._moves:
            record = spec.packed if packed and spec.packed is not None else spec.value
            self._moves[at] = _move(inspect.type_info(record), self._by_ms)
        return self._moves[at]


def _move(kind: inspect.Type, by_ms: int) -> Move | None:
    """Return what moves the times in plain values of `kind`; None where there are none."""
    match kind:
        case inspect.IntType(ge=0, le=le) if le == MAX_TIME_MS:
            return lambda value: min(max(value + by_ms, 0), MAX_TIME_MS) if isinstance(value, int) else value
        case inspect.Metadata(type=inner):
            return _move(inner, by_ms)
        case inspect.UnionType(types=several):
            return next((move for each in several if (move := _move(each, by_ms)) is not None), None)
        case inspect.ListType(item_type=item):
            each = _move(item, by_ms)
            return None if each is None else _over_list(each)
        case inspect.StructType(fields=fields):
            moves = {
                field.encode_name: move for field in fields if (move := _move(field.type, by_ms)) is not None
            }
            return _over_fields(moves) if moves else None
        case _:
            return None


def _over_list(move: Move) -> Move:
    return lambda value: [move(element) for element in value] if isinstance(value, list) else value


def _over_fields(moves: dict[str, Move]) -> Move:
    def moved(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: moves[name](inner) if name in moves else inner for name, inner in value.items()}

    return moved
