"""The AsyncAPI document is valid, complete and current."""

from __future__ import annotations

import copy
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from topics import ALL, DEAD_LETTERS, AnySpec
from topics.asyncapi import document
from topics.examples import examples_of

ROOT = Path(__file__).parents[2]
META_SCHEMA = json.loads((ROOT / "tests/data/asyncapi/3.0.0.json").read_text(encoding="utf-8"))


def written() -> dict[str, Any]:
    return document(ALL, lambda spec, packed: examples_of(spec, packed=packed), metadata.version("playhead"))


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return written()


def errors_in(described: dict[str, Any]) -> list[str]:
    found = Draft7Validator(META_SCHEMA).iter_errors(described)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def test_the_document_keeps_to_asyncapi_3(described: dict[str, Any]) -> None:
    assert errors_in(described) == []


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (("asyncapi",), "2.6.0"),
        (("channels", "playback", "address"), 5),
        (("channels", "playback", "bindings", "kafka", "partitions"), 0),
        (("operations", "send.playback", "action"), "publish"),
        (("components", "messages", "Beat", "bindings", "kafka", "key"), "session"),
        (("components", "schemas", "Beat", "type"), "record"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else str(value),
)
def test_the_check_finds_what_asyncapi_forbids(
    described: dict[str, Any], at: tuple[str, ...], wrong: object
) -> None:
    broken = copy.deepcopy(described)
    inner = broken
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = wrong

    assert errors_in(broken) != []


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [each for item in node for each in references(item)]
        if isinstance(node, dict):
            here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return here + [each for value in node.values() for each in references(value)]
        return []

    for reference in references(described):
        at: Any = described
        for name in reference.removeprefix("#/").split("/"):
            at = at[name]


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_a_topic_has_its_channel_messages_and_operations(described: dict[str, Any], spec: AnySpec) -> None:
    channel = described["channels"][spec.name]
    names = [record.__name__ for record in (spec.value, spec.packed) if record is not None]

    assert channel["address"] == f"{{prefix}}{spec.name}"
    assert channel["bindings"]["kafka"]["partitions"] == spec.partitions
    assert list(channel["messages"]) == names
    assert (
        described["components"]["messages"][names[0]]["bindings"]["kafka"]["key"]["description"] == spec.key
    )
    for action, parties in (("send", spec.producers), ("receive", spec.consumers)):
        operation = described["operations"][f"{action}.{spec.name}"]
        assert operation["action"] == action
        assert tuple(tag["name"] for tag in operation["tags"]) == parties


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_the_examples_keep_to_the_schemas(described: dict[str, Any], spec: AnySpec) -> None:
    for record in (spec.value, spec.packed):
        if record is None:
            continue
        message = described["components"]["messages"][record.__name__]
        validator = Draft7Validator(message["payload"] | {"components": described["components"]})
        for example in message["examples"]:
            assert [error.message for error in validator.iter_errors(example["payload"])] == []


def test_a_pair_in_a_list_is_described_as_draft_7_has_it(described: dict[str, Any]) -> None:
    schemas = {"components": described["components"]}
    validator = Draft7Validator({"$ref": "#/components/schemas/DeadLetter"} | schemas)
    letter = examples_of(DEAD_LETTERS)[0]

    assert validator.is_valid(letter | {"headers": [["name", "MQ=="]]})
    assert not validator.is_valid(letter | {"headers": [["name", "MQ==", "more"]]})
    assert not validator.is_valid(letter | {"headers": [["name", 1]]})


def test_fields_are_described_in_the_words_of_their_module(described: dict[str, Any]) -> None:
    beat = described["components"]["schemas"]["Beat"]["properties"]

    assert beat["bitrate_kbps"]["description"].startswith("Encoded bitrate of the rendition on screen")


def test_the_committed_document_is_current() -> None:
    committed = json.loads((ROOT / "docs/asyncapi.json").read_text(encoding="utf-8"))

    assert committed == json.loads(json.dumps(written())), (
        "run `playhead topics asyncapi -o docs/asyncapi.json`"
    )
