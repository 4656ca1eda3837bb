from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st
from record_strategies import records
from steady import steady

from playhead.packing import PACKED_HEADERS, PackedRecord, Packer, is_packed, partition_of, unpack
from topics import PLAYBACK, TELEMETRY, VIEWING, ContractError
from topics.playback import Beat, PlayerState
from topics.telemetry import Sample

PARTITIONS = 4


def pack(spec: Any, events: list[Any], per_record: int) -> list[PackedRecord]:
    packer = Packer(spec, partitions=PARTITIONS, events_per_record=per_record)
    full = [packer.take(event, spec.key_of(event), spec.encode(event)) for event in events]
    return [record for record in full if record is not None] + list(packer.rest())


@steady
@given(st.lists(records(Beat), max_size=30), st.integers(1, 10))
def test_beats_come_back_as_they_went_each_in_the_partition_of_its_key(beats: list[Beat], per: int) -> None:
    packed = pack(PLAYBACK, beats, per)

    there: dict[int, list[Beat]] = defaultdict(list)
    for record in packed:
        there[record.partition] += unpack(PLAYBACK, record.value)
    wanted: dict[int, list[Beat]] = defaultdict(list)
    for beat in beats:
        wanted[partition_of(beat.session_id.encode(), PARTITIONS)].append(beat)
    assert there == wanted
    assert sum(record.events for record in packed) == len(beats)
    assert all(record.events <= per for record in packed)


samples = st.builds(
    Sample,
    time_ms=st.integers(0, 2**40),
    service=st.sampled_from(["payment", "user"]),
    metric=st.sampled_from(["error_rate", "p99_ms"]),
    value=st.floats(allow_nan=False, allow_infinity=False),
    tags=st.dictionaries(st.sampled_from(["az", "region"]), st.sampled_from(["1", "eu"])),
    id=st.sampled_from(["", "a", "b"]),
)


def told(sample: Sample) -> tuple[str, int, float, str]:
    return TELEMETRY.key_of(sample), sample.time_ms, sample.value, sample.id


@steady
@given(st.lists(samples, max_size=40), st.integers(1, 15))
def test_samples_come_back_each_in_the_partition_of_its_key(given_samples: list[Sample], per: int) -> None:
    packed = pack(TELEMETRY, given_samples, per)

    back = [(record.partition, sample) for record in packed for sample in unpack(TELEMETRY, record.value)]
    assert Counter(told(each) for _, each in back) == Counter(map(told, given_samples))
    assert all(
        partition == partition_of(TELEMETRY.key_of(each).encode(), PARTITIONS) for partition, each in back
    )


@pytest.mark.parametrize(
    "names",
    [
        {"service": "a/b", "metric": "c"},
        {"service": "a", "metric": "c{d=1}"},
        {"service": "a", "metric": "c", "tags": {"az": "1,region=eu"}},
        {"service": "a", "metric": "c", "tags": {"az=1": "eu"}},
    ],
)
def test_a_sample_whose_names_would_not_come_back_is_not_packed(names: dict[str, Any]) -> None:
    odd = Sample(time_ms=1, value=1.0, **names)
    packer = Packer(TELEMETRY, partitions=PARTITIONS, events_per_record=10)

    assert not packer.can_take(odd, TELEMETRY.key_of(odd))
    with pytest.raises(ContractError, match="cannot be told apart"):
        packer.take(odd, TELEMETRY.key_of(odd), TELEMETRY.encode(odd))


def test_a_record_is_full_before_it_exceeds_the_limit_of_its_contract() -> None:
    beat = Beat(time_ms=1, session_id="s", state=PlayerState.PLAYING, title="t" * 200)
    data = PLAYBACK.encode(beat)
    fits = PLAYBACK.max_bytes // len(data)
    packer = Packer(PLAYBACK, partitions=1, events_per_record=100_000)

    full = [record for _ in range(3 * fits) if (record := packer.take(beat, "s", data)) is not None]

    assert len(full) >= 2
    for record in full:
        assert len(unpack(PLAYBACK, record.value)) == record.events > fits * 0.9


def test_what_no_contract_names_travels_along_with_beats() -> None:
    beat = Beat(time_ms=1, session_id="s", state=PlayerState.PLAYING)
    packer = Packer(PLAYBACK, partitions=1, events_per_record=1)

    record = packer.take(beat, "s", b'{"time_ms":1,"session_id":"s","state":"playing","new":7}')

    assert record is not None
    assert b'"new":7' in record.value


def test_an_event_too_large_for_any_record_is_refused() -> None:
    packer = Packer(PLAYBACK, partitions=1, events_per_record=2)
    beat = Beat(time_ms=1, session_id="s", state=PlayerState.PLAYING)

    with pytest.raises(ContractError, match="exceed"):
        packer.take(beat, "s", b" " * PLAYBACK.max_bytes)


def test_only_topics_with_packed_records_are_packed() -> None:
    with pytest.raises(ContractError, match="telemetry and playback"):
        Packer(VIEWING, partitions=1, events_per_record=2)
    with pytest.raises(ContractError):
        unpack(VIEWING, b"{}")


@steady
@given(st.binary())
def test_what_is_no_packed_record_is_refused(value: bytes) -> None:
    for spec in (TELEMETRY, PLAYBACK):
        with pytest.raises(ContractError):
            unpack(spec, value)


def test_a_packed_record_is_told_by_its_header() -> None:
    assert is_packed(PACKED_HEADERS)
    assert is_packed([("trace", b"1"), *PACKED_HEADERS])
    assert not is_packed([("playhead-encoding", b"arrow")])
    assert not is_packed([])
    assert not is_packed(None)


@steady
@given(st.binary(max_size=40), st.integers(1, 50))
def test_keys_land_where_kafkas_own_partitioner_puts_them(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
