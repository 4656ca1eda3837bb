from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from config import load
from playhead.demo.data import Incident, Row
from playhead.demo.viewers import (
    MINUTE_MS,
    Answers,
    Channel,
    Origin,
    ends_in_trouble,
    in_any,
    timeline,
)
from topics import PLAYBACK
from topics.fields import Cell
from topics.playback import Beat
from topics.steering import SteeringAnswer

DEMO = load({}).settings.demo
START_MS = 1_700_000_040_000
FAULTY: Cell = {"cdn": "5", "p2p": "1", "bitrate_kbps": "2000"}
HEALTHY: Cell = {"cdn": "3", "p2p": "1", "bitrate_kbps": "2000"}


def incident(*stalled: tuple[int, int], labelled: int = 2, cause: Cell | None = None) -> Incident:
    """Minutes of 1,000 viewers on CDN 5 and as many on CDN 3, of whom so many stall."""
    minutes = [[Row(FAULTY, 1_000, bad), Row(HEALTHY, 1_000, good)] for bad, good in stalled]
    return Incident("made.csv", minutes, labelled, [cause or {"cdn": "5"}])


LASTING = incident((20, 20), (20, 20), (500, 20), (500, 20), (500, 20))
BRIEF = incident((20, 20), (20, 20), (500, 20), (20, 20), (20, 20))


def channel(played: Incident, answers: Answers | None = None) -> Channel:
    minutes = timeline(played, DEMO, seed=1)
    return Channel("c", played, minutes, START_MS, answers or Answers(), DEMO, seed=1)


def answer(**fields: Any) -> SteeringAnswer:
    told = {"time_ms": START_MS, "audience": "title=c", "cell": {"title": "c"}, "ttl_s": 10, "generation": 1}
    return SteeringAnswer(
        **{"pathway_priority": ["3", "5"], "away_from": "5", "command_id": "x"} | told | fields
    )


def beats_of(played: Channel, until_ms: int) -> list[Beat]:
    """What the channel sends before `until_ms`, as the contract reads it."""
    sent = list(played.until(until_ms))
    beats = [PLAYBACK.decode(value) for _, value in sent]
    assert [key.decode() for key, _ in sent] == [PLAYBACK.key_of(beat) for beat in beats]
    return beats


def counted(beats: list[Beat]) -> dict[tuple[int, str], tuple[int, int]]:
    """Viewers and stalled viewers by minute and CDN."""
    viewers: Counter[tuple[int, str]] = Counter()
    stalled: Counter[tuple[int, str]] = Counter()
    for beat in beats:
        at = (beat.time_ms - START_MS) // MINUTE_MS, beat.cdn
        viewers[at] += 1
        stalled[at] += beat.stalls
    return {at: (count, stalled[at]) for at, count in viewers.items()}


def test_each_cell_and_minute_has_as_many_viewers_and_stalls_as_the_recording() -> None:
    played = channel(LASTING)

    beats = beats_of(played, played.recorded_until_ms)

    recorded = counted(beats)
    for minute, rows in enumerate(LASTING.minutes):
        for row in rows:
            assert recorded[minute, row.cell["cdn"]] == (row.viewers, row.stalled)
    assert played.sent == {Origin.RECORDED: LASTING.beats, Origin.OBEYED: 0, Origin.SIMULATED: 0}


def test_beats_come_in_the_order_of_time_however_they_are_asked_for() -> None:
    whole = beats_of(channel(LASTING), START_MS + 4 * MINUTE_MS + 500)
    piecewise = channel(LASTING)

    ends_ms = [*range(0, 4 * MINUTE_MS, 7_000), 4 * MINUTE_MS + 500]
    pieces = [beats_of(piecewise, START_MS + end_ms) for end_ms in ends_ms]

    assert [beat for piece in pieces for beat in piece] == whole
    assert [beat.time_ms for beat in whole] == sorted(beat.time_ms for beat in whole)


def test_a_viewer_is_the_same_session_in_every_minute_and_sends_one_beat_in_each() -> None:
    played = channel(LASTING)
    beats = beats_of(played, played.recorded_until_ms)

    sessions = Counter(beat.session_id for beat in beats)

    assert len(sessions) == 2_000
    assert set(sessions.values()) == {len(LASTING.minutes)}


def test_other_viewers_stall_each_minute() -> None:
    stalled: dict[int, set[str]] = {0: set(), 1: set()}

    for beat in beats_of(channel(LASTING), START_MS + 2 * MINUTE_MS):
        if beat.stalls:
            stalled[(beat.time_ms - START_MS) // MINUTE_MS].add(beat.session_id)

    assert len(stalled[0]) == len(stalled[1]) == 40
    assert stalled[0] != stalled[1]


def test_from_the_answer_on_its_share_moves_and_stalls_as_the_healthy_do() -> None:
    answers = Answers()
    played = channel(LASTING, answers)
    before = beats_of(played, START_MS + 3 * MINUTE_MS)

    answers.take(answer(share=0.4))
    after = counted(beats_of(played, START_MS + 4 * MINUTE_MS))

    assert counted(before)[2, "5"] == (1_000, 500)
    left, left_stalled = after[3, "5"]
    moved = 1_000 - left
    assert moved == pytest.approx(400, abs=50)
    assert left_stalled / left == pytest.approx(0.5, abs=0.07)
    assert after[3, "3"][0] == 1_000 + moved
    assert after[3, "3"][1] - 20 == pytest.approx(0.02 * moved, abs=12)
    assert played.sent[Origin.OBEYED] == moved


def test_a_wider_answer_moves_those_it_moved_before_and_more() -> None:
    answers = Answers()
    played = channel(LASTING, answers)

    answers.take(answer(share=0.2))
    first = {b.session_id for b in beats_of(played, START_MS + MINUTE_MS) if b.cdn == "3"}
    answers.take(answer(share=0.6, generation=2))
    second = {b.session_id for b in beats_of(played, START_MS + 2 * MINUTE_MS) if b.cdn == "3"}

    assert first < second


def test_when_the_answer_is_undone_everyone_goes_back() -> None:
    answers = Answers()
    played = channel(LASTING, answers)
    answers.take(answer(share=0.4))
    beats_of(played, START_MS + MINUTE_MS)

    answers.take(answer(pathway_priority=[], away_from="", command_id="", generation=2))
    beats = beats_of(played, START_MS + 2 * MINUTE_MS)

    assert counted(beats) == {(1, "5"): (1_000, 20), (1, "3"): (1_000, 20)}


def test_an_answer_of_an_older_generation_changes_nothing() -> None:
    answers = Answers()
    answers.take(answer(share=0.4, generation=5))

    answers.take(answer(share=1.0, generation=4))

    assert answers.move("c", FAULTY, [2_000])[0] == 0.4


def test_an_answer_for_another_channel_moves_no_one() -> None:
    answers = Answers()

    answers.take(answer(cell={"title": "other"}))

    assert answers.move("c", FAULTY, [2_000]) == (0.0, FAULTY)


def test_the_narrowest_audience_that_is_moved_counts() -> None:
    answers = Answers()
    answers.take(answer(share=0.1))
    answers.take(answer(share=0.7, audience="narrow", cell={"title": "c", "p2p": "1"}))
    elsewhere = {"title": "c", "p2p": "1", "bitrate_kbps": "2000"}
    answers.take(answer(share=0.9, audience="narrowest", cell=elsewhere, away_from="7"))

    assert answers.move("c", FAULTY, [2_000])[0] == 0.7


def test_a_cap_moves_viewers_to_the_best_bitrate_of_the_channel_below_it() -> None:
    answers = Answers()
    capped = answer(pathway_priority=[], away_from="", max_bitrate_kbps=1_750.0)
    answers.take(capped)

    assert answers.move("c", FAULTY, [500, 1_200, 2_000]) == (1.0, FAULTY | {"bitrate_kbps": "1200"})
    assert answers.move("c", FAULTY | {"bitrate_kbps": "500"}, [500, 1_200, 2_000])[0] == 0.0


def test_moving_away_from_what_is_not_the_cause_heals_no_one() -> None:
    wrong = incident((20, 20), (20, 20), (500, 500), (500, 500), cause={"p2p": "1"})
    answers = Answers()
    played = channel(wrong, answers)

    answers.take(answer(share=1.0))
    beats = [b for b in beats_of(played, START_MS + 3 * MINUTE_MS) if b.time_ms >= START_MS + 2 * MINUTE_MS]

    assert {beat.cdn for beat in beats} == {"3"}
    assert sum(beat.stalls for beat in beats) == 1_000


def test_a_fault_still_on_at_the_end_goes_on_for_a_while_and_heals() -> None:
    played = channel(LASTING)

    beats = beats_of(played, played.end_ms)

    assert ends_in_trouble(LASTING)
    rates = {minute: bad / all_ for (minute, cdn), (all_, bad) in counted(beats).items() if cdn == "5"}
    lasting = [rates[5 + minute] for minute in range(DEMO.fault_minutes)]
    healed = [rates[5 + DEMO.fault_minutes + minute] for minute in range(DEMO.healed_minutes)]
    assert lasting == [pytest.approx(0.5, abs=0.07)] * DEMO.fault_minutes
    assert healed == [0.02] * DEMO.healed_minutes
    assert played.sent[Origin.SIMULATED] == 2_000 * (DEMO.fault_minutes + DEMO.healed_minutes)


def test_a_fault_over_at_the_end_does_not_come_back() -> None:
    played = channel(BRIEF)

    assert not ends_in_trouble(BRIEF)
    assert len(played.minutes) == 5 + DEMO.healed_minutes


def test_a_minute_the_recording_stopped_amid_is_left_out() -> None:
    torn = Incident("torn.csv", [*LASTING.minutes, [Row(FAULTY, 30, 0)]], 2, [{"cdn": "5"}])

    assert [m.rows for m in timeline(torn, DEMO, 1) if not m.simulated] == LASTING.minutes


def test_the_simulation_is_the_same_for_the_same_seed() -> None:
    assert timeline(LASTING, DEMO, 5) == timeline(LASTING, DEMO, 5)
    assert timeline(LASTING, DEMO, 5) != timeline(LASTING, DEMO, 6)


def test_the_audience_of_a_minute_is_told_as_it_is_moved() -> None:
    answers = Answers()
    played = channel(LASTING, answers)
    answers.take(answer(share=0.25))

    audience: Counter[str] = Counter()
    for cell, viewers in played.audience(START_MS):
        audience[cell["cdn"]] += round(viewers)

    assert audience == {"5": 750, "3": 1_250}
    assert list(played.audience(START_MS - 1)) == []


def test_a_cell_is_faulty_where_one_cause_holds_it() -> None:
    assert in_any(FAULTY, [{"cdn": "9"}, {"cdn": "5", "p2p": "1"}])
    assert not in_any(HEALTHY, [{"cdn": "5"}])
