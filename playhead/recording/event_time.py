"""When a record happened, read without decoding the rest of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from topics.fields import EpochMs
from topics.playback import Beats
from topics.spec import AnySpec

TimeOf = Callable[[bytes | None, bool], int | None]
"""From a value, and whether it is packed, to its event time in ms since the epoch; None where it has none."""


class _Record(msgspec.Struct):
    time_ms: EpochMs


class _Columns(msgspec.Struct):
    time_ms: list[EpochMs]


class _Beats(msgspec.Struct):
    beats: list[_Record]


def time_of(spec: AnySpec) -> TimeOf:
    """Return what reads the event time of values of `spec`.

    A packed record's time is that of its newest event: before it, the record could not have been sent.

    >>> from topics import TELEMETRY
    >>> read = time_of(TELEMETRY)
    >>> read(b'{"time_ms": 7, "service": "x"}', False), read(b'{"time_ms": [3, 9]}', True), read(b"?", False)
    (7, 9, None)
    """
    single = msgspec.msgpack.Decoder(_Record) if spec.binary else msgspec.json.Decoder(_Record)
    columns, beats = msgspec.json.Decoder(_Columns), msgspec.json.Decoder(_Beats)

    def read(value: bytes | None, packed: bool) -> int | None:
        if value is None:
            return None
        try:
            if not packed:
                return single.decode(value).time_ms
            if spec.packed is Beats:
                return max((beat.time_ms for beat in beats.decode(value).beats), default=None)
            return max(columns.decode(value).time_ms, default=None)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    return read
