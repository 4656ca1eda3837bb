"""The rules by which a viewer is told which CDN to use."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import steady

from config import load
from models.steering_answers import Answer, Viewer, answer_for
from models.steering_audiences import Audiences
from models.steering_ttl import ttl_s
from topics.commands import RampStep
from topics.steering import SteeringAnswer

SETTINGS = load({}).settings.steering
DEFAULT = ["a", "b", "c"]
VIEWERS = [f"viewer {number}" for number in range(2_000)]

pathways = st.sampled_from(["a", "b", "c", "d"])
cells = st.fixed_dictionaries(
    {}, optional={"cdn": pathways, "isp": st.sampled_from("12"), "device": st.sampled_from(["tv", "mobile"])}
)


@st.composite
def words(draw: st.DrawFn) -> SteeringAnswer:
    cell = draw(cells)
    return SteeringAnswer(
        time_ms=0,
        audience=draw(st.sampled_from(["one", "two", "three", "four"])),
        cell=cell,
        pathway_priority=draw(st.lists(pathways, max_size=4, unique=True)),
        away_from=draw(st.sampled_from(["", "a", "b", "c"])),
        share=draw(st.floats(0, 1)),
        split=draw(st.dictionaries(pathways, st.floats(0, 0.3), max_size=3)),
        ttl_s=draw(st.floats(0.5, 600)),
        max_bitrate_kbps=draw(st.none() | st.floats(100, 5_000)),
        generation=draw(st.integers(0, 5)),
        expires_ms=draw(st.none() | st.integers(0, 200)),
    )


def word(audience: str, away_from: str, order: list[str], **more: object) -> SteeringAnswer:
    cell = dict(part.split("=") for part in audience.split(",")) if audience != "everyone" else {}
    stated = {"time_ms": 0, "ttl_s": 10, "generation": 1, "expires_ms": 1_000, **more}
    return SteeringAnswer(audience=audience, cell=cell, away_from=away_from, pathway_priority=order, **stated)  # type: ignore[arg-type]


def told(*said: SteeringAnswer, now_ms: int = 0, name: str = "v", **cell: str) -> Answer:
    audiences = Audiences()
    for each in said:
        audiences.take(each)
    return answer_for(audiences, SETTINGS, Viewer(name, cell), DEFAULT, now_ms)


@given(st.lists(words(), max_size=8), st.integers(0, 300), cells, st.booleans(), st.floats(0, 1e6))
@steady
def test_an_answer_names_every_cdn_of_the_title_once_and_no_other(
    said: list[SteeringAnswer], now_ms: int, cell: dict[str, str], live: bool, load_of: float
) -> None:
    audiences = Audiences()
    for each in said:
        audiences.take(each)

    answer = answer_for(audiences, SETTINGS, Viewer("v", cell, live), DEFAULT, now_ms, load_of)

    assert sorted(answer.order) == DEFAULT
    assert 1 <= answer.ttl_s <= SETTINGS.calm_ttl_most_s * (1 + SETTINGS.ttl_jitter)
    assert not live or answer.ttl_s < SETTINGS.live_buffer_s


@given(st.lists(words(), max_size=4, unique_by=lambda each: each.audience), st.integers(0, 300), cells)
@steady
def test_the_answer_does_not_depend_on_the_order_in_which_audiences_became_known(
    said: list[SteeringAnswer], now_ms: int, cell: dict[str, str]
) -> None:
    for viewer in VIEWERS[:20]:
        assert told(*said, now_ms=now_ms, name=viewer, **cell) == told(
            *reversed(said), now_ms=now_ms, name=viewer, **cell
        )


@given(st.permutations([word("isp=1", "a", ["b", "a"], generation=number) for number in range(5)]))
@steady
def test_a_lower_generation_never_replaces_a_higher_one(said: list[SteeringAnswer]) -> None:
    audiences = Audiences()
    highest = -1

    for each in said:
        held = audiences.take(each)
        assert held == (each.generation >= highest)
        highest = max(highest, each.generation)
        assert audiences.generation("isp=1") == highest


def test_renewals_without_end_take_no_more_room() -> None:
    audiences = Audiences()

    for number in range(1_000):
        audiences.take(word("isp=1", "a", ["b", "a"], generation=number, expires_ms=1_000 + number))
    ends = audiences.ends_remembered

    assert ends <= 2 + 64
    assert audiences.is_suspect("a", 1_998)
    assert not audiences.is_suspect("a", 1_999)


@given(st.lists(words(), max_size=8), st.integers(0, 300))
@steady
def test_a_cdn_is_suspect_as_long_as_any_audience_is_moved_away_from_it(
    said: list[SteeringAnswer], now_ms: int
) -> None:
    audiences = Audiences()
    newest: dict[str, SteeringAnswer] = {}

    for each in said:
        if audiences.take(each):
            newest[each.audience] = each

    for cdn in DEFAULT:
        moves = [each for each in newest.values() if each.away_from == cdn]
        lasting = [each for each in moves if each.expires_ms is None or each.expires_ms > now_ms]
        assert audiences.is_suspect(cdn, now_ms) == bool(lasting)


@given(st.lists(words(), max_size=8), cells)
@steady
def test_where_all_leases_have_run_out_the_default_order_is_told(
    said: list[SteeringAnswer], cell: dict[str, str]
) -> None:
    leases = [msgspec.structs.replace(each, expires_ms=each.expires_ms or 100) for each in said]

    answer = told(*leases, now_ms=200, **cell)

    assert answer.order == DEFAULT
    assert answer.max_bitrate_kbps is None
    assert answer.ttl_s >= SETTINGS.calm_ttl_s * (1 - SETTINGS.ttl_jitter)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_the_audience_is_moved_and_the_rest_keeps_the_default(share: float) -> None:
    move = word("isp=1", "a", ["b", "c", "a"], share=share)

    orders = [told(move, name=viewer, isp="1").order for viewer in VIEWERS]

    moved = [order for order in orders if order != DEFAULT]
    assert all(order == ["b", "c", "a"] for order in moved)
    assert len(moved) / len(VIEWERS) == pytest.approx(share, abs=0.03)


def test_a_wider_share_keeps_those_who_were_moved() -> None:
    def moved(share: float) -> set[str]:
        move = word("isp=1", "a", ["b", "c", "a"], share=share)
        return {viewer for viewer in VIEWERS if told(move, name=viewer, isp="1").order[0] == "b"}

    assert moved(0.1) < moved(0.3) < moved(0.9)


def test_those_moved_are_split_over_the_backups() -> None:
    move = word("isp=1", "a", ["b", "c", "a"], split={"b": 0.75, "c": 0.25})

    firsts = Counter(told(move, name=viewer, isp="1").order[0] for viewer in VIEWERS)

    assert firsts["b"] / len(VIEWERS) == pytest.approx(0.75, abs=0.03)
    assert firsts["b"] + firsts["c"] == len(VIEWERS)


def test_viewers_return_in_the_steps_of_the_ramp() -> None:
    steps = [RampStep(at_ms=100, share=0.5), RampStep(at_ms=200, share=0.1)]
    move = word("isp=1", "a", ["b", "c", "a"], ramp=steps)

    moved = {
        now_ms: {
            viewer for viewer in VIEWERS if told(move, now_ms=now_ms, name=viewer, isp="1").order != DEFAULT
        }
        for now_ms in (0, 150, 250, 1_000)
    }

    assert moved[0] > moved[150] > moved[250] > moved[1_000] == set()


def test_the_most_specific_audience_decides() -> None:
    coarse = word("isp=1", "a", ["b", "c", "a"])
    fine = word("device=tv,isp=1", "a", ["c", "b", "a"])

    assert told(coarse, fine, isp="1", device="tv").order == ["c", "b", "a"]
    assert told(coarse, fine, isp="1", device="mobile").order == ["b", "c", "a"]
    assert told(coarse, fine, isp="2", device="tv").order == DEFAULT


def test_the_control_of_the_most_specific_audience_is_not_moved_by_another() -> None:
    coarse = word("isp=1", "a", ["b", "c", "a"])
    fine = word("device=tv,isp=1", "a", ["c", "b", "a"], share=0.5)

    orders = {tuple(told(coarse, fine, name=viewer, isp="1", device="tv").order) for viewer in VIEWERS}

    assert orders == {("a", "b", "c"), ("c", "b", "a")}


def test_an_audience_of_a_cdn_keeps_its_viewers_when_they_have_left_it() -> None:
    move = word("cdn=a,isp=1", "a", ["b", "c", "a"])

    assert told(move, isp="1").order == ["b", "c", "a"]


def test_a_viewer_is_moved_on_from_a_backup_that_is_being_left_too() -> None:
    first = word("isp=1", "a", ["b", "c", "a"])
    second = word("cdn=b", "b", ["a", "c", "b"])

    assert told(first, second, isp="1").order == ["c", "a", "b"]


def test_with_every_cdn_being_left_the_least_bad_order_is_told() -> None:
    moves = [word(f"cdn={each}", each, [*(set(DEFAULT) - {each}), each]) for each in DEFAULT]

    assert told(*moves).order[0] != "a"
    assert sorted(told(*moves).order) == DEFAULT


def test_a_cdn_that_others_like_the_viewer_are_leaving_is_his_last_resort() -> None:
    assert told(word("isp=1", "b", ["a", "c", "b"], split={"c": 1.0}), isp="1").order == ["a", "c", "b"]


def test_a_cdn_that_is_being_left_is_nobodys_next_choice() -> None:
    moving = word("everyone", "b", ["c", "b"], share=0.1)

    orders = [told(moving, name=name).order for name in VIEWERS]

    assert all(order == ["a", "c", "b"] for order in orders)


def test_a_canary_off_a_backup_moves_no_more_than_its_share_of_those_sent_there() -> None:
    sent = word("isp=1", "a", ["b", "a"], share=1.0)
    canary = word("everyone", "b", ["c", "b"], share=0.05)

    heads = [told(sent, canary, name=name, isp="1").order[0] for name in VIEWERS]

    assert heads.count("c") / len(heads) == pytest.approx(0.05, abs=0.02)
    assert heads.count("a") == 0


def test_the_lowest_cap_of_all_audiences_holds() -> None:
    caps = [
        word("isp=1", "", [], max_bitrate_kbps=3_000.0),
        word("everyone", "", [], max_bitrate_kbps=1_750.0),
        word("isp=2", "", [], max_bitrate_kbps=235.0),
    ]

    answer = told(*caps, isp="1")

    assert answer.max_bitrate_kbps == 1_750.0
    assert answer.order == DEFAULT


def test_who_is_on_a_suspect_cdn_asks_soon_even_if_he_is_not_to_move() -> None:
    elsewhere = word("isp=2", "a", ["b", "c", "a"])

    assert told(elsewhere, isp="1").ttl_s <= SETTINGS.suspect_ttl_s * (1 + SETTINGS.ttl_jitter)
    assert told(elsewhere, isp="1", now_ms=1_000).ttl_s > SETTINGS.suspect_ttl_most_s


@given(st.text(max_size=20), st.booleans(), st.booleans(), st.none() | st.floats(0.1, 1e4), st.floats(0, 1e4))
@steady
def test_ttls_keep_their_bounds_and_are_the_same_for_the_same_viewer(
    viewer: str, suspect: bool, live: bool, asked_s: float | None, load_of: float
) -> None:
    found = ttl_s(SETTINGS, viewer, suspect=suspect, asked_s=asked_s, live=live, load=load_of)

    jitter = SETTINGS.ttl_jitter
    low = SETTINGS.suspect_ttl_s if suspect else SETTINGS.calm_ttl_s
    assert found <= SETTINGS.calm_ttl_most_s * (1 + jitter)
    assert live or found >= low * (1 - jitter) - 0.5
    assert not live or 1 <= found < SETTINGS.live_buffer_s
    assert found == ttl_s(SETTINGS, viewer, suspect=suspect, asked_s=asked_s, live=live, load=load_of)


def test_ttls_are_spread_over_viewers_and_grow_with_load() -> None:
    calm = [ttl_s(SETTINGS, viewer, suspect=False) for viewer in VIEWERS]
    pressed = [ttl_s(SETTINGS, viewer, suspect=False, load=3.0) for viewer in VIEWERS]

    live = [ttl_s(SETTINGS, viewer, suspect=False, live=True) for viewer in VIEWERS]

    assert len(set(live)) > 1, "players of a live title ask all at once"
    assert min(calm) == 48
    assert max(calm) == 72
    assert sum(pressed) / sum(calm) == pytest.approx(3.0, rel=0.01)
