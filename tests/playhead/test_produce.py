from __future__ import annotations

from typing import Any

import pytest
from sent_records import MemorySender

from playhead.clock import HandClock
from playhead.lines import Block
from playhead.packing import PACKED_HEADERS, Packer, partition_of, unpack
from playhead.produce import GIVE_UP_LINES, PACK_WAIT_S, TOLD_REFUSALS, Production, WrongInputError
from playhead.refusals import Refusal
from topics import TELEMETRY
from topics.telemetry import Sample

TOPIC = "run1.telemetry"


def sample(number: int) -> bytes:
    return TELEMETRY.encode(Sample(time_ms=number, service="payment", metric=f"m{number % 3}", value=number))


def production(sender: MemorySender, clock: HandClock | None = None, **options: Any) -> Production:
    return Production(TELEMETRY, TOPIC, sender, clock or HandClock(), **options)


def test_lines_are_sent_as_they_are_keyed_by_their_contract() -> None:
    sender = MemorySender()
    line = b'{"time_ms": 1, "service":"s", "metric":"m", "value":1, "id":"given", "new":{}}'

    production(sender).take(Block(1, [line, b"", b"  "]), "f")

    assert [(sent.topic, sent.value, sent.key) for sent in sender.sent] == [(TOPIC, line, b"s/m")]


def test_a_bad_line_is_told_and_left_out_and_the_rest_goes_on() -> None:
    sender, told = MemorySender(), list[Refusal]()
    made = production(sender, refuse=told.append)

    assert made.take(Block(7, [sample(0), b"nonsense", sample(1), b'{"time_ms":1}']), "f.jsonl")

    assert [sent.value for sent in sender.sent] == [sample(0), sample(1)]
    assert [(refusal.source, refusal.line) for refusal in told] == [("f.jsonl", 8), ("f.jsonl", 10)]
    assert (made.tally.lines, made.tally.sent, made.tally.refused) == (4, 2, 2)


def test_strict_stops_at_the_first_bad_line() -> None:
    sender = MemorySender()
    made = production(sender, strict=True)

    assert not made.take(Block(1, [sample(0), b"nonsense", sample(1)]), "f")

    assert len(sender.sent) == made.tally.sent == made.tally.refused == 1


def test_only_the_first_refusals_are_kept() -> None:
    made = production(MemorySender())

    made.take(Block(1, [sample(0)] + [b"?"] * 50), "f")

    assert made.tally.refused == 50
    assert len(made.tally.refusals) == TOLD_REFUSALS


def test_an_input_of_nothing_but_bad_lines_is_the_wrong_one() -> None:
    made = production(MemorySender())

    with pytest.raises(WrongInputError, match=r"f\.csv: the first 1,000 lines are all refused"):
        made.take(Block(1, [b"1,2,3"] * GIVE_UP_LINES), "f.csv")


def test_one_good_line_makes_it_the_right_one() -> None:
    made = production(MemorySender())

    assert made.take(Block(1, [sample(0)] + [b"1,2,3"] * GIVE_UP_LINES), "f")


def test_packed_events_go_to_the_partitions_of_their_keys() -> None:
    sender = MemorySender()
    packer = Packer(TELEMETRY, partitions=4, events_per_record=10)
    made = production(sender, packer=packer)

    made.take(Block(1, [sample(number) for number in range(95)]), "f")
    made.finish()

    assert sum(len(unpack(TELEMETRY, sent.value)) for sent in sender.sent) == made.tally.sent == 95
    assert made.tally.records == len(sender.sent)
    for sent in sender.sent:
        assert sent.headers == PACKED_HEADERS
        for event in unpack(TELEMETRY, sent.value):
            assert partition_of(TELEMETRY.key_of(event).encode(), 4) == sent.partition


def test_an_event_of_a_slow_input_does_not_wait_for_a_full_record() -> None:
    sender, clock = MemorySender(), HandClock()
    made = production(sender, clock, packer=Packer(TELEMETRY, partitions=1, events_per_record=100))

    made.take(Block(1, [sample(0)]), "f")
    assert sender.sent == []
    clock.wait(PACK_WAIT_S)
    made.take(Block(2, []), "f")

    assert len(sender.sent) == 1


def test_the_rate_is_kept_and_not_made_up_for() -> None:
    sender, clock = MemorySender(), HandClock()
    made = production(sender, clock, rate_per_s=100)

    made.take(Block(1, [sample(number) for number in range(101)]), "f")
    assert clock.now_s() == pytest.approx(1.0, abs=0.03)

    clock.wait(60)
    made.take(Block(102, [sample(number) for number in range(101)]), "f")
    assert clock.now_s() == pytest.approx(62.0, abs=0.06)


def test_waiting_for_a_slow_rate_ends_when_stopped() -> None:
    sender, clock = MemorySender(), HandClock()
    made = production(sender, clock, rate_per_s=0.01, stopped=lambda: clock.now_s() > 5)

    assert not made.take(Block(1, [sample(0), sample(1)]), "f")

    assert len(sender.sent) == 1
    assert clock.now_s() < 6


def test_finishing_waits_until_all_is_taken() -> None:
    sender = MemorySender()

    production(sender).finish()

    assert sender.flushes == 1
