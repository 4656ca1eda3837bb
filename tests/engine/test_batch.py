"""A batch of one partition's records, and what is refused of it."""

from __future__ import annotations

from typing import Any

import msgspec
from confluent_kafka import Message

from playhead.engine.batch import MessageBatch
from playhead.packing import PACKED_HEADERS
from topics import COMMANDS, PLAYBACK, TELEMETRY, AnySpec
from topics.dead_letters import DeadLetter
from topics.playback import Beats
from topics.telemetry import Samples

PACKED = msgspec.json.encode(
    Samples(series=["payment/errors", "user/logins{az=1}"], which=[0, 1], time_ms=[1, 2], value=[0.5, 9])
)


def batch_of(spec: AnySpec, **differs: Any) -> MessageBatch:
    fields = {"topic": f"trial.{spec.name}", "partition": 2, "offset": 7, "timestamp": (1, 1_781_980_200_000)}
    return MessageBatch(
        "telemetry", spec, 2, [Message(**fields | {"value": PACKED, "headers": []} | differs)]
    )


def refused(batch: MessageBatch, packed_index: int | None = None) -> DeadLetter:
    batch.refuse(0, "no good", packed_index)
    record = batch.refused[-1].record
    assert isinstance(record, DeadLetter)
    return record


def test_a_refused_record_is_kept_as_it_was() -> None:
    batch = batch_of(TELEMETRY, key=b"k", value=b"?", headers=[("traceparent", b"00")])

    letter = refused(batch)

    assert (letter.topic, letter.partition, letter.offset, letter.reason) == ("telemetry", 2, 7, "no good")
    assert (letter.key, letter.value, letter.headers) == (b"k", b"?", [("traceparent", b"00")])
    assert letter.time_ms == 1_781_980_200_000


def test_an_event_refused_of_a_packed_record_is_kept_alone_under_its_own_key() -> None:
    batch = batch_of(TELEMETRY, headers=[*PACKED_HEADERS, ("traceparent", b"00")])

    letter = refused(batch, packed_index=1)

    sample = TELEMETRY.decode(letter.value)
    assert (sample.service, sample.metric, sample.value, sample.time_ms) == ("user", "logins", 9, 2)
    assert (letter.key, letter.headers) == (b"user/logins{az=1}", [("traceparent", b"00")])
    assert letter.packed_index == 1


def test_every_event_of_a_packed_record_can_be_refused() -> None:
    beats = [
        PLAYBACK.decode(b'{"time_ms": 1, "session_id": "%d", "state": "playing"}' % number)
        for number in range(3)
    ]
    batch = batch_of(PLAYBACK, value=msgspec.json.encode(Beats(beats=beats)), headers=PACKED_HEADERS)

    letters = [refused(batch, packed_index=index) for index in range(3)]

    assert [PLAYBACK.decode(letter.value) for letter in letters] == beats
    assert len({letter.id for letter in letters}) == 3


def test_packed_records_are_told_by_their_header() -> None:
    assert batch_of(TELEMETRY, headers=PACKED_HEADERS).packed == [True]
    assert batch_of(TELEMETRY, headers=None).packed == [False]
    assert batch_of(COMMANDS, headers=PACKED_HEADERS).packed == [False]
