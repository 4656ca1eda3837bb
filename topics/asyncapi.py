"""The contracts as an AsyncAPI 3.0 document (asyncapi.com/docs/reference/specification/v3.0.0).

Schemas come from the record types. They are brought from JSON Schema 2020-12, which msgspec writes, to the
draft-07 that AsyncAPI takes by default: the two differ in how they write a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from topics.notes import notes_of
from topics.spec import ENCODING_HEADER, PACKED, AnySpec, Cleanup

VERSION = "3.0.0"
KAFKA_BINDING = "0.5.0"

Json = dict[str, Any]
ExamplesOf = Callable[[AnySpec, bool], Sequence[Mapping[str, Any]]]


def document(specs: Sequence[AnySpec], examples_of: ExamplesOf, version: str) -> Json:
    """Return the document.

    Args:
        specs: the contracts, in the order they are to stand.
        examples_of: returns the records to show of a contract, single ones or packed ones.
        version: of the contracts.
    """
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Playhead",
            "version": version,
            "description": "Every stream that Playhead reads and writes on Kafka. Decoding is strict on the "
            "fields named here and passes over others, so that contracts evolve by addition.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{brokers}",
                "protocol": "kafka",
                "description": "What PLAYHEAD_BROKERS names, else what `playhead up` started.",
                "variables": {"brokers": {"default": "localhost:9092"}},
            }
        },
        "channels": {spec.name: _channel(spec) for spec in specs},
        "operations": {name: operation for spec in specs for name, operation in _operations(spec)},
        "components": {
            "parameters": {
                "prefix": {"default": "", "description": "All topics of a run share it (PLAYHEAD_PREFIX)."}
            },
            "messages": {
                name: message for spec in specs for name, message in _messages(spec, examples_of).items()
            },
            "schemas": _schemas(specs),
        },
    }


def _channel(spec: AnySpec) -> Json:
    names = [record.__name__ for record in _records(spec)]
    return {
        "address": f"{{prefix}}{spec.name}",
        "summary": spec.describes,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "tags": [{"name": "internal"}] if spec.internal else [],
        "bindings": {
            "kafka": {
                "partitions": spec.partitions,
                "topicConfiguration": _topic_configuration(spec),
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _topic_configuration(spec: AnySpec) -> Json:
    asked: Json = {"cleanup.policy": [spec.cleanup.value], "max.message.bytes": spec.max_bytes}
    if spec.cleanup is Cleanup.DELETE:
        asked["retention.ms"] = int(spec.broker_config()["retention.ms"])
    return asked


def _operations(spec: AnySpec) -> Iterable[tuple[str, Json]]:
    for action, parties, says in (
        ("send", spec.producers, "Sent by"),
        ("receive", spec.consumers, "Read by"),
    ):
        yield (
            f"{action}.{spec.name}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{spec.name}"},
                "summary": f"{says}: {', '.join(parties)}.",
                "tags": [{"name": party} for party in parties],
            },
        )


def _messages(spec: AnySpec, examples_of: ExamplesOf) -> dict[str, Json]:
    messages = {}
    for record in _records(spec):
        packed = record is spec.packed
        message: Json = {
            "name": record.__name__,
            "title": f"{record.__name__} on {spec.name}",
            "summary": (record.__doc__ or "").partition("\n")[0],
            "contentType": "application/msgpack" if spec.binary else "application/json",
            "payload": {"$ref": f"#/components/schemas/{record.__name__}"},
            "bindings": {
                "kafka": {
                    "key": {"type": "string", "description": f"{spec.key}{', or none' if packed else ''}"},
                    "bindingVersion": KAFKA_BINDING,
                }
            },
            "examples": [{"payload": dict(example)} for example in examples_of(spec, packed)],
        }
        if packed:
            message["headers"] = {
                "type": "object",
                "required": [ENCODING_HEADER],
                "properties": {ENCODING_HEADER: {"type": "string", "const": PACKED}},
            }
        messages[record.__name__] = message
    return messages


def _records(spec: AnySpec) -> list[type[msgspec.Struct]]:
    return [spec.value] if spec.packed is None else [spec.value, spec.packed]


def _schemas(specs: Iterable[AnySpec]) -> dict[str, Json]:
    records = [record for spec in specs for record in _records(spec)]
    _, schemas = msgspec.json.schema_components(records, ref_template="#/components/schemas/{name}")
    notes = {record.__name__: notes_of(record) for record in _structs(records)}
    return {name: _with_notes(_draft_07(schema), notes.get(name, {})) for name, schema in schemas.items()}


def _structs(records: Iterable[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    """Return `records` and every record inside them."""
    found: set[type[msgspec.Struct]] = set()

    def look(at: Any) -> None:
        if isinstance(at, msgspec.inspect.StructType):
            if at.cls in found:
                return
            found.add(at.cls)
            for field in at.fields:
                look(field.type)
        for part in ("item_type", "key_type", "value_type"):
            if (inner := getattr(at, part, None)) is not None:
                look(inner)
        for part in ("item_types", "types"):
            for inner in getattr(at, part, ()):
                look(inner)

    for record in records:
        look(msgspec.inspect.type_info(record))
    return found


def _draft_07(node: Any) -> Any:
    if isinstance(node, list):
        return [_draft_07(item) for item in node]
    if not isinstance(node, dict):
        return node
    moved = {name: _draft_07(value) for name, value in node.items()}
    if "prefixItems" in moved:
        moved["additionalItems"] = moved.pop("items", True)
        moved["items"] = moved.pop("prefixItems")
    return moved


def _with_notes(schema: Json, notes: Mapping[str, str]) -> Json:
    for field, note in notes.items():
        inner = schema["properties"][field]
        # Beside a $ref draft-07 reads nothing: the note and the reference stand in a pair.
        schema["properties"][field] = (
            {"allOf": [{"$ref": inner.pop("$ref")}], "description": note, **inner}
            if "$ref" in inner
            else {**inner, "description": note}
        )
    return schema
