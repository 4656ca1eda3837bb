from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from fake_batch import FakeBatch

import config
from agents.cohorts import WindowJudge
from agents.playback import BeatSummer
from topics import ANOMALIES, COHORT_PARTS, COHORTS, PLAYBACK, SPENDING
from topics.anomalies import Anomaly, AnomalyKind, Phase, Severity
from topics.emission import Emission
from topics.playback import Beat, PlayerState

SHORT = {
    "PLAYHEAD_QOE__WINDOW_S": "1",
    "PLAYHEAD_QOE__SLIDE_S": "0.5",
    "PLAYHEAD_QOE__LATENESS_S": "0.3",
    "PLAYHEAD_QOE__MIN_VIEWERS": "10",
    "PLAYHEAD_QOE__WARMUP_WINDOWS": "2",
}
START_MS = 1_700_000_000_000
PARTITIONS = 2
VIEWERS = 36


class Room:
    """The lanes of playback and of cohorts, one after the other, without a broker between them."""

    def __init__(self, environment: dict[str, str], first_offset: int = 0) -> None:
        self.settings = config.load(environment).settings
        self.summers = [
            BeatSummer(partition, PARTITIONS, self.settings.qoe, 10_000) for partition in range(PARTITIONS)
        ]
        self.judge = WindowJudge(self.settings)
        self.offset = first_offset

    def process(self, beats: Iterable[Beat]) -> list[Emission]:
        """Take beats in the order of their times, each by its session's partition."""
        told = []
        for beat in beats:
            partition = int(beat.session_id.removeprefix("s")) % PARTITIONS
            records = [(b"", PLAYBACK.encode(beat), beat.time_ms, False)]
            for emission in self.summers[partition].process(FakeBatch("playback", partition, records)):
                part = [(b"", COHORT_PARTS.encode(emission.record), beat.time_ms, False)]
                told += self.judge.process(FakeBatch("cohorts.parts", 0, part, self.offset))
                self.offset += 1
        return told


def watching(from_s: float, to_s: float, stalled_cdn: str = "", seed: int = 1) -> list[Beat]:
    """Beats each quarter of a second of viewers over three CDNs, each all played or all stalled."""
    rng = np.random.default_rng(seed)
    beats = []
    for time_ms in range(int(from_s * 1000), int(to_s * 1000), 250):
        for viewer in range(VIEWERS):
            cdn = "abc"[viewer % 3]
            stalls = cdn == stalled_cdn and rng.random() < 0.8
            beats.append(
                Beat(
                    time_ms=START_MS + time_ms + int(rng.integers(0, 200)),
                    session_id=f"s{viewer}",
                    state=PlayerState.REBUFFERING if stalls else PlayerState.PLAYING,
                    title="t",
                    cdn=cdn,
                    isp="xy"[viewer // 3 % 2],
                    play_ms=0 if stalls else 250,
                    stall_ms=250 if stalls else 0,
                    stalls=int(stalls),
                )
            )
    return sorted(beats, key=lambda beat: beat.time_ms)


def anomalies(emissions: list[Emission]) -> list[Anomaly]:
    return [emission.record for emission in emissions if emission.spec is ANOMALIES]


def test_short_windows_name_a_cdn_that_stalls_within_two_windows() -> None:
    room = Room(SHORT)
    fault_s = 3.0
    assert anomalies(room.process(watching(0, fault_s))) == []

    told = anomalies(room.process(watching(fault_s, 6.0, stalled_cdn="b")))

    assert told
    first = told[0]
    assert (first.phase, first.kind) == (Phase.START, AnomalyKind.STREAMING_QUALITY_DROP)
    assert first.cell == {"cdn": "b"}
    assert first.causes[0].owner == "CDN b"
    assert first.causes[0].lever == "steer title=t away from cdn b"
    assert first.time_ms <= START_MS + 1000 * (fault_s + 2 * room.settings.qoe.window_s)
    assert first.pages
    assert 0 < first.impact_viewers <= VIEWERS / 3


def test_an_episode_of_short_windows_ends_when_its_cdn_is_well() -> None:
    room = Room(SHORT)
    room.process(watching(0, 3))
    room.process(watching(3, 6, stalled_cdn="b"))

    told = anomalies(room.process(watching(6, 9)))

    assert [each.phase for each in told if each.metric == "stalled_ratio"] == [Phase.END]


def test_overlapping_windows_are_told_by_cohort_each_at_its_own_end() -> None:
    room = Room(SHORT)

    told = room.process(watching(0, 4))

    everyone = [each.record for each in told if each.spec is COHORTS and each.record.cohort == "title=t"]
    starts = [each.window_start_ms - START_MS for each in everyone]
    assert starts[:5] == [-500, 0, 500, 1_000, 1_500]
    assert {each.measures.viewers for each in everyone} == {VIEWERS}


@pytest.mark.parametrize("cut", [0, 70, 333, 500])
def test_restored_lanes_go_on_the_same(cut: int) -> None:
    beats = [*watching(0, 3), *watching(3, 5, stalled_cdn="b")]
    straight = Room(SHORT).process(beats)

    first = Room(SHORT)
    before = first.process(beats[:cut])
    second = Room(SHORT, first.offset)
    for old, new in zip(first.summers, second.summers, strict=True):
        new.restore(old.snapshot())
    second.judge.restore(first.judge.snapshot())
    after = second.process(beats[cut:])

    assert [each.record for each in before + after] == [each.record for each in straight]


def test_both_judges_tell_once_a_period_what_they_have_spent() -> None:
    quick = {"PLAYHEAD_BUDGET__PACE_PERIOD_S": "1"}
    warm = {"PLAYHEAD_AUDIENCE__WARMUP_WINDOWS": "2", "PLAYHEAD_AUDIENCE__MIN_VIEWERS": "5"}

    told = Room(SHORT | quick | warm).process(watching(0, 6))

    ledgers = [each.record for each in told if each.spec is SPENDING]
    by_detector = {each.detector: each for each in ledgers}
    assert set(by_detector) == {"cohorts", "audience"}
    assert by_detector["cohorts"].share == 0.4
    assert by_detector["audience"].share == 0.1
    newest = by_detector["cohorts"]
    assert 0 < newest.spent < newest.false_pages_per_week
    assert newest.tests > 0
    assert newest.page_level > 0


def test_a_snapshot_made_by_another_budget_is_learned_anew() -> None:
    room = Room(SHORT)
    room.process(watching(0, 3))
    other = WindowJudge(config.load({"PLAYHEAD_BUDGET__FALSE_PAGES_PER_WEEK": "7"}).settings)

    other.restore(room.judge.snapshot())

    told: list[Any] = other.process(FakeBatch("cohorts.parts", 0, [(b"", b"?", START_MS, False)]))
    assert told == []


def dark(room: Room, from_s: float, to_s: float) -> list[Anomaly]:
    """Both partitions say twice a second that they have nothing to read."""
    told: list[Anomaly] = []
    for half_second in range(int(2 * from_s), int(2 * to_s)):
        for summer in room.summers:
            now_ms = START_MS + 500 * half_second
            parts = [(b"", COHORT_PARTS.encode(said.record), now_ms, False) for said in summer.idle()]
            told += anomalies(room.judge.process(FakeBatch("cohorts.parts", 0, parts, room.offset)))
            room.offset += len(parts)
    return told


SILENT = {**SHORT, "PLAYHEAD_AUDIENCE__SILENT_AFTER_S": "20", "PLAYHEAD_AUDIENCE__MIN_VIEWERS": "10"}


def test_all_viewers_silent_at_once_is_told_once_and_ends_when_they_are_heard_again() -> None:
    room = Room(SILENT)
    room.process(watching(0, 10))

    early = dark(room, 11, 30)
    late = dark(room, 30, 60)
    back = anomalies(room.process(watching(60, 66)))

    assert early == []
    (start,) = late
    assert (start.phase, start.severity, start.kind) == (
        Phase.START,
        Severity.CRITICAL,
        AnomalyKind.TRAFFIC_ANOMALY,
    )
    assert start.impact_viewers == VIEWERS
    assert start.pages
    assert f"any of {VIEWERS} viewers" in start.detail
    assert [(each.phase, each.series) for each in back] == [(Phase.END, start.series)]


def test_a_source_that_still_speaks_is_no_blackout() -> None:
    room = Room(SILENT)
    room.process(watching(0, 10))

    told = dark(room, 11, 25)
    for summer in room.summers:
        part = [(b"", COHORT_PARTS.encode(summer.awake()[0].record), START_MS + 25_000, False)]
        told += anomalies(room.judge.process(FakeBatch("cohorts.parts", 0, part, room.offset)))

    assert told + dark(room, 26, 40) == []


def test_nobody_watching_who_falls_silent_is_no_blackout() -> None:
    room = Room({**SILENT, "PLAYHEAD_AUDIENCE__MIN_VIEWERS": str(VIEWERS + 1)})
    room.process(watching(0, 10))

    assert dark(room, 11, 100) == []


def test_a_blackout_is_told_once_whatever_the_judge_was_restored_from() -> None:
    room = Room(SILENT)
    room.process(watching(0, 10))
    early = dark(room, 11, 25)
    restored = Room(SILENT, room.offset)
    restored.summers = room.summers
    restored.judge.restore(room.judge.snapshot())

    late = dark(room, 25, 50)

    assert early == []
    assert [each.id for each in late] == [each.id for each in dark(restored, 25, 50)]
    assert len(late) == 1
