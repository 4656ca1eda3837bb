"""Every contract shows examples of its records, and they are true."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec
import pytest

from topics import ALL, BY_NAME, AnySpec
from topics.examples import examples_of

CONTRACTS = [(spec, packed) for spec in ALL for packed in (False, True) if not packed or spec.packed]
each_contract = pytest.mark.parametrize(
    ("spec", "packed"), CONTRACTS, ids=[f"{spec.name}{'.packed' * packed}" for spec, packed in CONTRACTS]
)


def decode(spec: AnySpec, example: Mapping[str, Any], *, packed: bool) -> msgspec.Struct:
    if packed:
        assert spec.packed is not None
        return msgspec.json.decode(msgspec.json.encode(example), type=spec.packed)
    if spec.binary:  # the example is the record in JSON, the wire has MessagePack
        record = msgspec.json.decode(msgspec.json.encode(example), type=spec.value)
        assert spec.decode(spec.encode(record)) == record
        return record
    return spec.decode(msgspec.json.encode(example))


def is_part_of(part: Any, whole: Any) -> bool:
    """Whether `whole` says all that `part` says, and perhaps more."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and is_part_of(value, whole[name]) for name, value in part.items()
        )
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(is_part_of, part, whole))
    return bool(part == whole)


@each_contract
def test_an_example_decodes_and_encodes_to_itself(spec: AnySpec, packed: bool) -> None:
    for example in examples_of(spec, packed=packed):
        record = decode(spec, example, packed=packed)

        again = msgspec.json.decode(msgspec.json.encode(record))

        assert is_part_of(example, again)
        assert decode(spec, again, packed=packed) == record


@each_contract
def test_the_examples_of_a_contract_use_every_field(spec: AnySpec, packed: bool) -> None:
    kind = spec.packed if packed else spec.value
    assert kind is not None
    used = {name for example in examples_of(spec, packed=packed) for name in example}

    assert used == set(kind.__struct_encode_fields__)


@pytest.mark.parametrize("spec", [spec for spec in ALL if not spec.internal], ids=lambda spec: spec.name)
def test_an_example_leaves_out_what_may_be_left_out(spec: AnySpec) -> None:
    fewest = min(examples_of(spec), key=len)

    assert len(fewest) < len(spec.value.__struct_encode_fields__)


def test_no_example_is_left_of_a_contract_that_is_gone() -> None:
    files = {
        file.name for file in resources.files("topics.examples").iterdir() if file.name.endswith(".json")
    }

    assert files == {f"{spec.name}{'.packed' * packed}.json" for spec, packed in CONTRACTS}


def test_a_contract_without_examples_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        examples_of(BY_NAME["commands"], packed=True)
