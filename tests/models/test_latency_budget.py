"""The budget adds up, tells what to change when it is too long, and what it advises is enough."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steady import steady

from config import load
from models.latency_budget import Budget, budget

SLOW = {
    "PLAYHEAD_QOE__WINDOW_S": "60",
    "PLAYHEAD_QOE__SLIDE_S": "0",
    "PLAYHEAD_QOE__LATENESS_S": "5",
    "PLAYHEAD_LATENCY__BEAT_S": "10",
    "PLAYHEAD_STEERING__CALM_TTL_S": "60",
}


def of(given_: dict[str, str], *, live: bool = False) -> Budget:
    return budget(load(given_).settings, live=live)


def test_every_part_of_the_way_is_itemised_in_its_order() -> None:
    names = [stage.name for stage in of({}).stages]

    assert names[:4] == ["beat", "gateway", "window", "lateness"]
    assert names[-3:] == ["TTL", "poll", "segment"]
    assert {"playback", "cohorts", "incidents", "policy", "cdn"} <= set(names)


def test_the_whole_is_the_sum_of_independent_stages() -> None:
    found = of(SLOW)

    medians = sum(stage.p50_s for stage in found.stages)
    assert found.p50_s == pytest.approx(medians, rel=0.03)
    assert found.p50_s < found.p95_s < found.p99_s < sum(stage.p99_s for stage in found.stages)


def test_two_even_stages_add_up_to_a_triangle() -> None:
    none = (
        "SEGMENT_S",
        "GATEWAY_P50_S",
        "GATEWAY_P99_S",
        "HOP_P50_S",
        "HOP_P99_S",
        "POLL_P50_S",
        "POLL_P99_S",
    )
    only = {
        **{f"PLAYHEAD_LATENCY__{name}": "0" for name in none},
        "PLAYHEAD_LATENCY__BEAT_S": "10",
        "PLAYHEAD_QOE__WINDOW_S": "0.001",
        "PLAYHEAD_QOE__LATENESS_S": "0",
        "PLAYHEAD_STEERING__CALM_TTL_S": "10",
        "PLAYHEAD_STEERING__TTL_JITTER": "0",
    }

    found = of(only)

    # P(X + Y > 20 - d) = d² / 200 for two even over 10 s.
    assert found.p50_s == pytest.approx(10, abs=0.1)
    assert found.p95_s == pytest.approx(20 - 10**0.5, abs=0.1)
    assert found.p99_s == pytest.approx(20 - 2**0.5, abs=0.1)


def test_a_window_that_slides_is_waited_for_no_longer_than_its_slide() -> None:
    found = of({**SLOW, "PLAYHEAD_QOE__SLIDE_S": "10"})

    sliding = next(each for each in found.stages if each.name == "window")
    assert (sliding.setting, sliding.spread_s) == ("qoe.slide_s", 10.0)


def test_live_viewers_ask_again_before_their_buffer_is_empty() -> None:
    on_demand, live = of(SLOW), of(SLOW, live=True)

    assert live.p95_s < on_demand.p95_s
    ttl = next(stage for stage in live.stages if stage.name == "TTL")
    assert ttl.spread_s <= load({}).settings.steering.live_buffer_s


def test_where_the_target_cannot_be_met_the_longest_stages_are_named_first() -> None:
    found = of(SLOW)

    assert not found.meets_target
    assert {advice.setting for advice in found.advice[:2]} == {"qoe.window_s", "steering.calm_ttl_s"}
    assert all(advice.to < advice.now for advice in found.advice)


def test_where_the_target_can_be_met_nothing_is_advised() -> None:
    found = of({**SLOW, "PLAYHEAD_LATENCY__TARGET_P95_S": "1000"})

    assert found.meets_target
    assert found.advice == []


@settings(steady, max_examples=25)
@given(
    window_s=st.sampled_from([1, 5, 10, 30, 60, 120]),
    beat_s=st.sampled_from([1, 5, 10, 30]),
    ttl_s=st.sampled_from([10, 30, 60, 300]),
    target_s=st.integers(40, 90),
)
def test_what_is_advised_meets_the_target(window_s: int, beat_s: int, ttl_s: int, target_s: int) -> None:
    names = {
        "qoe.window_s": "PLAYHEAD_QOE__WINDOW_S",
        "qoe.lateness_s": "PLAYHEAD_QOE__LATENESS_S",
        "latency.beat_s": "PLAYHEAD_LATENCY__BEAT_S",
        "steering.calm_ttl_s": "PLAYHEAD_STEERING__CALM_TTL_S",
    }
    before = {
        "PLAYHEAD_QOE__WINDOW_S": str(window_s),
        "PLAYHEAD_QOE__SLIDE_S": "0",
        "PLAYHEAD_LATENCY__BEAT_S": str(beat_s),
        "PLAYHEAD_STEERING__CALM_TTL_S": str(ttl_s),
        "PLAYHEAD_LATENCY__TARGET_P95_S": str(target_s),
    }

    found = of(before)

    after = of({**before, **{names[each.setting]: str(each.to) for each in found.advice}})
    assert after.meets_target
    for each in found.advice:
        if each.enough:
            alone = of({**before, names[each.setting]: str(each.to)})
            assert alone.p95_s < found.p95_s
