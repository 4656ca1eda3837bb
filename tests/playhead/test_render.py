from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_strategies import records
from steady import steady

from playhead.render import render
from playhead.render.words import clean
from playhead.subscribe import Seen
from topics import ALL, COMMANDS, INCIDENTS, PLAYBACK, TELEMETRY, AnySpec
from topics.anomalies import AnomalyKind, Severity
from topics.incidents import Incident, IncidentState
from topics.playback import Beat, PlayerState
from topics.telemetry import Sample

public = [spec for spec in ALL if not spec.binary]


def seen(spec: AnySpec, record: Any = None, **more: Any) -> Seen:
    return Seen(spec, 2, 41, 1_781_980_200_000, b"key", record, **more)


def plain(spec: AnySpec, record: Any) -> str:
    return render(seen(spec, record)).plain


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
@settings(steady, max_examples=30)
@given(data=st.data())
def test_every_record_is_a_line_that_is_safe_to_print(spec: AnySpec, data: st.DataObject) -> None:
    record = data.draw(records(spec.value))

    text = render(seen(spec, record), topic_width=12).plain

    assert "\n" not in text
    assert clean(text) == text
    assert spec.name in text


@pytest.mark.parametrize("spec", public, ids=lambda spec: spec.name)
def test_every_topic_people_read_has_a_line_of_its_own(spec: AnySpec) -> None:
    from playhead.render import _LINES

    if not spec.internal:
        assert spec.value in _LINES


def test_an_incident_tells_how_bad_what_why_and_how_many() -> None:
    incident = Incident(
        time_ms=1_781_980_200_000,
        incident="d94ab8",
        subject="cdn=cdn-b",
        state=IncidentState.OPEN,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.CRITICAL,
        summary="Viewers of ISP 3320 stall on cdn-b",
        cause={"cdn": "cdn-b", "isp": "3320"},
        impact_viewers=4_210,
        opened_ms=1_781_980_200_000,
    )

    text = render(seen(INCIDENTS, incident))

    assert text.plain == (
        "2026-06-20 18:30:00.000 CRITICAL OPEN d94ab8 Viewers of ISP 3320 stall on cdn-b "
        "because of cdn=cdn-b,isp=3320 4,210 viewers"
    )
    assert any("on red" in str(span.style) for span in text.spans)


def test_a_stall_stands_out() -> None:
    beat = Beat(time_ms=0, session_id="s1", state=PlayerState.REBUFFERING, stall_ms=3_800, cdn="b")

    assert "rebuffering s1 stalled 3.8 s cdn b" in plain(PLAYBACK, beat)


def test_a_record_cannot_speak_to_the_terminal() -> None:
    sample = Sample(time_ms=0, service="a\x1b[2J\n\u202e", metric="m", value=1)

    assert "\\x1b[2J\\n\\u202e" in plain(TELEMETRY, sample)


def test_markup_in_a_record_is_text() -> None:
    sample = Sample(time_ms=0, service="[bold red]x[/]", metric="m", value=1)

    assert "[bold red]x[/]/m" in plain(TELEMETRY, sample)


def test_what_cannot_be_read_is_a_warning_with_its_place() -> None:
    text = render(seen(COMMANDS, problem="JSON is malformed")).plain

    assert text == "2026-06-20 18:30:00.000 ! commands[2]@41 JSON is malformed"


def test_a_tombstone_tells_the_key_that_is_gone() -> None:
    assert render(seen(COMMANDS)).plain == "2026-06-20 18:30:00.000 removed key"
