"""Field types that several contracts share. Units live in the names of the fields that use them."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated

import msgspec

MAX_TIME_MS = 4_102_444_800_000
"""2100-01-01: a time beyond it is a mistake of unit, such as microseconds."""

EpochMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS, description="event time, Unix epoch in ms")]
DurationMs = Annotated[int, msgspec.Meta(ge=0, le=7 * 86_400_000)]
MAX_NAME = 200
MAX_SERIES_NAME = 4_000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
OptionalName = Annotated[str, msgspec.Meta(max_length=200)]
SeriesName = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SERIES_NAME)]
"""Service, metric and all tags make it, each of them a `Name`."""
Sentence = Annotated[str, msgspec.Meta(max_length=2_000)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]

Cell = dict[str, str]
"""A combination of dimension values, such as ``{"cdn": "3", "p2p": "1"}``; ``{}`` is everyone."""


def cell_key(cell: Cell) -> str:
    """Return the canonical text of a cell: dimensions in alphabetical order.

    >>> cell_key({"p2p": "1", "cdn": "3"})
    'cdn=3,p2p=1'
    >>> cell_key({})
    'everyone'
    """
    return ",".join(f"{name}={cell[name]}" for name in sorted(cell)) or "everyone"


def derive_id(*causes: object) -> str:
    """Return the id of a record from its causes, so that a cause replayed makes the same id.

    >>> derive_id("telemetry", 3, 41) == derive_id("telemetry", 3, 41)
    True
    >>> derive_id("a", "bc") == derive_id("ab", "c")
    False
    """
    text = "\x1f".join(str(cause) for cause in causes)
    return blake2b(text.encode(), digest_size=12).hexdigest()


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every record has: when it happened, and an id derived from its causes.

    Records that come from outside in great number (samples, beats) may leave `id` empty: topic, partition
    and offset identify them.

    None is part of a cycle, so that Python's collector need not follow them: there may be 100,000 of them.
    """

    time_ms: EpochMs
    id: OptionalName = ""
