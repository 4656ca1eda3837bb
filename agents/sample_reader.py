"""Reads batches of `telemetry` into columns: which series, when, what value.

What a record says decides whose sample it is; its key only finds that series sooner. A record whose key is
known is decoded as it is. Where it has no tags, its key is made again from what it says; else what it says is
compared with what an earlier record under that key said. What differs, is new or is bad is read by itself, in
the order of the batch, as its contract says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from agents.ports import Batch
from agents.sample_columns import WHOLE, Columns, Events, Ints, Packs, decoded
from agents.series_register import Identity, SeriesRefusedError, SeriesRegister
from topics import TELEMETRY, ContractError
from topics.fields import EpochMs, Name, OptionalName
from topics.telemetry import series_key, split_series

PIECE = 256
"""Records decoded at once: so few that the processor's cache still has them when they are looked at."""


class _Point(msgspec.Struct, gc=False):
    """A `Sample` whose tags need no check, because they are compared with some that were checked."""

    time_ms: EpochMs
    service: Name
    metric: Name
    value: float
    id: OptionalName = ""
    tags: dict[str, str] = {}


_POINT = msgspec.json.Decoder(_Point)
_identity: Callable[[Any], Identity] = attrgetter("service", "metric", "tags")


def _keys_of(points: Sequence[Any]) -> list[bytes]:
    """Return the key of each point without tags, as `series_key` has it; of another, the key of no series."""
    return [b"" if point.tags else f"{point.service}/{point.metric}".encode() for point in points]


class SampleReader:
    """Reads batches into columns, and refuses what breaks the contract.

    Args:
        register: of the partition's series.
    """

    def __init__(self, register: SeriesRegister) -> None:
        self._register = register

    def read(self, batch: Batch) -> Events:
        """Return the events of `batch` in its order."""
        packed = batch.packed
        if True not in packed:
            known, alone = self._read_known(batch.keys, batch.values, np.arange(len(batch)))
            return Events.together([known, self._read_rest(batch, alone, None)]) if alone else known
        single = [record for record, many in enumerate(packed) if not many]
        keys, values = batch.keys, batch.values
        known, alone = self._read_known(
            [keys[record] for record in single],
            [values[record] for record in single],
            np.array(single, dtype=np.int64),
        )
        packs = Packs.of(batch, [record for record, many in enumerate(packed) if many])
        rest = self._read_rest(batch, alone, packs)
        return Events.together([known, rest, packs.events(self._register.slots)])

    # -- one event a record -------------------------------------------------------------------------------

    def _read_known(
        self, keys: list[bytes | None], values: list[Any], records: Ints
    ) -> tuple[Events, list[int]]:
        """Return the events of the records that say what their key promises, and the other records."""
        parts: list[Events] = []
        alone: list[int] = []
        for start in range(0, len(values), PIECE):
            piece = slice(start, start + PIECE)
            events, others = self._read_piece(keys[piece], values[piece], records[piece])
            parts.append(events)
            alone += others
        return Events.joined(parts), alone

    def _read_piece(
        self, keys: list[bytes | None], values: list[Any], records: Ints
    ) -> tuple[Events, list[int]]:
        identities, limit = self._register.identities, TELEMETRY.max_bytes
        slots: list[Any] = list(map(self._register.slots.get, keys))  # type: ignore[arg-type]
        points, bad = decoded(_POINT, values)
        if not bad and None not in slots and max(map(len, values), default=0) <= limit:
            if _keys_of(points) == keys:
                return self._events(slots, points, records), []
            promised = list(map(identities.__getitem__, slots))
            if list(map(_identity, points)) == promised:
                return self._events(slots, points, records), []
        fine: list[int] = []
        others: list[int] = []
        for at, (slot, point) in enumerate(zip(slots, points, strict=True)):
            known = slot is not None and point is not None and len(values[at]) <= limit
            (fine if known and _identity(point) == identities[slot] else others).append(at)
        events = self._events([slots[at] for at in fine], [points[at] for at in fine], records[fine])
        return events, records[others].tolist()

    @staticmethod
    def _events(slots: list[int], points: Sequence[Any], records: Ints) -> Events:
        return Events(
            np.array(slots, dtype=np.int32),
            np.array([point.time_ms for point in points], dtype=np.int64),
            np.array([point.value for point in points], dtype=np.float64),
            records,
            np.full(len(points), WHOLE),
        )

    def _read_rest(self, batch: Batch, alone: Sequence[int], packs: Packs | None) -> Events:
        """Read the records that stand alone one by one, and meet new series in the order of the batch."""
        slots, samples, records = [], [], []
        meeting = packs.with_unknown(self._register.slots) if packs is not None else {}
        for record in sorted({*alone, *meeting}):
            if packs is not None and record in meeting:
                self._meet(batch, record, meeting[record], packs)
                continue
            try:
                sample = TELEMETRY.decode(batch.values[record])
                slot = self._register.slot(TELEMETRY.key_of(sample), sample.metric, batch.times_ms[record])
            except ContractError as error:
                batch.refuse(record, error.reason)
            except ValueError as error:
                batch.refuse(record, str(error))
            else:
                self._register.identities[slot] = _identity(sample)
                slots.append(slot)
                samples.append(sample)
                records.append(record)
        return self._events(slots, samples, np.array(records, dtype=np.int64))

    def _meet(self, batch: Batch, record: int, pack: Columns, packs: Packs) -> None:
        """Open the new series of a packed record; refuse it where a name is none."""
        try:
            parts = [split_series(name) for name in pack.series]
        except ValueError as error:
            batch.refuse(record, f"packed record: {error}")
            packs.drop(record)
            return
        refused: dict[int, str] = {}
        for at, part in enumerate(parts):
            pack.series[at] = series_key(*part)
            try:
                self._register.slot(pack.series[at], part[1], batch.times_ms[record])
            except SeriesRefusedError as error:
                refused[at] = str(error)
        for inside, which in enumerate(pack.which if refused else ()):
            if which in refused:
                batch.refuse(record, refused[which], inside)
