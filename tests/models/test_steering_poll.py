"""A poll is answered from the state that the player carries, by any process, and never with an older word."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from config import Settings, load
from models.steering_audiences import Audiences
from models.steering_poll import Polls
from models.steering_state import Protocol, State, read_state, signed_state
from topics.catalogue import Title
from topics.delivery import Codec, Delivery, Rendition
from topics.steering import SteeringAnswer

SETTINGS = load({}).settings
KEYS = [b"one", b"two"]


def title(**delivery: Any) -> Title:
    renditions = [
        Rendition(id=f"v{kbps}", codec=codec, codecs="avc1.64001f", bitrate_kbps=kbps, width=640, height=360,
                  frame_rate=25, hls=f"v{kbps}.m3u8")
        for kbps, codec in ((235, Codec.H264), (1_050, Codec.H264), (3_000, Codec.H264), (5_800, Codec.H265))
    ]  # fmt: skip
    return Title(time_ms=0, title="pilot", delivery=Delivery(renditions=renditions, **delivery))


def move(generation: int, **more: Any) -> SteeringAnswer:
    stated = {"time_ms": 1_000, "ttl_s": 10, "expires_ms": 300_000, "away_from": "cdn-a"}
    stated |= {"pathway_priority": ["cdn-b", "cdn-a"], **more}
    return SteeringAnswer(audience="isp=1", cell={"isp": "1"}, generation=generation, **stated)


def taken_back(generation: int) -> SteeringAnswer:
    return SteeringAnswer(
        time_ms=2_000,
        audience="isp=1",
        cell={"isp": "1"},
        pathway_priority=[],
        ttl_s=10,
        generation=generation,
    )


def polls(*said: SteeringAnswer, of: Title | None = None, settings: Settings = SETTINGS) -> Polls:
    audiences = Audiences()
    for each in said:
        audiences.take(each)
    return Polls(settings, audiences, lambda _: of)


def asked(
    process: Polls, state: State, now_ms: int = 3_000, *, genuine: bool = True
) -> tuple[list[str], State]:
    told = process.answer(state, genuine=genuine, now_ms=now_ms, load=0)
    return told.manifest.pathway_priority, told.state


VIEWER = State(asset="pilot", group=3, cell={"isp": "1"})

words = st.text(alphabet="abcXYZ019._:-", max_size=20)
states = st.builds(
    State,
    asset=st.text(max_size=50),
    group=st.integers(0, 2**40),
    protocol=st.sampled_from(Protocol),
    live=st.booleans(),
    cell=st.dictionaries(words, words, max_size=5),
    said=st.dictionaries(st.text(max_size=20), st.integers(-1, 2**62), max_size=5),
    order=st.lists(words, max_size=5),
    time_ms=st.integers(0, 2**50),
)


@given(states)
@steady
def test_a_state_comes_back_as_it_went_under_the_key_that_signed_it_or_an_older_one(state: State) -> None:
    text = signed_state(state, KEYS[1:])

    assert read_state(text, KEYS) == (state, True)
    assert read_state(text, [b"other"]) == (state, False)
    assert text == signed_state(state, KEYS[1:])


@given(states, st.data())
@steady
def test_a_state_that_was_changed_is_not_genuine(state: State, data: st.DataObject) -> None:
    text = signed_state(state, KEYS)
    at = data.draw(st.integers(0, len(text) - 2))
    other = data.draw(st.sampled_from([each for each in "AbZ09_-" if each != text[at]]))

    assert not read_state(text[:at] + other + text[at + 1 :], KEYS)[1]


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda data: data.decode("latin-1")))
@steady
def test_anything_may_come_as_a_state(text: str) -> None:
    assert not read_state(text, KEYS)[1]


def test_a_process_that_is_behind_serves_what_the_player_was_told_before() -> None:
    ahead, behind = polls(move(2)), polls()
    order, state = asked(ahead, VIEWER)

    assert order[0] == "cdn-b"
    assert asked(behind, state) == (order, state)


def test_a_word_taken_back_is_not_served_again_by_a_process_that_is_behind() -> None:
    first, ahead, behind = polls(move(2)), polls(taken_back(3)), polls(move(2))
    _, moved = asked(first, VIEWER)
    order, back = asked(ahead, moved)

    assert order == ["cdn-a", "cdn-b", "cdn-c"]
    assert asked(behind, back)[0] == order


def test_a_process_that_never_reads_further_is_believed_in_the_end() -> None:
    behind = polls()
    _, state = asked(polls(move(2)), VIEWER)

    later_ms = 1_000 + int(1_000 * SETTINGS.steering.behind_within_s)

    assert asked(behind, state, later_ms)[0][0] == "cdn-a"


def test_what_a_player_claims_to_have_been_told_counts_for_nothing() -> None:
    _, state = asked(polls(move(2)), VIEWER)

    order, after = asked(polls(), state, genuine=False)

    assert order[0] == "cdn-a"
    assert after.said == {}


def test_the_state_of_a_group_is_the_same_poll_after_poll() -> None:
    process = polls(move(2))
    _, first = asked(process, VIEWER)

    assert asked(process, first, 4_000)[1] == first


def test_a_title_may_have_its_own_cdns_and_those_not_set_up_are_passed_over() -> None:
    process = polls(of=title(pathways=["cdn-z", "cdn-c", "cdn-a"]))

    assert asked(process, VIEWER)[0] == ["cdn-c", "cdn-a"]


def test_nobody_is_sent_to_a_cdn_without_a_node_that_is_up_unless_he_is_of_a_control() -> None:
    first, second, *_ = Polls(SETTINGS, Audiences(), lambda _: None).default_order("pilot", VIEWER.group)
    control = SteeringAnswer(
        time_ms=2_000,
        audience="isp=1",
        cell={"isp": "1"},
        pathway_priority=[second, first],
        away_from=first,
        share=0.001,
        ttl_s=10,
        generation=1,
        expires_ms=90_000,
    )

    def order(*said: SteeringAnswer) -> list[str]:
        audiences = Audiences()
        for each in said:
            audiences.take(each)
        process = Polls(SETTINGS, audiences, lambda _: None, lambda group, now_ms: [first])
        return asked(process, VIEWER)[0]

    assert order()[0] == second
    assert order()[-1] == first
    assert order(control)[0] == first


def test_only_viewers_of_a_dead_cdn_go_elsewhere_and_share_out_as_others_do() -> None:
    of = title(split={"cdn-a": 0.5, "cdn-b": 0.3, "cdn-c": 0.2})
    process = polls(of=of)
    orders = {
        group: (process.default_order("pilot", group), process.default_order("pilot", group, ["cdn-a"]))
        for group in range(2_000)
    }

    stayed = [after[0] == before[0] for before, after in orders.values() if before[0] != "cdn-a"]
    went = [after[0] for before, after in orders.values() if before[0] == "cdn-a"]
    assert all(stayed)
    assert went.count("cdn-b") / len(went) == pytest.approx(0.6, abs=0.05)
    assert all(after[-1] == "cdn-a" for _, after in orders.values())


def test_a_cdn_that_died_after_a_command_had_named_it_is_last() -> None:
    moved = SteeringAnswer(
        time_ms=2_000,
        audience="isp=1",
        cell={"isp": "1"},
        pathway_priority=["cdn-b", "cdn-a"],
        away_from="cdn-a",
        share=1.0,
        ttl_s=10,
        generation=1,
        expires_ms=90_000,
    )
    audiences = Audiences()
    audiences.take(moved)
    process = Polls(SETTINGS, audiences, lambda _: None, lambda group, now_ms: ["cdn-b"])

    assert asked(process, VIEWER)[0] == ["cdn-c", "cdn-a", "cdn-b"]


def test_viewers_are_shared_out_over_the_cdns_by_default() -> None:
    process = polls(of=title(split={"cdn-b": 0.4, "cdn-c": 0.1}))

    firsts = [process.default_order("pilot", group)[0] for group in range(1_000)]

    assert firsts.count("cdn-b") == pytest.approx(400, abs=50)
    assert firsts.count("cdn-c") == pytest.approx(100, abs=30)


def test_quality_is_shed_by_clones_that_keep_the_whole_ladder() -> None:
    process = polls(move(2, pathway_priority=[], away_from="", max_bitrate_kbps=1_750.0), of=title())

    told = process.answer(VIEWER, genuine=True, now_ms=3_000, load=0).manifest

    assert told.pathway_priority[:3] == ["cdn-a.1750", "cdn-b.1750", "cdn-c.1750"]
    assert told.pathway_priority[3:] == ["cdn-a", "cdn-b", "cdn-c"]
    clone = told.pathway_clones[0]
    assert (clone.base_id, clone.id) == ("cdn-a", "cdn-a.1750")
    assert clone.uri_replacement.per_variant_uris == {"v3000": "https://cdn-a.example/pilot/v1050.m3u8"}


def test_nothing_is_shed_where_players_cannot_use_such_clones_or_nothing_would_change() -> None:
    cap = move(2, pathway_priority=[], away_from="", max_bitrate_kbps=1_750.0)
    dash = msgspec.structs.replace(VIEWER, protocol=Protocol.DASH)
    high = move(2, pathway_priority=[], away_from="", max_bitrate_kbps=9_000.0)

    assert not polls(cap, of=title()).answer(dash, genuine=True, now_ms=0, load=0).manifest.pathway_clones
    assert not polls(high, of=title()).answer(VIEWER, genuine=True, now_ms=0, load=0).manifest.pathway_clones


def test_a_clone_of_the_settings_is_told_with_a_port_to_dash_alone() -> None:
    clones = '{"cdn-x": {"of": "cdn-a", "host": "x.example", "port": 8443, "params": {"t": "1"}}}'
    settings = load(
        {"PLAYHEAD_DELIVERY__ORDER": '["cdn-a", "cdn-x"]', "PLAYHEAD_DELIVERY__CLONES": clones}
    ).settings
    process = polls(settings=settings)

    def clone(protocol: Protocol) -> Any:
        state = msgspec.structs.replace(VIEWER, protocol=protocol)
        (found,) = process.answer(state, genuine=True, now_ms=0, load=0).manifest.pathway_clones
        return msgspec.to_builtins(found)

    assert clone(Protocol.HLS) == {
        "BASE-ID": "cdn-a",
        "ID": "cdn-x",
        "URI-REPLACEMENT": {"HOST": "x.example", "PARAMS": {"t": "1"}},
    }
    assert clone(Protocol.DASH)["URI-REPLACEMENT"]["HOST"] == "x.example:8443"
