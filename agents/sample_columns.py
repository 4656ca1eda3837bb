"""Metric samples of a batch as columns, and the packed records that already are such."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.ports import Batch
from topics import TELEMETRY
from topics.fields import MAX_TIME_MS, OptionalName
from topics.telemetry import MAX_SERIES, Samples

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WHOLE = -1
"""Stands for the place inside a record that holds one event only."""

NO_SLOT = -1
"""Stands for the slot of a series that has none."""

BAD_INPUT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, TypeError)
"""What a decoder raises; of a tombstone, a TypeError."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events as columns: slot of the series, time, value, and where each stands in the batch."""

    slot: NDArray[np.int32]
    time_ms: Ints
    value: Floats
    record: Ints
    inside: Ints

    def where(self, keep: NDArray[np.bool_] | Ints) -> Events:
        """Return the events for which `keep` is true, or at whose places it stands."""
        return Events(
            self.slot[keep], self.time_ms[keep], self.value[keep], self.record[keep], self.inside[keep]
        )

    @classmethod
    def joined(cls, parts: Sequence[Events]) -> Events:
        """Return the events of all parts, one part after another."""
        filled = [part for part in parts if len(part.slot)] or [NO_EVENTS]
        if len(filled) == 1:
            return filled[0]
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in filled])
                for name in ("slot", "time_ms", "value", "record", "inside")
            )
        )

    @classmethod
    def together(cls, parts: Sequence[Events]) -> Events:
        """Return the events of all parts in the order of the batch."""
        events = cls.joined(parts)
        if sum(len(part.slot) > 0 for part in parts) <= 1:
            return events
        return events.where(np.argsort(events.record, kind="stable"))


NO_EVENTS = Events(
    np.zeros(0, np.int32), *(np.zeros(0, kind) for kind in (np.int64, float, np.int64, np.int64))
)


class Columns(msgspec.Struct, gc=False):
    """`Samples` before they are checked, which is done for many records at once."""

    series: list[str]
    which: list[int]
    time_ms: list[int]
    value: list[float]
    id: list[OptionalName] = []


_COLUMNS = msgspec.json.Decoder(Columns)
_SAMPLES = msgspec.json.Decoder(Samples)


def decoded(decoder: msgspec.json.Decoder[Any], values: Iterable[Any]) -> tuple[list[Any], bool]:
    """Return what each value holds, None where it is bad, and whether any is."""
    found: list[Any] = []
    bad = False
    waiting = map(decoder.decode, values)
    while True:
        try:
            found.extend(waiting)  # keeps what came before an error
        except BAD_INPUT:
            found.append(None)
            bad = True
        else:
            return found, bad


class Packs:
    """The packed records of a batch that keep to their contract, as columns of all together."""

    def __init__(self, records: list[int], packs: list[Columns]) -> None:
        self._packs = dict(zip(records, packs, strict=True))
        self._events = np.array([len(pack.which) for pack in packs], dtype=np.int64)
        self._series = np.array([len(pack.series) for pack in packs], dtype=np.int64)
        self._total = int(self._events.sum())
        self._which = self._joined(np.int64, (pack.which for pack in packs))
        self._time_ms = self._joined(np.int64, (pack.time_ms for pack in packs))
        self._value = self._joined(np.float64, (pack.value for pack in packs))
        self._slots: list[int] = [NO_SLOT]
        """Of every series that a record names, once looked up."""
        self._dropped: set[int] = set()

    @classmethod
    def of(cls, batch: Batch, records: list[int]) -> Packs:
        """Return those of `records` that keep to their contract; refuse the others."""
        values = [batch.values[record] for record in records]
        packs, bad = decoded(_COLUMNS, values)
        if not bad and max(map(len, filter(None, values))) <= TELEMETRY.max_bytes:
            with suppress(OverflowError, ValueError):  # numbers too large for a column, columns too short
                read = cls(records, packs)
                if read._keep_to_contract():
                    return read
        good = []
        for at, value in enumerate(values):
            try:
                _check(value)
            except BAD_INPUT as error:
                batch.refuse(records[at], f"packed record: {error}")
            else:
                good.append(at)
        return cls([records[at] for at in good], [packs[at] for at in good])

    def _joined(self, kind: Any, lists: Iterable[list[Any]]) -> Any:
        return np.fromiter(chain.from_iterable(lists), kind, self._total)

    def _keep_to_contract(self) -> bool:
        """Whether every record surely does: what `Samples` demands, of all at once."""
        packs = self._packs.values()
        if any(not len(pack.which) == len(pack.time_ms) == len(pack.value) for pack in packs):
            return False
        if any(pack.id and len(pack.id) != len(pack.which) for pack in packs):
            return False
        inside = (self._which >= 0) & (self._which < np.repeat(self._series, self._events))
        in_time = (self._time_ms >= 0) & (self._time_ms <= MAX_TIME_MS)
        return bool(inside.all() and in_time.all() and self._series.max(initial=0) <= MAX_SERIES)

    def with_unknown(self, slots: Mapping[bytes, int]) -> dict[int, Columns]:
        """Return the records with series that have no slot."""
        if NO_SLOT not in self._look_up(slots):
            return {}
        return {
            record: pack
            for record, pack in self._packs.items()
            if None in map(slots.get, map(str.encode, pack.series))
        }

    def _look_up(self, slots: Mapping[bytes, int]) -> list[int]:
        """Return the slot of every series that a record names."""
        names = map(str.encode, chain.from_iterable([pack.series for pack in self._packs.values()]))
        self._slots = list(map(slots.get, names, repeat(NO_SLOT)))
        return self._slots

    def drop(self, record: int) -> None:
        """Have no events of a record."""
        self._dropped.add(record)

    def events(self, slots: Mapping[bytes, int]) -> Events:
        """Return the events, but those of series that have no slot."""
        found = self._slots if NO_SLOT not in self._slots else self._look_up(slots)
        slot_of = np.array(found, dtype=np.int32)
        first_name = np.cumsum(self._series) - self._series
        first_event = np.cumsum(self._events) - self._events
        events = Events(
            slot_of[self._which + np.repeat(first_name, self._events)] if self._total else slot_of[:0],
            self._time_ms,
            self._value,
            np.repeat(np.fromiter(self._packs, np.int64, len(self._packs)), self._events),
            np.arange(self._total) - np.repeat(first_event, self._events),
        )
        left = events.slot != NO_SLOT
        if self._dropped:
            left &= ~np.isin(events.record, list(self._dropped))
        return events if left.all() else events.where(left)


def _check(value: bytes | None) -> None:
    """Raise what is wrong with a packed record."""
    if value is not None and len(value) > TELEMETRY.max_bytes:
        raise ValueError(f"{len(value)} bytes exceed the limit of {TELEMETRY.max_bytes}")
    _SAMPLES.decode(value or b"")
