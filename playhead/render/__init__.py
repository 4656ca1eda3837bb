"""A record as one line that a person reads at a glance: event time, topic, what happened, key figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from rich.text import Text

from playhead.render import decisions, streams
from playhead.render.words import Part, clean, figure, line
from playhead.subscribe import Seen
from playhead.when import iso

_LINES: dict[type[msgspec.Struct], Callable[[Any], list[Part]]] = {**streams.LINES, **decisions.LINES}

SHOWN_FIELDS = 8
TIME_WIDTH = 23


def render(seen: Seen, topic_width: int = 0) -> Text:
    """Return `seen` as a line, safe to print: nothing in a record reaches the terminal's controls.

    Args:
        seen: an event, a tombstone, or a record that could not be read.
        topic_width: how wide the topic's name is set; 0 leaves it out.
    """
    topic = seen.spec.name.ljust(topic_width) if topic_width else ""
    if seen.problem:
        where = f"{seen.spec.name}[{seen.partition}]@{seen.offset}"
        return line(
            _time(seen.broker_time_ms), (topic, "cyan"), ("!", "bold red"), where, (seen.problem, "red")
        )
    if seen.record is None:
        key = (seen.key or b"").decode(errors="replace")
        return line(_time(seen.broker_time_ms), (topic, "cyan"), ("removed", "dim"), key)
    return line(_time(seen.record.time_ms), (topic, "cyan"), *describe(seen.record))


def describe(record: Any) -> list[Part]:
    """Return the parts of a record's line after its time and topic."""
    known = _LINES.get(type(record))
    return _fields(record) if known is None else known(record)


def _time(time_ms: int) -> Part:
    return iso(time_ms), "dim"


def _fields(record: msgspec.Struct) -> list[Part]:
    """Return the first fields that have something to say, by name."""
    shown: list[Part] = []
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name in ("time_ms", "id") or value in (None, "", 0) or isinstance(value, list | dict | bytes):
            continue
        told = figure(value) if isinstance(value, float) else str(value)
        shown.append((f"{name}={clean(told)}", ""))
    return shown[:SHOWN_FIELDS]
