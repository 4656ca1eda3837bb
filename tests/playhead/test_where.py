from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from playhead.where import Condition, WhereError, check, parse
from topics import ANOMALIES, COMMANDS, DEAD_LETTERS, INCIDENTS, PLAYBACK, TELEMETRY
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.commands import Command, CommandKind
from topics.telemetry import Sample

PLACE = {"$topic": "anomalies", "$partition": 2, "$offset": 41, "$key": b"payment", "$time_ms": 1_000}

ANOMALY = Anomaly(
    time_ms=5,
    subject="cdn=3",
    series="cdn=3/stalled_ratio",
    phase=Phase.START,
    kind=AnomalyKind.STREAMING_QUALITY_DROP,
    severity=Severity.HIGH,
    score=0.9,
    confidence=0.8,
    metric="stalled_ratio",
    value=0.3,
    cell={"cdn": "3", "bitrate_kbps": "4300", "odd name": "x.y"},
    causes=[
        Cause(cell={"isp": "3320"}, score=0.9, excess_viewers=10, explained=0.7, contrast=""),
        Cause(cell={"isp": "6830"}, score=0.2, excess_viewers=1, explained=0.1, contrast=""),
    ],
)


def holds(text: str, record: Any = ANOMALY) -> bool:
    return Condition(parse(text)).holds(record, PLACE.get)


@pytest.mark.parametrize(
    "text",
    [
        "severity>=high",
        "severity==3",
        "severity=HIGH",
        "severity ~ ^hi",
        "phase==start and kind!=latency_spike",
        "value > .25 and value<=3e-1",
        "cell.cdn==3",
        "cell.bitrate_kbps>1000",
        "cell.\"odd name\"=='x.y'",
        "causes.cell.isp==6830",
        "causes.explained>0.5",
        "subject ~ 'cdn=\\\\d'",
        "metric!~latency",
        "value!=high",
        "baseline==null",
        "cell.isp==null",
        "causes",
        "not cell.isp",
        "not (value>1 or phase==end)",
        "NOT value>1 AND severity>low OR phase==end",
        "$partition==2 and $offset>40 and $topic==anomalies and $key==payment and $time_ms<=1000",
    ],
)
def test_it_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "severity>high",
        "severity<medium",
        "baseline>0",
        "baseline!=0",
        "baseline!=null",
        "cell.isp!=3",
        "causes.cell.isp==1",
        "phase==start and phase==end",
        "$partition!=2",
        "value==high",
    ],
)
def test_it_does_not_hold(text: str) -> None:
    assert not holds(text)


def test_truth_values_are_compared_as_such() -> None:
    command = Command(
        time_ms=1,
        kind=CommandKind.STEER,
        target="t",
        generation=1,
        owner="policy",
        reason="r",
        expires_ms=2,
        dry_run=True,
    )

    assert holds("dry_run==true and dry_run and not p2p", command)
    assert not holds("dry_run==false or p2p==true", command)


def test_a_tombstone_has_no_fields() -> None:
    assert holds("severity==null and $offset==41", None)
    assert not holds("severity>=low", None)


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("", 0, "expected a field"),
        ("severity>=", 10, "expected a value"),
        ("severity>=high and", 18, "expected a field"),
        ("(severity>=high", 0, "not closed"),
        ("severity>=high)", 14, "expected `and`"),
        ("severity high", 9, "expected `and`"),
        ("metric=='x", 8, "quote is not closed"),
        ("metric ~ '['", 9, "no regular expression"),
        ("5==3", 0, "no field"),
        ("a..b==3", 0, "no field"),
        ("metric==a'b'", 8, "quoted wholly"),
        ("baseline>null", 9, "null"),
        ("not " * 60 + "a", 204, "within one another"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, at: int, problem: str) -> None:
    with pytest.raises(WhereError) as caught:
        parse(text)

    assert caught.value.at == at
    assert problem in caught.value.problem
    assert str(caught.value).splitlines()[-1].index("^") == at + 2


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("value>1 and sevrity==high", 12, "did you mean severity?"),
        ("severity==awful", 10, "one of low, medium, high, critical"),
        ("kind==outage", 6, "one of latency_spike"),
        ("value>fast", 6, "is a number"),
        ("cell==3", 0, "has parts"),
        ("causes==3", 0, "causes.cell"),
        ("evidence.topic.x==1", 0, "no field evidence.topic.x"),
        ("$offset.x==1", 0, "nothing inside"),
        ("$offset==new", 9, "is a number"),
    ],
)
def test_what_the_contract_does_not_know_is_pointed_at(text: str, at: int, problem: str) -> None:
    with pytest.raises(WhereError) as caught:
        check(parse(text), [ANOMALIES])

    assert caught.value.at == at
    assert problem in caught.value.problem


def test_a_field_of_any_of_the_topics_will_do() -> None:
    check(parse("severity>=high or dry_run==true or kind==steer"), [INCIDENTS, COMMANDS])

    with pytest.raises(WhereError, match="none of these topics has a field state"):
        check(parse("state==playing"), [TELEMETRY, COMMANDS])


def test_topics_without_a_field_do_not_hold_but_are_not_in_the_way() -> None:
    sample = Sample(time_ms=1, service="s", metric="m", value=1)

    assert not holds("severity>=high", sample)
    assert holds("severity>=high or value==1", sample)


names = st.from_regex(r"[A-Za-z_$][\w$-]{0,8}", fullmatch=True) | st.text(min_size=1, max_size=6)
words = st.from_regex(r"[A-Za-z0-9_.:/-]{1,10}", fullmatch=True).filter(
    lambda word: word.lower() not in ("and", "or", "not", "null")
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


comparisons = st.builds(
    lambda path, operator, value: f"{'.'.join(map(quoted, path))}{operator}{value}",
    st.lists(names, min_size=1, max_size=3),
    st.sampled_from(["==", "=", "!=", "<", "<=", ">", ">=", " == "]),
    words | st.text(max_size=8).map(quoted),
)
expressions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: " and ".join(f"({one})" for one in some)),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: " or ".join(f"({one})" for one in some)),
    ),
    max_leaves=8,
)


@steady
@given(expressions)
def test_an_expression_written_out_reads_as_the_same(text: str) -> None:
    expression = parse(text)

    assert parse(str(expression)) == expression


@steady
@given(st.text(alphabet=st.sampled_from("ab1.()'\"\\=!<>~ and or not null$[*")) | st.text())
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    with suppress(WhereError):
        expression = parse(text)
        assert Condition(expression).holds(ANOMALY, PLACE.get) in (True, False)
        check(expression, [ANOMALIES, PLAYBACK, DEAD_LETTERS])
