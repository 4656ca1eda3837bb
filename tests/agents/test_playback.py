from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from fake_batch import FakeBatch
from hypothesis import given
from hypothesis import strategies as st

import config
from agents.playback import BeatSummer
from models.log_buckets import duration_buckets
from topics import COHORT_PARTS, PLAYBACK
from topics.cohorts import MEASURES, CohortParts
from topics.playback import Beat, Beats, PlayerState

QOE = config.load({"PLAYHEAD_QOE__WINDOW_S": "10", "PLAYHEAD_QOE__LATENESS_S": "0"}).settings.qoe
ARRIVED_MS = 1_000_000


def summer() -> BeatSummer:
    return BeatSummer(partition=2, partitions=4, qoe=QOE, max_future_ms=1_000)


def beat(time_ms: int, session: str = "s", **fields: Any) -> Beat:
    fields.setdefault("state", PlayerState.PLAYING)
    return Beat(time_ms=time_ms, session_id=session, title="t", cdn="a", play_ms=1_000, **fields)


def batch(*values: bytes | None, packed: bool = False) -> FakeBatch:
    return FakeBatch("playback", 2, [(b"s", value, ARRIVED_MS, packed) for value in values])


def beats(*rows: Beat) -> FakeBatch:
    return batch(*(PLAYBACK.encode(row) for row in rows))


def parts(emissions: list[Any]) -> list[CohortParts]:
    assert all(emission.spec is COHORT_PARTS for emission in emissions)
    return [emission.record for emission in emissions]


def test_a_window_is_told_when_a_beat_passes_its_end() -> None:
    model = summer()

    first = parts(model.process(beats(beat(1_000, "x"), beat(2_000, "y", stall_ms=500, stalls=1))))
    assert not any(part.cells for part in first)
    [part] = parts(model.process(beats(beat(10_000, "x"))))

    assert (part.source, part.sources, part.window_start_ms, part.watermark_ms) == (2, 4, 0, 10_000)
    assert part.measures["viewers"] == [2.0]
    assert part.measures["stalled_viewers"] == [1.0]
    assert part.origin_ms == ARRIVED_MS
    assert part.cells == [["t", "a", "", "", "", "", "", "", ""]]


def test_sliding_windows_overlap_and_each_tells_its_own_end() -> None:
    qoe = config.load({"PLAYHEAD_QOE__WINDOW_S": "1", "PLAYHEAD_QOE__SLIDE_S": "0.5"}).settings.qoe
    model = BeatSummer(2, 4, qoe.model_copy(update={"lateness_s": 0.3}), 1_000)

    told = parts(model.process(beats(beat(100, "x"), beat(700, "x"), beat(1_100, "y"), beat(1_800, "y"))))

    assert [(part.window_start_ms, part.watermark_ms, part.measures["viewers"]) for part in told] == [
        (0, 1_000, [1.0]),
        (500, 1_500, [2.0]),
    ]
    assert told[1].measures["play_ms"] == [2_000.0]


def test_windows_closed_by_one_batch_each_tell_their_own_end_and_the_beat_that_closed_them() -> None:
    rows = [beat(1_000), beat(11_000), beat(21_000), beat(22_000)]
    arrivals = [(b"s", PLAYBACK.encode(row), ARRIVED_MS + number, False) for number, row in enumerate(rows)]

    first, second = parts(summer().process(FakeBatch("playback", 2, arrivals)))

    assert (first.window_start_ms, first.watermark_ms, first.origin_ms) == (0, 10_000, ARRIVED_MS + 1)
    assert (second.window_start_ms, second.watermark_ms, second.origin_ms) == (10_000, 20_000, ARRIVED_MS + 2)


def test_startup_times_and_live_latencies_are_counted_in_buckets() -> None:
    model = summer()

    model.process(beats(beat(0, "x", startup_ms=1_000, weight=3.0), beat(1, "y", live_latency_ms=8_000)))
    [part] = parts(model.process(beats(beat(10_000))))

    buckets = duration_buckets(QOE)
    assert {name: (sketch.cell, sketch.bucket, sketch.count) for name, sketch in part.sketches.items()} == {
        "startup_ms": ([0], buckets.of(np.array([1_000])).tolist(), [3.0]),
        "live_latency_ms": ([0], buckets.of(np.array([8_000])).tolist(), [1.0]),
    }


@pytest.mark.parametrize(
    ("fields", "measures"),
    [
        ({"state": PlayerState.FAILED, "started": False}, {"start_failures"}),
        ({"state": PlayerState.FAILED, "started": False, "error": "no_rights"}, {"refusals"}),
        ({"state": PlayerState.FAILED, "started": True}, {"playback_failures", "ended_plays"}),
        ({"state": PlayerState.QUIT, "started": True}, {"ended_plays"}),
        ({"state": PlayerState.QUIT, "started": False}, {"exits_before_start"}),
        ({"state": PlayerState.QUIT, "started": False, "waited_ms": 1_000}, {"exits_before_start"}),
        ({"state": PlayerState.QUIT, "started": False, "waited_ms": 999}, set()),
        ({"startup_ms": 900}, {"starts"}),
        ({"attempt": True}, {"attempts"}),
    ],
)
def test_each_event_of_a_session_counts_under_its_own_measures(
    fields: dict[str, Any], measures: set[str]
) -> None:
    model = summer()

    model.process(beats(beat(0, **fields)))
    [part] = parts(model.process(beats(beat(10_000))))

    counted = set(MEASURES) - {"viewers", "play_ms", "startup_ms"}
    assert {name for name in counted if part.measures[name] == [1.0]} == measures


def test_mean_bitrate_is_weighted_by_the_time_played() -> None:
    model = summer()
    qoe = QOE.model_copy(update={"dimensions": ("cdn",)})
    model = BeatSummer(2, 4, qoe, 1_000)

    model.process(beats(beat(0, bitrate_kbps=1_000), beat(1, bitrate_kbps=4_000), beat(2)))
    [part] = parts(model.process(beats(beat(10_000))))

    assert part.measures["bitrate_kbps_ms"][0] / part.measures["bitrate_ms"][0] == 2_500


def test_packed_records_count_as_the_beats_inside() -> None:
    rows = [beat(number, f"s{number}") for number in range(50)]
    single, packed = summer(), summer()

    single.process(beats(*rows))
    packed.process(batch(msgspec.json.encode(Beats(beats=rows)), packed=True))

    end = beats(beat(10_000))
    assert parts(single.process(end)) == parts(packed.process(end))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        None,
        b"not json",
        b"[]",
        b"{}",
        b'{"time_ms": 5, "session_id": "s", "state": "playing", "stall_ms": -1}',
        b'{"time_ms": 5, "session_id": "s", "state": "dancing"}',
        b'{"time_ms": NaN, "session_id": "s", "state": "playing"}',
        b'{"time_ms": 5, "session_id": "s", "state": "playing", "weight": 1e999}',
        b'{"time_ms": 5, "session_id": "\xff", "state": "playing"}',
        b'{"time_ms": 5, "session_id": "s", "state": "playing"}, {"time_ms": 5}',
        b"[" * 100_000,
        b'{"time_ms": 5, "session_id": "s", "state": "playing", "x": "' + b"y" * 1_000_001 + b'"}',
    ],
)
def test_one_bad_record_is_refused_and_the_others_count(bad: bytes | None) -> None:
    model = summer()
    good = PLAYBACK.encode(beat(0))

    mixed = batch(good, bad, good)
    model.process(mixed)

    assert [(index, inside) for index, _, inside in mixed.refusals] == [(1, None)]
    assert mixed.refusals[0][1]
    assert mixed.processed == 2


def test_beats_from_the_future_and_late_ones_are_refused_and_said_why() -> None:
    model = summer()
    model.process(beats(beat(20_000)))

    mixed = beats(beat(ARRIVED_MS + 1_001), beat(9_999), beat(20_001))
    model.process(mixed)

    assert [index for index, _, _ in mixed.refusals] == [0, 1]
    assert "from the future" in mixed.refusals[0][1]
    assert "late" in mixed.refusals[1][1]
    assert (mixed.processed, mixed.late) == (1, 1)


def test_idleness_tells_what_open_windows_hold_and_keeps_them_open() -> None:
    model = summer()
    model.process(beats(beat(1_000, "x")))

    open_part, silence = parts(model.idle())
    model.process(beats(beat(2_000, "y")))
    [whole] = parts(model.process(beats(beat(10_000))))

    assert open_part.measures["viewers"] == [1.0]
    assert silence.idle
    assert whole.measures["viewers"] == [2.0]


def test_a_watermark_that_passes_an_empty_window_is_told() -> None:
    model = summer()
    model.process(beats(beat(1_000)))
    model.process(beats(beat(11_000)))
    model.process(beats(beat(21_000)))

    [part] = parts(model.process(beats(beat(55_000))))
    assert (part.window_start_ms, part.watermark_ms) == (20_000, 50_000)


@given(st.lists(st.integers(0, 60_000), max_size=40), st.integers(0, 40))
def test_a_snapshot_restored_mid_stream_tells_the_same_parts(times: list[int], cut: int) -> None:
    rows = [beat(time_ms, f"s{number}") for number, time_ms in enumerate(times)]
    straight = summer()
    expected = [part for row in rows for part in parts(straight.process(beats(row)))]

    first, second = summer(), summer()
    told = [part for row in rows[:cut] for part in parts(first.process(beats(row)))]
    second.restore(first.snapshot())
    told += [part for row in rows[cut:] for part in parts(second.process(beats(row)))]

    assert told == expected
