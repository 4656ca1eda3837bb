"""Moments as people type them: ``5m`` (ago), ``2026-05-31T20:55Z``, ``1590958558``; and as they read them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from topics.errors import PlayheadError
from topics.fields import MAX_TIME_MS

_AGO = re.compile(r"-?(?P<count>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|d)")
_EPOCH = re.compile(r"\d+(?:\.\d+)?")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_LENGTH_MS = 366 * 86_400_000
_SECONDS_BELOW = 100_000_000_000
"""A smaller number counts seconds: as seconds it lies before the year 5138, as milliseconds before 1973."""


class MomentError(PlayheadError):
    """A text is no moment."""

    exit_code = 2


def parse_moment(text: str, now_ms: int) -> int:
    """Return the moment that `text` names, Unix epoch in ms.

    Args:
        text: how long ago (``90s``, ``5m``, ``2h``, ``1d``), ISO 8601 (UTC where it names no offset), or a
            Unix time in seconds or milliseconds.
        now_ms: what "ago" counts from.

    Raises:
        MomentError: `text` is none of these, or lies before 1970 or after 2100.

    >>> parse_moment("5m", now_ms=1_000_000)
    700000
    >>> parse_moment("2020-05-31T20:55:58Z", 0) == parse_moment("1590958558", 0) == 1590958558000
    True
    """
    if ago := _AGO.fullmatch(text):
        moment = now_ms - float(ago["count"]) * _UNIT_MS[ago["unit"]]
    elif _EPOCH.fullmatch(text):
        number = float(text)
        moment = number * 1_000 if number < _SECONDS_BELOW else number
    else:
        try:
            told = datetime.fromisoformat(text)
            moment = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1_000
        except (ValueError, OverflowError) as error:
            raise MomentError(
                f"{text!r} is no time: give how long ago (5m, 2h), ISO 8601 (2026-05-31T20:55Z) "
                "or a Unix time in seconds or milliseconds"
            ) from error
    if not 0 <= moment <= MAX_TIME_MS:
        raise MomentError(f"{text!r} lies outside the years 1970 to 2100")
    return round(moment)


def parse_length(text: str) -> int:
    """Return how long `text` says, in ms.

    Raises:
        MomentError: `text` is no length of time, or nothing.

    >>> parse_length("30m"), parse_length("1.5h")
    (1800000, 5400000)
    """
    told = _AGO.fullmatch(text)
    length_ms = 0 if told is None or text.startswith("-") else float(told["count"]) * _UNIT_MS[told["unit"]]
    if not 0 < length_ms <= MAX_LENGTH_MS:
        raise MomentError(f"{text!r} is no length of time: give 90s, 30m, 2h or 1d, a year at most")
    return round(length_ms)


def now_ms() -> int:
    """Return the time of day, Unix epoch in ms: the wall clock, read at the edges only."""
    return round(time.time() * 1_000)


def iso(time_ms: int) -> str:
    """Return a moment as people read it, in UTC.

    >>> iso(1590958558123)
    '2020-05-31 20:55:58.123'
    """
    seconds, ms = divmod(time_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ms:03}"
