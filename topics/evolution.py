"""What may change in a contract and what may not.

The contracts as last agreed stand in ``contracts.lock.json``. Records written under them are in the topics
and readers built on them are running, so a change breaks something when a record that was good becomes bad,
when a field that was read is gone, or when a record that says nothing new comes to mean something else.
Additions break nothing: decoding passes over what it does not know, and what is missing has its default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from math import inf
from typing import Any

import msgspec

from topics.spec import AnySpec

LOCK_FILE = "contracts.lock.json"

Json = dict[str, Any]

LOWER_BOUNDS = (("minimum", "exclusiveMinimum"), ("minLength",), ("minItems",), ("minProperties",))
UPPER_BOUNDS = (("maximum", "exclusiveMaximum"), ("maxLength",), ("maxItems",), ("maxProperties",))
RESTRICTIONS = ("pattern", "multipleOf")
NATURES = ("format", "contentEncoding")
UNSTATED = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference of a contract: where, what, and whether it breaks records or readers."""

    where: str
    """Topic, or topic and field: ``playback.bitrate_kbps``."""
    rule: str
    breaking: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}"


def lock_of(specs: Iterable[AnySpec]) -> Json:
    """Return what is agreed on: all of `specs` that records and readers rely on, without the words."""
    return {
        spec.name: {
            "key": spec.key,
            "partitions": spec.partitions,
            "cleanup": spec.cleanup.value,
            "retention_hours": spec.retention_hours,
            "encoding": "msgpack" if spec.binary else "json",
            "max_bytes": spec.max_bytes,
            "value": schema_of(spec.value),
            "packed": None if spec.packed is None else schema_of(spec.packed),
        }
        for spec in specs
    }


def agreed() -> Json:
    """Return the committed lock."""
    text = resources.files("topics").joinpath(LOCK_FILE).read_bytes()
    lock: Json = msgspec.json.decode(text)
    return lock


def schema_of(record: type[msgspec.Struct]) -> Json:
    """Return the JSON schema of `record` with every reference put in place, without its words."""
    schema = msgspec.json.schema(record)
    definitions = schema.get("$defs", {})

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            rest = {name: value for name, value in node.items() if name != "$ref"}
            return {**plain(definitions[node["$ref"].rpartition("/")[2]]), **plain(rest)}
        return {
            name: _plain_fields(value, plain) if name == "properties" else plain(value)
            for name, value in node.items()
            if name not in ("title", "description", "$defs")
        }

    resolved: Json = plain(schema)
    return resolved


def _plain_fields(fields: Mapping[str, Any], plain: Any) -> Json:
    # A field may itself be called "title" or "description".
    return {name: plain(schema) for name, schema in fields.items()}


def changes(old: Json, new: Json) -> list[Change]:
    """Return every difference between two locks, the breaking ones first."""
    return sorted(_differences(old, new), key=lambda change: (not change.breaking, change.where))


def _differences(old: Json, new: Json) -> Iterator[Change]:
    for name in old.keys() | new.keys():
        if name not in new:
            yield Change(name, "the topic was removed", breaking=True)
        elif name not in old:
            yield Change(name, "the topic is new", breaking=False)
        else:
            yield from _topic(name, old[name], new[name])


def _topic(name: str, old: Json, new: Json) -> Iterator[Change]:
    for what, word in (
        ("key", "key's meaning"),
        ("cleanup", "cleanup"),
        ("encoding", "encoding"),
    ):
        if old[what] != new[what]:
            yield Change(name, f"the {word} changed from {old[what]!r} to {new[what]!r}", breaking=True)
    for what in ("partitions", "max_bytes", "retention_hours"):
        if old[what] != new[what]:
            lowered = new[what] < old[what]
            rule = f"{what} {'lowered' if lowered else 'raised'} from {old[what]} to {new[what]}"
            yield Change(name, rule, breaking=lowered and what != "retention_hours")
    yield from _schema(name, old["value"], new["value"])
    before, after = old["packed"], new["packed"]
    if before is not None and after is not None:
        yield from _schema(f"{name} (packed)", before, after)
    elif before is not None:
        yield Change(name, "packed records were removed", breaking=True)
    elif after is not None:
        yield Change(name, "packed records are new", breaking=False)


def _schema(where: str, old: Json, new: Json) -> Iterator[Change]:
    before, after = _alternatives(old), _alternatives(new)
    for kind in before.keys() - after.keys():
        if not _covered(kind, before[kind], after):
            rule = f"the type changed: {kind} is no longer taken, {_list(after)} expected"
            yield Change(where, rule, breaking=True)
    for kind in after.keys() - before.keys():
        yield Change(where, f"{kind} is taken too", breaking=False)
    for kind in before.keys() & after.keys():
        yield from _same_type(where, before[kind], after[kind])


def _alternatives(schema: Json) -> dict[str, Json]:
    """Return a schema for each JSON type that `schema` takes."""
    if "anyOf" in schema:
        return {kind: inner for choice in schema["anyOf"] for kind, inner in _alternatives(choice).items()}
    if "enum" in schema:
        return {"enum": schema}
    return {schema.get("type", "anything"): schema}


def _covered(kind: str, schema: Json, by: Mapping[str, Json]) -> bool:
    """Whether another of the types that are taken now takes all of `kind`."""
    if kind == "enum":
        return "string" in by and all(isinstance(value, str) for value in schema["enum"])
    return kind == "integer" and "number" in by


def _same_type(where: str, old: Json, new: Json) -> Iterator[Change]:
    yield from _bounds(where, old, new)
    yield from _enum(where, old.get("enum", []), new.get("enum", []))
    yield from _fields(where, old, new)
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(old.get(word), dict) and isinstance(new.get(word), dict):
            yield from _schema(f"{where}{mark}", old[word], new[word])
    before, after = old.get("prefixItems", []), new.get("prefixItems", [])
    if len(before) != len(after):
        rule = f"the number of items changed from {len(before)} to {len(after)}"
        yield Change(where, rule, breaking=True)
    else:
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _schema(f"{where}[{index}]", one, other)


def _bounds(where: str, old: Json, new: Json) -> Iterator[Change]:
    for words, sign in (*((each, 1) for each in LOWER_BOUNDS), *((each, -1) for each in UPPER_BOUNDS)):
        before, after = _tightness(words, sign, old), _tightness(words, sign, new)
        if before != after:
            narrowed = after > before
            said = f"from {_bound(words, old)} to {_bound(words, new)}"
            rule = f"{words[0]} {'narrowed' if narrowed else 'widened'} {said}"
            yield Change(where, rule, breaking=narrowed)
    for word in (*RESTRICTIONS, *NATURES):
        one, other = old.get(word), new.get(word)
        if one != other:
            breaking = word in NATURES or other is not None
            yield Change(where, f"{word} changed from {one} to {other}", breaking=breaking)


def _tightness(words: tuple[str, ...], sign: int, schema: Json) -> tuple[float, bool]:
    """Return what grows with how much a bound excludes; an exclusive bound excludes one value more."""
    bounds = [(sign * schema[word], word.startswith("exclusive")) for word in words if word in schema]
    return max(bounds, default=(-inf, False))


def _bound(words: tuple[str, ...], schema: Json) -> str:
    said = [f"{'beyond ' * word.startswith('exclusive')}{schema[word]}" for word in words if word in schema]
    return " and ".join(said) or "none"


def _enum(where: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    for value in old:
        if value not in new:
            yield Change(where, f"the value {value!r} was removed", breaking=True)
    for value in new:
        if value not in old:
            yield Change(where, f"the value {value!r} is new", breaking=False)


def _fields(where: str, old: Json, new: Json) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    required_before, required_after = old.get("required", []), new.get("required", [])
    for name in before.keys() | after.keys():
        field = f"{where}.{name}"
        if name not in after:
            yield Change(field, "the field was removed", breaking=True)
            continue
        if name not in before:
            if name in required_after:
                yield Change(field, "the new field has no default: older records lack it", breaking=True)
            else:
                yield Change(field, "the field is new", breaking=False)
            continue
        if name in required_after and name not in required_before:
            yield Change(field, "the field became required: older records may lack it", breaking=True)
        elif name in required_before and name not in required_after:
            yield Change(field, "the field became optional", breaking=False)
        else:
            yield from _default(field, before[name], after[name])
        yield from _schema(field, before[name], after[name])


def _default(field: str, old: Json, new: Json) -> Iterator[Change]:
    before, after = old.get("default", UNSTATED), new.get("default", UNSTATED)
    if before != after:
        rule = f"the default changed from {before!r} to {after!r}: older records come to mean another thing"
        # A record for a default grows with the record's own additions.
        grown = isinstance(before, dict) and isinstance(after, dict) and before.items() <= after.items()
        yield Change(field, "the default has more fields" if grown else rule, breaking=not grown)


def _list(kinds: Iterable[str]) -> str:
    return " or ".join(sorted(kinds))
