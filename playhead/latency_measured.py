"""Latencies as they were, read from the topics: from the record that caused it to what followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from playhead.log_reader import read_to_end
from topics import COMMANDS, INCIDENTS, STEERING, ContractError
from topics.spec import AnySpec

MEASURED: tuple[tuple[str, AnySpec], ...] = (
    ("from the beat that closed the window to the incident", INCIDENTS),
    ("... to the command", COMMANDS),
    ("... to the answer", STEERING),
)


class Measured(msgspec.Struct, frozen=True):
    """What was measured of one stretch of the way."""

    name: str
    count: int
    p50_s: float
    p99_s: float


def measured(client: Mapping[str, Any], prefix: str) -> list[Measured]:
    """Return what the records that first tell of an incident say; the broker's times, in seconds.

    Raises:
        TopicMissingError, BrokerUnavailableError, BrokerRefusedError: as `read_to_end` does.
    """
    found = []
    for name, spec in MEASURED:
        took_s = []
        seen: set[int] = set()
        for message in read_to_end(client, spec.full_name(prefix)):
            origin_ms = _origin_ms(spec, message.value())
            # Later records of an incident carry the time of its beginning on.
            key = hash((message.key(), origin_ms))
            if origin_ms is not None and key not in seen:
                seen.add(key)
                took_s.append((message.timestamp()[1] - origin_ms) / 1_000)
        if took_s:
            p50_s, p99_s = np.percentile(took_s, (50, 99))
            found.append(Measured(name, len(took_s), float(p50_s), float(p99_s)))
    return found


def _origin_ms(spec: AnySpec, value: bytes | None) -> int | None:
    try:
        origin_ms: int | None = spec.decode(value).origin_ms
    except ContractError:
        return None
    return origin_ms
