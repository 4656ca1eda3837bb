"""Hypothesis strategies for the records of the contracts, built from their types."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from topics.cohorts import MEASURES, CohortParts, Sketch
from topics.encoding import Shot
from topics.experiments import Experiment, Variant
from topics.telemetry import Samples
from topics.telemetry_windows import SeriesWindows

Fields = dict[str, Any]

INT64 = 2**63 - 1
ITEMS = 3
CHARACTERS = 12


@cache
def records(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return records of `kind` that keep its contract; made once, for making it costs more than a record."""
    return _values(inspect.type_info(kind))


def _values(at: Any) -> st.SearchStrategy[Any]:
    match at:
        case inspect.Metadata():
            return _values(at.type)
        case inspect.StructType():
            return _structs(at)
        case inspect.UnionType():
            return st.one_of(*map(_values, at.types))
        case inspect.EnumType():
            return st.sampled_from(at.cls)
        case inspect.LiteralType():
            return st.sampled_from(at.values)
        case inspect.ListType() | inspect.VarTupleType():
            most = min(at.max_length or ITEMS, max(at.min_length or 0, ITEMS))
            items = st.lists(_values(at.item_type), min_size=at.min_length or 0, max_size=most)
            return items if isinstance(at, inspect.ListType) else items.map(tuple)
        case inspect.TupleType():
            return st.tuples(*map(_values, at.item_types))
        case inspect.DictType():
            return st.dictionaries(_values(at.key_type), _values(at.value_type), max_size=ITEMS)
        case _:
            return _scalars(at)


def _scalars(at: Any) -> st.SearchStrategy[Any]:
    match at:
        case inspect.StrType():
            most = min(at.max_length or CHARACTERS, max(at.min_length or 0, CHARACTERS))
            if at.pattern is not None:
                # Texts of a pattern are of its characters, so shortening one leaves it within the pattern.
                return st.from_regex(at.pattern, fullmatch=True).map(lambda text: text[:most])
            return st.text(min_size=at.min_length or 0, max_size=most)
        case inspect.IntType():
            return st.integers(
                at.gt + 1 if at.gt is not None else -INT64 if at.ge is None else at.ge,
                at.lt - 1 if at.lt is not None else INT64 if at.le is None else at.le,
            )
        case inspect.FloatType():
            low, high = (at.gt if at.ge is None else at.ge), (at.lt if at.le is None else at.le)
            exclusive = {"exclude_min": at.gt is not None, "exclude_max": at.lt is not None}
            return st.floats(low, high, allow_nan=False, allow_infinity=False, **exclusive)
        case inspect.BoolType():
            return st.booleans()
        case inspect.BytesType():
            return st.binary(max_size=CHARACTERS)
        case inspect.NoneType():
            return st.none()
    raise NotImplementedError(f"no strategy for {at}")


def _structs(at: inspect.StructType) -> st.SearchStrategy[Any]:
    fields = st.fixed_dictionaries({field.name: _values(field.type) for field in at.fields})
    mend = MENDS.get(at.cls, dict)
    return fields.map(lambda drawn: at.cls(**mend(drawn)))


def _mend_samples(drawn: Fields) -> Fields:
    count = min(len(drawn[column]) for column in ("which", "time_ms", "value")) if drawn["series"] else 0
    return drawn | {
        "which": [which % len(drawn["series"]) for which in drawn["which"][:count]],
        "time_ms": drawn["time_ms"][:count],
        "value": drawn["value"][:count],
        "id": (drawn["id"] * count)[:count],
    }


def _mend_windows(drawn: Fields) -> Fields:
    columns = ("series", "count", "mean", "min", "max", "variance")
    count = min(len(drawn[column]) for column in columns)
    return drawn | {column: drawn[column][:count] for column in columns}


def _mend_shot(drawn: Fields) -> Fields:
    first, last = sorted((drawn["start_ms"], drawn["end_ms"]))
    return drawn | ({"start_ms": first, "end_ms": last} if first < last else {"start_ms": 0, "end_ms": 1})


def _mend_experiment(drawn: Fields) -> Fields:
    arms = [f"arm-{number}" for number in range(len(drawn["variants"]))]
    return drawn | {
        "variants": [Variant(name=arm, share=1 / len(arms)) for arm in arms],
        "control": arms[0],
        "layer_start": min(drawn["layer_start"], 1 - drawn["traffic"]),
    }


def _mend_sketch(drawn: Fields) -> Fields:
    count = min(len(column) for column in drawn.values())
    return {name: column[:count] for name, column in drawn.items()}


def _mend_parts(drawn: Fields) -> Fields:
    cells = [["x"] * len(drawn["dimensions"]) for _ in drawn["cells"]]
    measures = {name: [1.0] * len(cells) for name in MEASURES}
    return drawn | {"cells": cells, "sketches": {}, "measures": measures}


MENDS: dict[type[msgspec.Struct], Callable[[Fields], Fields]] = {
    Samples: _mend_samples,
    SeriesWindows: _mend_windows,
    Shot: _mend_shot,
    Experiment: _mend_experiment,
    CohortParts: _mend_parts,
    Sketch: _mend_sketch,
}
"""What a field's type cannot say: these records have fields that depend on one another."""
