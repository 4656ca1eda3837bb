"""What holds of every contract, and that a change that breaks one is told."""

from __future__ import annotations

import re

import pytest

from topics import ALL, BY_NAME, AnySpec, Cleanup
from topics.evolution import agreed, changes, lock_of
from topics.spec import MAX_RECORD_BYTES

each = pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
KAFKA_NAME = re.compile(r"[a-z][a-z.-]{0,99}")


def test_no_change_breaks_what_was_agreed() -> None:
    breaking = [str(change) for change in changes(agreed(), lock_of(ALL)) if change.breaking]

    assert breaking == [], "keep what was agreed on: add a field or a topic beside the old one"


def test_the_lock_agrees_with_the_contracts() -> None:
    found = [str(change) for change in changes(agreed(), lock_of(ALL))]

    assert found == [], "run `playhead topics lock`"


def test_no_two_topics_share_a_name_or_a_record() -> None:
    records = [record for spec in ALL for record in (spec.value, spec.packed) if record is not None]

    assert len(BY_NAME) == len(ALL)
    assert len({record.__name__ for record in records}) == len(records)


@each
def test_a_name_is_one_that_kafka_takes(spec: AnySpec) -> None:
    assert KAFKA_NAME.fullmatch(spec.name)


@each
def test_a_contract_says_what_it_carries_and_for_whom(spec: AnySpec) -> None:
    assert spec.describes.endswith(".")
    assert spec.key
    assert spec.producers
    assert spec.consumers
    assert spec.value.__doc__


@each
def test_the_broker_is_asked_for_what_the_contract_promises(spec: AnySpec) -> None:
    asked = spec.broker_config()

    assert asked["cleanup.policy"] == spec.cleanup
    assert ("retention.ms" in asked) == (spec.cleanup is Cleanup.DELETE)
    assert int(asked.get("max.message.bytes", MAX_RECORD_BYTES)) >= spec.max_bytes


@each
def test_a_prefix_stands_before_the_name(spec: AnySpec) -> None:
    assert spec.full_name("trial.") == f"trial.{spec.name}"
