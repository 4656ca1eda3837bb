"""Many events in one record, and back.

A record carries its own cost through client, broker and agent; packed by the hundred, events travel several
times as fast. Events of one record share a partition, the one each would have gone to by its own key, so that
whoever keeps state by key finds them where it looks. A packed record names its encoding in a header and has
no key of its own.

Packed samples keep what their contract names; packed beats and reports keep every field. None keeps an order
between partitions, as Kafka does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from topics import CMCD, PLAYBACK, TELEMETRY
from topics.cmcd import CmcdRecords
from topics.errors import ContractError
from topics.playback import Beats
from topics.spec import ENCODING_HEADER, PACKED, AnySpec
from topics.telemetry import Sample, Samples, split_series

PACKED_HEADERS: list[tuple[str, bytes]] = [(ENCODING_HEADER, PACKED.encode())]
"""Headers of a packed record."""

MAX_EVENTS = 100_000
"""In one record; it is also the limit on the series of one record of samples."""

EVENTS_PER_RECORD = 100
"""Unless said otherwise: most of what packing gains, in records of a few kilobytes."""

ALONE = -1
"""In place of the partition of a key whose events are not packed."""

_ENVELOPE_BYTES = 1_000
_KNOWN_KEYS = 500_000


class PackedRecord(NamedTuple):
    """A record that carries `events` events, and the partition it belongs to."""

    partition: int
    value: bytes
    events: int


class Packer:
    """Gathers the events of each partition until they fill a record.

    Args:
        spec: `telemetry`, `playback` or `cmcd`.
        partitions: how many the topic has on the broker.
        events_per_record: how many events make a record full; one that nears the contract's size limit is
            full before.

    Raises:
        ContractError: the records of `spec` cannot be packed.

    Example:
        >>> packer = Packer(TELEMETRY, partitions=4, events_per_record=100)
        >>> sample = Sample(time_ms=1, service="payment", metric="error_rate", value=0.2)
        >>> packer.take(sample, "payment/error_rate", TELEMETRY.encode(sample))
        >>> [full] = packer.rest()
        >>> full.events, unpack(TELEMETRY, full.value) == [sample]
        (1, True)
    """

    def __init__(self, spec: AnySpec, *, partitions: int, events_per_record: int) -> None:
        if spec.name not in _PACKS:
            raise ContractError(spec.name, f"cannot be packed; {' and '.join(_PACKS)} can")
        self._name = spec.name
        self._pack = _PACKS[spec.name]
        self._partitions = partitions
        self._events_per_record = events_per_record
        self._room_bytes = spec.max_bytes - _ENVELOPE_BYTES
        self._open: dict[int, _Pack] = {}
        self._partition_of: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """Events taken that no record has carried away yet."""
        return sum(pack.events for pack in self._open.values())

    def can_take(self, record: Any, key: str) -> bool:
        """Return whether an event comes out as it goes in.

        A sample does not whose names hold the signs that join them to that of its series.
        """
        if key not in self._partition_of:
            self._place(record, key)
        return self._partition_of[key] != ALONE

    def take(self, record: Any, key: str, data: bytes) -> PackedRecord | None:
        """Add one event; return the record that it filled, if it did.

        Args:
            record: the event, decoded.
            key: its key by the contract.
            data: the event as JSON.

        Raises:
            ContractError: the event alone is too large for a record, or `can_take` denies it.
        """
        if len(data) > self._room_bytes:
            raise ContractError(
                self._name, f"{len(data)} bytes exceed the {self._room_bytes} of a packed event"
            )
        partition = self._partition_of.get(key)
        if partition is None:
            partition = self._place(record, key)
        if partition == ALONE:
            raise ContractError(self._name, f"the names that make {key!r} cannot be told apart when packed")
        pack = self._open.get(partition)
        full = None
        if pack is None or pack.size_bytes + len(data) > self._room_bytes:
            full = pack
            pack = self._open[partition] = self._pack()
        pack.add(record, key, data)
        if pack.events >= self._events_per_record:
            full = self._open.pop(partition)
        return None if full is None else _close(partition, full)

    def rest(self) -> Iterator[PackedRecord]:
        """Take away what is open, full or not."""
        for partition in sorted(self._open):
            yield _close(partition, self._open.pop(partition))

    def _place(self, record: Any, key: str) -> int:
        if len(self._partition_of) >= _KNOWN_KEYS:
            self._partition_of.clear()
        partition = partition_of(key.encode(), self._partitions)
        if isinstance(record, Sample) and not _splits_into(key, record):
            partition = ALONE
        self._partition_of[key] = partition
        return partition


def _splits_into(series: str, sample: Sample) -> bool:
    try:
        return split_series(series) == (sample.service, sample.metric, sample.tags)
    except ValueError:
        return False


class _Pack(Protocol):
    """An open record."""

    events: int
    size_bytes: int

    def add(self, record: Any, key: str, data: bytes) -> None: ...

    def encode(self) -> bytes: ...


class _SamplePack:
    """Samples as columns; `key` is the series' name."""

    def __init__(self) -> None:
        self.events = 0
        self.size_bytes = 0
        self._which_of: dict[str, int] = {}
        self._which: list[int] = []
        self._time_ms: list[int] = []
        self._value: list[float] = []
        self._id: list[str] = []

    def add(self, record: Sample, key: str, data: bytes) -> None:
        self._which.append(self._which_of.setdefault(key, len(self._which_of)))
        self._time_ms.append(record.time_ms)
        self._value.append(record.value)
        self._id.append(record.id)
        self.events += 1
        # A sample takes less room as columns than by itself: it leaves its field names behind.
        self.size_bytes += len(data)

    def encode(self) -> bytes:
        return msgspec.json.encode(
            Samples(
                series=list(self._which_of),
                which=self._which,
                time_ms=self._time_ms,
                value=self._value,
                id=self._id if any(self._id) else [],
            )
        )


class _WrittenPack:
    """Events as they were written: what no contract names travels along."""

    field = ""
    """The field of the packed record that has the events."""

    def __init__(self) -> None:
        self.events = 0
        self.size_bytes = 0
        self._written: list[bytes] = []

    def add(self, record: Any, key: str, data: bytes) -> None:
        self._written.append(data)
        self.events += 1
        self.size_bytes += len(data) + 1

    def encode(self) -> bytes:
        return b'{"%s":[%s]}' % (self.field.encode(), b",".join(self._written))


class _BeatPack(_WrittenPack):
    field = "beats"


class _ReportPack(_WrittenPack):
    field = "records"


_PACKS: dict[str, type[_SamplePack] | type[_WrittenPack]] = {
    TELEMETRY.name: _SamplePack,
    PLAYBACK.name: _BeatPack,
    CMCD.name: _ReportPack,
}

_PACKED_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    spec.name: msgspec.json.Decoder(spec.packed)
    for spec in (TELEMETRY, PLAYBACK, CMCD)
    if spec.packed is not None
}


def is_packed(headers: Sequence[tuple[str, bytes | None]] | None) -> bool:
    """Return whether a record with `headers` carries many events."""
    return headers is not None and (ENCODING_HEADER, PACKED.encode()) in headers


def unpack(spec: AnySpec, value: bytes | None) -> list[Any]:
    """Return the events of a packed record of `spec`, in order.

    Raises:
        ContractError: `value` is no packed record of `spec`.
    """
    decoder = _PACKED_DECODERS.get(spec.name)
    if decoder is None:
        raise ContractError(spec.name, "holds no packed records")
    if value is None or len(value) > spec.max_bytes:
        raise ContractError(spec.name, "the packed record is empty or exceeds the limit")
    try:
        packed = decoder.decode(value)
        if isinstance(packed, Beats):
            return packed.beats
        return packed.records if isinstance(packed, CmcdRecords) else _samples(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ContractError(spec.name, f"packed record: {error}") from error


def _samples(packed: Samples) -> list[Sample]:
    series = [split_series(name) for name in packed.series]
    return [
        Sample(
            time_ms=time_ms,
            service=series[which][0],
            metric=series[which][1],
            value=value,
            tags=series[which][2],
            id=id_,
        )
        for which, time_ms, value, id_ in zip(
            packed.which, packed.time_ms, packed.value, packed.id or [""] * len(packed.which), strict=True
        )
    ]


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition where Kafka's default partitioner, and so every client here, puts `key`.

    It is MurmurHash2 (32 bits, Austin Appleby) with Kafka's seed, sign bit cleared, modulo `partitions`.

    >>> [partition_of(key, 4) for key in (b"payment/error_rate", b"21", b"")]
    [2, 0, 1]
    """
    mask, mixer = 0xFFFFFFFF, 0x5BD1E995
    length = len(key)
    hashed = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * mixer & mask
        word = (word ^ word >> 24) * mixer & mask
        hashed = (hashed * mixer & mask) ^ word
    if whole < length:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * mixer & mask
    hashed = (hashed ^ hashed >> 13) * mixer & mask
    return ((hashed ^ hashed >> 15) & 0x7FFFFFFF) % partitions


def _close(partition: int, pack: _Pack) -> PackedRecord:
    return PackedRecord(partition, pack.encode(), pack.events)
