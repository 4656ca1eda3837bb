from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from playhead.refusals import SHOWN_CHARACTERS, Refusal, explain
from topics import EXPERIMENTS, PLAYBACK, RECOMMENDATIONS, TELEMETRY, AnySpec, ContractError


def refusal(spec: AnySpec, line: bytes) -> Refusal:
    with pytest.raises(ContractError) as caught:
        spec.decode(line)
    return explain("samples.jsonl", 12, line, caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"time_ms":1,"service":"a","metric":"m","value":"x"}', 'value = "x": expected float, got str'),
        (b'{"time_ms":1,"metric":"m","value":1}', "service: is missing"),
        (b'{"time_ms":-5,"service":"a","metric":"m","value":1}', "time_ms = -5: expected int >= 0"),
        (b'{"time_ms":1,"service":"a","metric":"m","value":NaN}', "value = NaN: JSON has no such number"),
        (b'{"time_ms":1,"service":"a","metric":"m","value":-Infinity}', "value = -Infinity: JSON has no"),
        (b'{"time_ms":1,"service":"a","metric":"m","value":1e999}', "value = 1e999: number out of range"),
        (
            b'{"time_ms":1,"service":"a","metric":"m","value":1,"tags":{"az":1}}',
            'tags = {"az": "1"}: expected',
        ),
        (b"time,value", "not JSON, invalid character at byte 4: time,value"),
        (b'{"time_ms":1', 'not JSON, it ends too early: {"time_ms":1'),
        (b"[1]", "expected object, got array: [1]"),
        (b" " * 1_000_001, "exceeds the limit of 1000000 bytes"),
    ],
)
def test_a_refusal_names_place_field_value_and_what_was_expected(line: bytes, told: str) -> None:
    text = str(refusal(TELEMETRY, line))

    assert text.startswith(f"samples.jsonl:12: {told}")


def test_a_field_deep_inside_is_named_by_its_path() -> None:
    line = b'{"time_ms":1,"viewer":"v","titles":[{"title":"x","score":1},{"title":"x","score":[]}]}'

    found = refusal(RECOMMENDATIONS, line)

    assert (found.field, found.value) == ("titles[1].score", "[]")


def test_a_missing_field_deep_inside_is_named_by_its_path() -> None:
    line = b'{"time_ms":1,"viewer":"v","titles":[{"title":"x"}]}'

    assert refusal(RECOMMENDATIONS, line).field == "titles[0].score"


def test_a_rule_over_several_fields_is_told_in_its_own_words() -> None:
    line = (
        b'{"time_ms":1,"experiment":"e","traffic":1,"control":"x","metrics":["m"],'
        b'"variants":[{"name":"a","share":0.5},{"name":"b","share":0.5}]}'
    )

    assert "control 'x' is not among the variants" in str(refusal(EXPERIMENTS, line))


@steady
@given(st.binary() | st.text().map(str.encode))
def test_any_line_that_is_refused_can_be_explained_in_a_line(line: bytes) -> None:
    for spec in (TELEMETRY, PLAYBACK):
        try:
            spec.decode(line)
        except ContractError as error:
            told = explain("f", 1, line, error)
            assert len(told.value) <= SHOWN_CHARACTERS
            assert str(told).isprintable() or not line.decode(errors="replace").isprintable()
