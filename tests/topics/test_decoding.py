"""Decoding is strict on what a contract names, passes over what it does not, and fails in one way only."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from topics import ALL, LANE_STATE, PLAYBACK, TELEMETRY, AnySpec, ContractError
from topics.examples import examples_of

JSON_SPECS = [spec for spec in ALL if not spec.binary]
each_json = pytest.mark.parametrize("spec", JSON_SPECS, ids=lambda spec: spec.name)
each = pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
steady = settings(derandomize=True, deadline=None, max_examples=30)

SAMPLE = b'{"time_ms": 1, "service": "payment", "metric": "error_rate", "value": %b}'
DEEP = 200_000


def refusal(spec: AnySpec, data: bytes) -> str:
    """Return why `data` is refused, or nothing when it is taken."""
    try:
        spec.decode(data)
    except ContractError as error:
        return error.reason
    return ""


def reason_of(spec: AnySpec, data: bytes | None) -> str:
    with pytest.raises(ContractError) as caught:
        spec.decode(data)
    assert caught.value.topic == spec.name
    assert str(caught.value) == f"{spec.name}: {caught.value.reason}"
    return caught.value.reason


@each_json
def test_fields_that_no_contract_names_are_passed_over(spec: AnySpec) -> None:
    known = examples_of(spec)[0]
    newer = {"a_new_field": {"of": ["any", 1, None]}} | known

    assert spec.decode(msgspec.json.encode(newer)) == spec.decode(msgspec.json.encode(known))


@each_json
def test_a_missing_field_is_named(spec: AnySpec) -> None:
    full = examples_of(spec)[0]
    for field in msgspec.structs.fields(spec.value):
        if not field.required:
            continue
        without = {name: value for name, value in full.items() if name != field.name}

        assert f"missing required field `{field.name}`" in reason_of(spec, msgspec.json.encode(without))


@each_json
@pytest.mark.parametrize("wrong", [b'"a text"', b"-1.5", b"true", b"[[[]]]", b'{"a": {}}'])
def test_a_field_of_the_wrong_type_is_named(spec: AnySpec, wrong: bytes) -> None:
    full = examples_of(spec)[0]
    refusals = {name: refusal(spec, msgspec.json.encode(full | {name: msgspec.Raw(wrong)})) for name in full}

    assert any(refusals.values())
    assert [name for name, reason in refusals.items() if reason and name not in reason] == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"NaN", "JSON is malformed"),
        (b"Infinity", "JSON is malformed"),
        (b"-Infinity", "JSON is malformed"),
        (b"1e999", "out of range - at `$.value`"),
        (b"9" * 400, "out of range - at `$.value`"),
        (b"9" * 5_000, "out of range - at `$.value`"),
        (b'"high"', "Expected `float`, got `str` - at `$.value`"),
        (b"null", "Expected `float`, got `null` - at `$.value`"),
    ],
)
def test_a_number_that_is_none_is_refused(value: bytes, reason: str) -> None:
    assert reason in reason_of(TELEMETRY, SAMPLE % value)


@pytest.mark.parametrize("time_ms", ["-1", "1.5", "1781980200000000", "9" * 30, "9" * 5_000, '"2026-06-20"'])
def test_a_time_that_is_no_epoch_in_ms_is_refused(time_ms: str) -> None:
    data = (SAMPLE % b"1").replace(b'"time_ms": 1', f'"time_ms": {time_ms}'.encode())

    assert "at `$.time_ms`" in reason_of(TELEMETRY, data)


def test_a_bound_is_told_with_its_field() -> None:
    data = b'{"time_ms": 1, "session_id": "s", "state": "playing", "play_ms": -1}'

    assert reason_of(PLAYBACK, data) == "Expected `int` >= 0 - at `$.play_ms`"


def test_a_value_that_no_list_has_is_told_with_its_field() -> None:
    data = b'{"time_ms": 1, "session_id": "s", "state": "dancing"}'

    assert reason_of(PLAYBACK, data) == "Invalid enum value 'dancing' - at `$.state`"


def test_text_that_is_no_utf_8_is_quoted() -> None:
    data = b'{"time_ms": 1, "service": "pay\xffment", "metric": "error_rate", "value": 1}'

    assert reason_of(TELEMETRY, data) == r"a text is no UTF-8: b'pay\xffment'"


def test_half_a_surrogate_is_refused_for_no_key_could_hold_it() -> None:
    data = b'{"time_ms": 1, "service": "\\ud800", "metric": "error_rate", "value": 1}'

    assert "surrogate" in reason_of(TELEMETRY, data)


@each
def test_a_tombstone_is_told(spec: AnySpec) -> None:
    assert "tombstone" in reason_of(spec, None)


@each
def test_a_value_over_the_limit_is_refused_undecoded(spec: AnySpec) -> None:
    data = b" " * (spec.max_bytes + 1)

    assert reason_of(spec, data) == f"{spec.max_bytes + 1} bytes exceed the limit of {spec.max_bytes}"


@pytest.mark.parametrize(
    "data",
    [
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b'{"a_new_field": ' + b"[" * DEEP + b"]" * DEEP + b', "time_ms": 1}',
        b'{"tags": ' + b"[" * DEEP,
    ],
    ids=["lists", "objects", "in a field passed over", "in a field that is read"],
)
def test_nesting_without_end_is_refused(data: bytes) -> None:
    assert reason_of(TELEMETRY, data)


@each
@pytest.mark.parametrize(
    "data", [b"", b" ", b"null", b"[]", b"1", b'"text"', b"{", b"{}{}", b"\x00", b"\xff\xfe"]
)
def test_what_is_no_record_is_refused(spec: AnySpec, data: bytes) -> None:
    assert reason_of(spec, data)


def test_json_is_no_record_where_the_contract_says_messagepack() -> None:
    assert reason_of(LANE_STATE, msgspec.json.encode(examples_of(LANE_STATE)[0]))


@each
@given(data=st.binary(max_size=200))
@example(data=b"\xc1")
@example(data=b"\xdf\xff\xff\xff\xff")
@steady
def test_no_bytes_make_decoding_fail_in_another_way(spec: AnySpec, data: bytes) -> None:
    taken_or_refused(spec, data)


@each_json
@given(data=st.data())
@steady
def test_no_damage_to_a_record_makes_decoding_fail_in_another_way(spec: AnySpec, data: st.DataObject) -> None:
    whole = msgspec.json.encode(data.draw(st.sampled_from(examples_of(spec))))
    at = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, 8))
    instead = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from(NASTY)))

    taken_or_refused(spec, whole[:at] + instead + whole[at + length :])


@each_json
@given(data=st.data())
@steady
def test_no_value_of_a_field_makes_decoding_fail_in_another_way(spec: AnySpec, data: st.DataObject) -> None:
    record = data.draw(st.sampled_from(examples_of(spec)))
    name = data.draw(st.sampled_from(sorted(record)))
    value = data.draw(st.one_of(JSON_VALUES.map(msgspec.json.encode), st.sampled_from(NASTY)))

    taken_or_refused(spec, msgspec.json.encode(record | {name: "@@"}).replace(b'"@@"', value))


NASTY = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1e-999",
    b"9" * 5_000,
    b'"\\ud800"',
    b'"\xff"',
    b"[" * 5_000,
    b"\x00",
]

JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def taken_or_refused(spec: AnySpec, data: bytes) -> None:
    if refusal(spec, data):
        return
    record = spec.decode(data)
    assert spec.decode(spec.encode(record)) == record
    assert spec.key_of(record).encode() is not None
