from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recorded_folders import telemetry, written
from sent_records import MemorySender

from playhead.clock import HandClock
from playhead.recording.reader import Recording
from playhead.recording.replay import Played, Replay, Target
from playhead.recording.shift import Shift


def replay(folder: Path, partitions: int = 4, clock: HandClock | None = None, **options: Any) -> Any:
    sender = MemorySender()
    runs = Recording(folder).runs("telemetry")
    targets = {"telemetry": Target("trial.telemetry", partitions)}
    told = {"max_future_ms": 300_000} | options
    progress = told.pop("progress", lambda _: None)
    made = Replay(runs, targets, sender, clock or HandClock(), **told).play(progress)
    return made, sender


def test_keys_values_headers_and_partitions_are_as_they_were(tmp_path: Path) -> None:
    headers = [("trace", b"\x00\xff"), ("empty", None), ("trace", b"again")]
    messages = [
        telemetry(2, 0, 1_000, headers=headers),
        telemetry(0, 0, 2_000, key=None, value=None),
        telemetry(3, 0, 3_000, key=b"\xff", value=b"\x00 not JSON"),
    ]
    written(tmp_path / "r", messages)

    _, sender = replay(tmp_path / "r", speed=None)

    # What tells no time, and has nothing before it, comes first.
    assert [(sent.partition, sent.key, sent.value, sent.headers) for sent in sender.sent] == [
        (0, None, None, None),
        (3, b"\xff", b"\x00 not JSON", None),
        (2, b"s/m2", messages[0].value(), headers),
    ]
    assert {sent.topic for sent in sender.sent} == {"trial.telemetry"}
    assert sender.flushes == 1


def test_each_record_is_sent_when_its_event_time_has_come(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(0, at, 1_000_000 + at * 1_000) for at in range(5)])
    clock = HandClock()
    sent_at: list[tuple[int, float]] = []

    played, _ = replay(
        tmp_path / "r",
        clock=clock,
        speed=2.0,
        progress=lambda told: sent_at.append((told.records, clock.now_s())),
    )

    first_at = dict(reversed(sent_at))
    assert [first_at[number] for number in (1, 2, 3, 4, 5)] == pytest.approx([0, 0.5, 1, 1.5, 2], abs=1e-6)
    assert (played.event_from_ms, played.event_to_ms) == (1_000_000, 1_004_000)
    assert played.lateness.percentile_ms(99) < 0.01


def test_as_fast_as_it_goes_waits_for_nothing(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(0, at, at * 3_600_000) for at in range(10)])
    clock = HandClock()

    played, sender = replay(tmp_path / "r", clock=clock, speed=None)

    assert clock.waits == []
    assert played.records == len(sender.sent) == 10
    assert played.lateness.percentile_ms(50) is None


def test_partitions_that_the_target_lacks_leave_it_to_the_key(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(partition, 0, partition) for partition in range(4)])

    _, sender = replay(tmp_path / "r", partitions=2, speed=None)

    assert [sent.partition for sent in sender.sent] == [0, 1, -1, -1]


def test_only_the_event_times_asked_for_are_played(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(at % 4, at, at * 1_000) for at in range(20)])

    played, sender = replay(tmp_path / "r", speed=None, from_ms=5_000, to_ms=8_000)

    assert (played.event_from_ms, played.event_to_ms) == (5_000, 7_000)
    assert len(sender.sent) == 3


def test_it_ends_when_stopped_and_waits_for_what_was_sent(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(0, at, at * 1_000) for at in range(100)])
    clock = HandClock()

    played, sender = replay(tmp_path / "r", clock=clock, speed=1.0, stopped=lambda: clock.now_s() > 10)

    assert played.stopped
    assert 10 <= played.records <= 12
    assert sender.flushes == 1


def test_progress_tells_the_event_time(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(0, at, 5_000 + at) for at in range(3)])
    told: list[int | None] = []

    def progress(played: Played) -> None:
        told.append(played.event_to_ms)

    replay(tmp_path / "r", speed=None, progress=progress)

    assert told[-1] == 5_002


def test_a_shift_moves_the_times_of_values_and_nothing_else(tmp_path: Path) -> None:
    written(tmp_path / "r", [telemetry(0, 0, 1_000, value=b'{"time_ms":1000,"service":"s","new":1.5}')])

    _, sender = replay(tmp_path / "r", speed=None, rewrite=Shift(500))

    assert sender.sent[0].value == b'{"time_ms":1500,"service":"s","new":1.5}'


def test_a_shift_reaches_every_time_the_contract_names() -> None:
    shift = Shift(-100)

    assert shift("telemetry", b'{"series":["a/b"],"which":[0],"time_ms":[500],"value":[500.0]}', True) == (
        b'{"series":["a/b"],"which":[0],"time_ms":[400],"value":[500.0]}'
    )
    assert shift("playback", b'{"beats":[{"time_ms":500,"play_ms":500}]}', True) == (
        b'{"beats":[{"time_ms":400,"play_ms":500}]}'
    )
    assert (
        shift(
            "incidents",
            b'{"time_ms":500,"opened_ms":400,"resolved_ms":null,"timeline":[{"time_ms":450}]}',
            False,
        )
        == b'{"time_ms":400,"opened_ms":300,"resolved_ms":null,"timeline":[{"time_ms":350}]}'
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("value", [b"\xff", b"[]", b"7", b'{"time_ms":"soon"}', b'{"time_ms":'])
def test_what_is_no_record_is_not_shifted(value: bytes, packed: bool) -> None:
    assert Shift(1_000)("telemetry", value, packed) == value
