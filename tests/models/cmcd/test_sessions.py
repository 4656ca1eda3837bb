"""Reports of players become sessions: in order, once each, with time that adds up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cmcd_samples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from config.cmcd import SessionSettings
from models.cmcd.ordering import moment_of
from models.cmcd.sessions import Sessions
from topics.cmcd import Carriage, CmcdKeys, CmcdRecord
from topics.playback import Beat, PlayerState

SETTINGS = config.load({}).settings.sessions
EVERY = SETTINGS.model_copy(update={"beat_interval_ms": 0})
"""A beat for every report, so that nothing is left untold at the end."""
STEADY = settings(derandomize=True, deadline=None, max_examples=60)


def event(sn: int | None, ts: int, sta: str | None = None, **rest: Any) -> CmcdRecord:
    arrived_ms = rest.pop("arrived_ms", ts)
    session, receiver = rest.pop("session", "s"), rest.pop("receiver", "")
    cdn = rest.pop("cdn", "")
    keys = CmcdKeys(v=2, e="ps" if sta else "t", sn=sn, sta=sta, ts=ts, **rest)
    return CmcdRecord(
        time_ms=arrived_ms,
        id=f"{session}/event/{receiver}/{sn}/{ts}",
        session_id=session,
        keys=keys,
        carriage=Carriage.EVENT,
        receiver=receiver,
        cdn=cdn,
    )


def request(time_ms: int, *, session: str = "s", cdn: str = "", **keys: Any) -> CmcdRecord:
    keys.setdefault("ot", "av")
    return CmcdRecord(
        time_ms=time_ms,
        id=f"{session}/request/{time_ms}/{keys}",
        session_id=session,
        keys=CmcdKeys(**keys),
        carriage=Carriage.QUERY,
        cdn=cdn,
    )


def media(time_ms: int, buffer_ms: int, **keys: Any) -> CmcdRecord:
    """A request for two seconds of media, as hls.js makes it."""
    return request(time_ms, bl=[(buffer_ms, "av")], d=2_000, br=[(1150, "av")], **keys)


def told(records: Iterable[CmcdRecord], figures: SessionSettings = EVERY) -> list[Beat]:
    sessions = Sessions(figures)
    return [beat for record in records for beat in sessions.take(record)]


def sums(beats: Iterable[Beat]) -> dict[str, Any]:
    beats = list(beats)
    return {
        "play_ms": sum(beat.play_ms for beat in beats),
        "stall_ms": sum(beat.stall_ms for beat in beats),
        "stalls": sum(beat.stalls for beat in beats),
        "attempts": sum(beat.attempt for beat in beats),
        "startups": [beat.startup_ms for beat in beats if beat.startup_ms is not None],
        "errors": [beat.error for beat in beats if beat.error],
        "failed": sum(beat.state is PlayerState.FAILED for beat in beats),
    }


PLAY = [
    event(0, 0),
    event(1, 10, "d"),
    event(2, 100, "s"),
    event(3, 1_300, "p"),
    event(4, 6_300, "r"),
    event(5, 7_000, cen="x"),
    event(6, 8_300, "p"),
    event(7, 9_300, "a"),
    event(8, 30_000, "p"),
    event(9, 32_000, "k"),
    event(10, 33_000, "r"),
    event(11, 34_000, "p"),
    event(12, 40_000, "e"),
]
PLAYED = {
    "play_ms": 5_000 + 1_000 + 2_000 + 6_000,
    "stall_ms": 2_000,
    "stalls": 1,
    "attempts": 1,
    "startups": [1_200],
    "errors": [],
    "failed": 0,
}


def test_states_become_startup_stalls_and_play_time_and_a_wait_after_a_seek_is_no_stall() -> None:
    beats = told(PLAY)

    assert sums(beats) == PLAYED
    assert [beat.started for beat in beats] == sorted(beat.started for beat in beats)
    assert beats[-1].state is PlayerState.ENDED


def test_nothing_waits_for_the_end_of_an_interval_that_is_news() -> None:
    beats = told(PLAY, SETTINGS)

    assert sums(beats) == PLAYED
    stall = next(beat for beat in beats if beat.stalls)
    assert (stall.time_ms, stall.state, stall.stall_ms) == (6_300, PlayerState.REBUFFERING, 0)


def test_a_long_stall_is_split_over_the_beats_it_spans() -> None:
    told_ms = [1_000, 11_000, 21_000, 31_000]
    ticks = [event(n + 3, at, "r") for n, at in enumerate(told_ms)]
    beats = told([event(0, 0, "s"), event(1, 500, "p"), event(2, 1_000, "r"), *ticks[1:]])

    assert [beat.stall_ms for beat in beats if beat.state is PlayerState.REBUFFERING] == [
        0,
        10_000,
        10_000,
        10_000,
    ]
    assert sum(beat.stalls for beat in beats) == 1


@given(delays=st.lists(st.integers(0, 240), min_size=len(PLAY), max_size=len(PLAY)), twice=st.booleans())
@STEADY
def test_any_order_within_the_window_gives_the_same_sums(delays: list[int], twice: bool) -> None:
    crowded = [event(n, n * 20, PLAY[n].keys.sta) for n in range(len(PLAY))]
    arrived = [
        event(n, record.keys.ts or 0, record.keys.sta, arrived_ms=(record.keys.ts or 0) + delay)
        for n, (record, delay) in enumerate(zip(crowded, delays, strict=True))
    ]
    in_order = sums(told(crowded))

    shuffled = sorted(arrived * (1 + twice), key=lambda record: record.time_ms)

    assert sums(told([*shuffled, event(0, 10_000, session="other")])) == in_order


def test_a_report_that_never_comes_holds_up_the_others_only_for_the_window() -> None:
    sessions = Sessions(EVERY)
    for record in PLAY[:4]:
        sessions.take(record)

    assert sessions.take(event(5, 6_300, "r")) == []
    assert sessions.take(event(0, 6_799, session="other")) == []
    [beat] = sessions.take(event(1, 6_800, session="other"))

    assert (beat.state, beat.play_ms, sessions.counts["lost"]) == (PlayerState.REBUFFERING, 5_000, 1)


def test_a_straggler_beyond_the_window_and_one_told_twice_count_no_more() -> None:
    sessions = Sessions(EVERY)
    records = [*PLAY[:5], *PLAY[6:9]]
    beats = [beat for record in records for beat in sessions.take(record)]
    late = [*sessions.take(event(5, 7_000, "p", arrived_ms=30_100)), *sessions.take(PLAY[3])]

    assert late == []
    assert sums(beats)["stalls"] == 1
    assert sessions.counts["duplicate"] == 2


def test_sums_of_the_player_make_up_for_a_stall_whose_reports_were_lost() -> None:
    beats = told(
        [
            event(0, 0, "s"),
            event(1, 1_000, "p"),
            event(4, 11_000, "p", bsa=[(1, "")], bsda=[(4_000, "")]),
            event(5, 12_000, "p", bsa=[(1, "")], bsda=[(4_000, "")]),
        ]
    )

    assert sums(beats)["stalls"] == 1
    assert (sums(beats)["stall_ms"], sums(beats)["play_ms"]) == (4_000, 7_000)


def test_waits_before_the_first_picture_are_startup_even_where_the_player_calls_them_stalls() -> None:
    beats = told(
        [
            event(0, 0, "s", msd=8),
            event(1, 100, "r", su=True, bsa=[(1, "")]),
            event(2, 900, "s", msd=157),
            event(3, 1_000, "p", bsa=[(1, "")], msd=999),
            event(4, 2_000, "p", bsa=[(1, "")]),
        ]
    )

    assert sums(beats)["stalls"] == 0
    assert sums(beats)["startups"] == [999], "the last told by the start wins"


def test_what_requests_and_events_both_tell_counts_once() -> None:
    requests = [
        request(at, sn=n, v=2, sta=sta, su=sta == "s", bl=[(0 if sta in {"s", "r"} else 4_000, "av")], bs=bs)
        for n, (at, sta, bs) in enumerate(
            [(50, "s", None), (400, "s", None), (1_400, "p", None), (7_100, "r", None), (8_400, "p", True)]
        )
    ]
    both = sorted([*PLAY, *requests], key=lambda record: record.time_ms)

    assert sums(told(both)) == PLAYED


def test_several_receivers_of_one_player_count_once() -> None:
    both = sorted(
        [*PLAY, *(event(n, each.keys.ts or 0, each.keys.sta, receiver="b") for n, each in enumerate(PLAY))],
        key=lambda record: record.time_ms,
    )

    assert sums(told(both)) == PLAYED


def test_a_sequence_that_begins_anew_is_another_attempt() -> None:
    again = [event(n, (each.keys.ts or 0) + 100_000, each.keys.sta) for n, each in enumerate(PLAY)]
    sessions = Sessions(EVERY)
    beats = [beat for record in [*PLAY, *again] for beat in sessions.take(record)]

    assert sums(beats)["attempts"] == 2
    assert sums(beats)["play_ms"] == 2 * PLAYED["play_ms"]
    assert sessions.counts["restarted"] == 1


def test_a_fatal_error_before_and_after_the_start_are_told_apart() -> None:
    before = told([event(0, 0, "s"), event(1, 900, ec=["E1"]), event(2, 1_000, "f")])
    after = told([event(0, 0, "s"), event(1, 900, "p"), event(2, 5_000, "f", ec=["E2"])])

    assert [(beat.started, beat.error) for beat in before if beat.state is PlayerState.FAILED] == [
        (False, "E1")
    ]
    assert [beat.waited_ms for beat in before if beat.waited_ms is not None] == [1_000]
    assert [(beat.started, beat.error) for beat in after if beat.state is PlayerState.FAILED] == [
        (True, "E2")
    ]


def test_what_was_seen_first_in_the_middle_is_no_attempt_and_has_no_startup() -> None:
    beats = told(
        [event(57, 0, "p"), event(58, 5_000, "r"), event(59, 6_000, "p"), event(0, 9_000, session="o")]
    )

    assert sums(beats) == {
        **PLAYED,
        "play_ms": 5_000,
        "stall_ms": 1_000,
        "attempts": 0,
        "startups": [],
    }


def test_a_silence_longer_than_the_time_out_is_no_play_time() -> None:
    beats = told([event(0, 0, "s"), event(1, 1_000, "p"), event(2, 101_000, "p"), event(3, 103_000, "p")])

    assert sums(beats)["play_ms"] == 2_000


def test_hls_js_by_default_tells_starts_and_stalls_in_its_requests() -> None:
    beats = told(
        [
            request(0, ot="m", br=[(450, "")], su=True),
            media(100, 0, su=True),
            media(500, 2_000, su=True),
            media(900, 4_000),
            # Six seconds are in the buffer; the next request comes ten seconds later, out of a stall.
            media(10_900, 0, bs=True, su=True),
            media(11_900, 2_000),
            media(13_900, 2_000),
        ]
    )

    assert sums(beats)["attempts"] == 1
    assert sums(beats)["startups"] == [500]
    assert sums(beats)["stalls"] == 1
    assert sums(beats)["stall_ms"] == (10_000 - 6_000) + 1_000
    assert sums(beats)["play_ms"] == 400 + 6_000 + 2_000


def test_the_stall_belongs_to_the_cdn_it_happened_on() -> None:
    beats = told(
        [
            event(0, 0, "s", cdn="a"),
            event(1, 1_000, "p", cdn="a"),
            event(2, 5_000, "r", cdn="a"),
            event(3, 8_000, "p", cdn="b"),
            event(4, 9_000, "p", cdn="b"),
        ],
        SETTINGS,
    )

    assert {(beat.cdn, beat.stall_ms) for beat in beats if beat.stall_ms} == {("a", 3_000)}


def test_a_report_without_anything_of_a_viewer_makes_no_session_of_its_own() -> None:
    assert told([event(None, at, session="connection") for at in range(0, 60_000, 5_000)]) == []


def by_player() -> dict[str, list[CmcdRecord]]:
    groups: dict[str, list[CmcdRecord]] = {}
    for number, sample in enumerate(cmcd_samples.samples()):
        [decoded] = cmcd_samples.decode(sample)
        assert decoded.keys is not None
        name = f"{sample.player} v{sample.cmcd_version}{' headers' * (sample.carriage == 'headers')}"
        if sample.note:
            continue
        record = CmcdRecord(
            time_ms=sample.received_ms,
            id=f"r{number}",
            session_id=decoded.keys.sid or "connection",
            own_session=decoded.keys.sid is not None,
            keys=decoded.keys,
            carriage=Carriage(sample.carriage),
            title=decoded.keys.cid or "",
        )
        groups.setdefault(name, []).append(record)
    return groups


@pytest.mark.parametrize(
    ("player", "startup_ms", "bitrate_kbps"),
    [
        ("hls.js 1.7.4 v1", 405, 1150),
        ("hls.js 1.7.4 v1 headers", 393, 1150),
        ("hls.js 1.7.4 v2", 855, 1150),
        ("dash.js 5.2.1 v1", 172, 330),
        ("dash.js 5.2.1 v2", 157, 1018),
        ("shaka 5.2.12 v1", 176, 1150),
        ("shaka 5.2.12 v2", 364, 1150),
    ],
)
def test_a_real_player_makes_one_attempt_that_starts_without_a_stall(
    player: str, startup_ms: int, bitrate_kbps: int
) -> None:
    beats = told(by_player()[player])

    assert (sums(beats)["attempts"], sums(beats)["startups"]) == (1, [startup_ms])
    assert (sums(beats)["stalls"], sums(beats)["stall_ms"], sums(beats)["errors"]) == (0, 0, [])
    assert (beats[-1].state, beats[-1].bitrate_kbps) == (PlayerState.PLAYING, bitrate_kbps)
    assert {beat.title for beat in beats} == {"demo"}


def test_shaka_is_understood_by_its_events_alone_though_they_tell_no_states() -> None:
    events = [each for each in by_player()["shaka 5.2.12 v2"] if each.carriage is Carriage.EVENT]
    beats = told(events)

    assert (sums(beats)["attempts"], sums(beats)["startups"]) == (1, [364])
    [started] = [each for each in events if each.keys.msd]
    assert sums(beats)["play_ms"] == moment_of(events[-1]) - moment_of(started)


@st.composite
def wild_reports(draw: st.DrawFn) -> list[CmcdRecord]:
    """Reports that a player, or someone who pretends to be one, might send."""
    at_ms, found = 1_000_000, []
    for number in range(draw(st.integers(1, 30))):
        at_ms += draw(st.sampled_from([0, 1, 250, 900, 5_000, 30_000, 100_000]))
        figure = st.none() | st.integers(0, 100_000).map(lambda value: [(value, draw(st.sampled_from("va")))])
        keys: dict[str, Any] = {
            name: draw(figure) for name in ("bl", "bsa", "bsd", "bsda", "br") if draw(st.booleans())
        }
        keys |= {name: True for name in ("bs", "su") if draw(st.booleans())}
        keys["sta"] = draw(st.none() | st.sampled_from("spkraefqd"))
        keys["msd"] = draw(st.none() | st.integers(0, 700_000))
        keys["sn"] = draw(st.none() | st.just(number) | st.integers(0, 40))
        keys["ot"] = draw(st.none() | st.sampled_from(["v", "a", "m"]))
        keys["d"] = draw(st.none() | st.integers(0, 10_000))
        if draw(st.booleans()):
            found.append(
                event(keys.pop("sn"), at_ms, keys.pop("sta"), session=draw(st.sampled_from("xy")), **keys)
            )
        else:
            found.append(request(at_ms, session=draw(st.sampled_from("xy")), **keys))
    return found


@given(records=wild_reports())
@STEADY
def test_play_and_stall_time_never_exceed_the_time_that_passed(records: list[CmcdRecord]) -> None:
    beats = told(records)

    for session in "xy":
        times = [record.time_ms for record in records if record.session_id == session]
        spent = sum(beat.play_ms + beat.stall_ms for beat in beats if beat.session_id == session)
        assert spent <= max(times, default=0) - min(times, default=0)
    assert all(beat.play_ms >= 0 and beat.stall_ms >= 0 for beat in beats)
    assert len({beat.id for beat in beats}) == len(beats)


@given(records=wild_reports(), cut=st.integers(0, 30))
@STEADY
def test_sessions_restored_from_a_snapshot_go_on_as_they_were(records: list[CmcdRecord], cut: int) -> None:
    whole, first, second = Sessions(SETTINGS), Sessions(SETTINGS), Sessions(SETTINGS)
    expected = [beat for record in records for beat in whole.take(record)]

    beats = [beat for record in records[:cut] for beat in first.take(record)]
    second.restore(first.snapshot())
    beats += [beat for record in records[cut:] for beat in second.take(record)]

    assert beats == expected
    assert second.snapshot() == whole.snapshot()


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        Sessions(SETTINGS).restore(b"nonsense")


def test_who_is_silent_for_long_is_forgotten_and_the_longest_silent_where_there_are_too_many() -> None:
    few = SETTINGS.model_copy(update={"max_sessions": 3, "forget_ms": 1_000})
    sessions = Sessions(few)

    for number in range(5):
        sessions.take(event(0, number, "s", session=f"s{number}"))
    crowded = len(sessions)
    sessions.take(event(0, 5_000, "s", session="later"))

    assert (crowded, len(sessions), sessions.counts["forgotten"]) == (3, 1, 5)


def test_no_more_than_so_many_reports_wait() -> None:
    sessions = Sessions(SETTINGS.model_copy(update={"max_waiting": 4}))

    beats = [beat for n in range(20) for beat in sessions.take(event(2 * n + 1, 0, "p"))]

    [session] = sessions._sessions.values()
    assert len(session.streams["event:"].waiting) <= 4
    assert beats
