from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from playhead.when import MomentError, iso, parse_moment
from topics.fields import MAX_TIME_MS

NOW_MS = 1_781_980_200_000


@pytest.mark.parametrize(
    ("text", "moment_ms"),
    [
        ("90s", NOW_MS - 90_000),
        ("5m", NOW_MS - 300_000),
        ("-5m", NOW_MS - 300_000),
        ("1.5h", NOW_MS - 5_400_000),
        ("2d", NOW_MS - 172_800_000),
        ("250ms", NOW_MS - 250),
        ("2026-06-20T18:30:00", NOW_MS),
        ("2026-06-20T18:30:00Z", NOW_MS),
        ("2026-06-20 20:30:00+02:00", NOW_MS),
        ("2026-06-20", NOW_MS - 66_600_000),
        ("1781980200", NOW_MS),
        ("1781980200000", NOW_MS),
        ("1781980200.5", NOW_MS + 500),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, moment_ms: int) -> None:
    assert parse_moment(text, NOW_MS) == moment_ms


@pytest.mark.parametrize(
    "text", ["", "soon", "5 m", "m5", "2026-13-01", "99999999999999999", "1e9", "40000d"]
)
def test_what_is_no_moment_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(MomentError) as caught:
        parse_moment(text, NOW_MS)

    assert repr(text) in str(caught.value)


@steady
@given(st.text())
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with suppress(MomentError):
        assert 0 <= parse_moment(text, NOW_MS) <= MAX_TIME_MS


@steady
@given(st.integers(0, MAX_TIME_MS))
def test_a_moment_told_is_the_moment_read(moment_ms: int) -> None:
    assert parse_moment(iso(moment_ms), NOW_MS) == moment_ms
