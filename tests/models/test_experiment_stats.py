"""Running figures of experiments: exact, whatever the order, and told now and then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.confidence_sequence import Moments
from models.experiment_stats import ExperimentStats, Sums
from topics.experiments import ExperimentPart, ExperimentResult, MetricChange

values = st.integers(0, 7 * 86_400_000)


def stats(interval_ms: int = 10_000, remembered_parts: int = 1_000) -> ExperimentStats:
    return ExperimentStats(
        confidence=0.95, warmup=30, interval_ms=interval_ms, remembered_parts=remembered_parts
    )


def part(number: int, variant: str = "a", time_ms: int = 0, **changes: object) -> ExperimentPart:
    """`plays=3` is a viewer's first value, `plays=(3, 4)` a change of it."""
    return ExperimentPart(
        id=f"part-{number}",
        time_ms=time_ms,
        experiment="trial",
        variant=variant,
        control="a",
        minimum_sample=1_000,
        changes=[
            MetricChange(metric=metric, before=change[0], after=change[1])
            if isinstance(change, tuple)
            else MetricChange(metric=metric, after=change)  # type: ignore[arg-type]
            for metric, change in changes.items()
        ],
    )


def learn(parts: list[ExperimentPart], into: ExperimentStats | None = None) -> ExperimentStats:
    into = into or stats()
    for each in parts:
        into.learn_one(each)
    return into


@given(st.lists(st.lists(values, min_size=1, max_size=5), min_size=2, max_size=20))
def test_replacing_values_one_by_one_gives_the_moments_of_the_last_ones(viewers: list[list[int]]) -> None:
    sums = Sums()
    for history in viewers:
        for before, after in zip([None, *history], history, strict=False):
            sums.replace(before, after)

    last = np.array([history[-1] for history in viewers], dtype=float)
    assert sums.moments.size == len(viewers)
    assert sums.moments.mean == pytest.approx(last.mean())
    assert sums.moments.variance == pytest.approx(last.var(ddof=1), rel=1e-6, abs=1e-6 * last.mean())


def test_a_small_spread_far_from_zero_is_not_lost() -> None:
    """In floating point the sum of squares, 1e22, would swallow a variance of 1."""
    sums = Sums()
    for value in (10**11 - 1, 10**11, 10**11 + 1):
        sums.replace(None, value)

    assert sums.moments == Moments(3, 1e11, 1.0)


def test_nothing_and_a_single_value_have_no_variance() -> None:
    sums = Sums()
    assert sums.moments == Moments(0, 0.0, 0.0)

    sums.replace(None, 7)

    assert sums.moments == Moments(1, 7.0, 0.0)


def many_parts(viewers: int = 300) -> list[ExperimentPart]:
    rng = np.random.default_rng(7)
    parts = []
    for viewer in range(viewers):
        variant = "ab"[viewer % 2]
        first, then = rng.poisson(3.0, 2).tolist()
        watched = int(rng.integers(0, 10**9))
        parts.append(part(2 * viewer, variant, viewer, plays=first, watched_ms=watched))
        parts.append(part(2 * viewer + 1, variant, viewer + 50, plays=(first, first + then)))
    return parts


def figures(results: list[ExperimentResult]) -> list[tuple[object, ...]]:
    return [(result.metric, result.variants) for result in results]


@given(st.randoms(use_true_random=False))
def test_figures_do_not_depend_on_the_order_of_the_parts(random: object) -> None:
    parts = many_parts(50)
    shuffled = parts.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert figures(learn(shuffled).results("trial")) == figures(learn(parts).results("trial"))


def test_a_result_sets_each_variant_against_the_control() -> None:
    plays, watched = learn(many_parts(3_000)).results("trial")

    assert (plays.metric, watched.metric) == ("plays", "watched_ms")
    control, other = plays.variants
    assert (control.variant, control.count, control.lift, control.significant) == ("a", 1_500, None, False)
    assert (other.variant, other.count) == ("b", 1_500)
    assert other.lift == other.mean - control.mean
    assert other.lift_low is not None
    assert other.lift_high is not None
    assert other.lift_low < other.lift < other.lift_high
    assert other.significant is False


def lifted(viewers: int) -> ExperimentStats:
    parts = [
        part(number, "ab"[number % 2], plays=int(number % 2) * 5 + number % 3) for number in range(viewers)
    ]
    return learn(parts)


def test_a_lift_that_leaves_out_0_is_significant_once_the_minimum_sample_is_there() -> None:
    (early,), (later,) = lifted(998).results("trial"), lifted(1_000).results("trial")

    assert early.variants[1].p_value is not None
    assert early.variants[1].p_value < 0.001
    assert not early.variants[1].significant
    assert later.variants[1].significant


def test_a_variant_whose_control_nobody_has_seen_stands_alone() -> None:
    (result,) = learn([part(0, "b", plays=3)]).results("trial")

    (only,) = result.variants
    assert (only.variant, only.mean, only.lift, only.lift_low) == ("b", 3.0, None, None)


def test_a_part_told_twice_counts_once() -> None:
    parts = many_parts(20)

    twice = learn([each for part in parts for each in (part, part)] + parts)

    assert twice.results("trial") == learn(parts).results("trial")


def test_results_are_told_once_an_interval_of_event_time() -> None:
    running = stats(interval_ms=10_000)
    times = [100, 200, 9_999, 10_000, 10_001, 19_000, 15_000, 20_500, 47_000, 50_000]

    told = [bool(running.learn_one(part(number, time_ms=time, plays=1))) for number, time in enumerate(times)]

    assert told == [True, False, False, True, False, False, False, True, True, True]


def test_what_was_not_told_yet_is_told_on_request_and_only_once() -> None:
    running = stats()
    running.learn_one(part(0, time_ms=100, plays=1))
    running.learn_one(part(1, time_ms=200, plays=5))

    (result,) = running.flush()

    assert (result.time_ms, result.variants[0].mean) == (200, 3.0)
    assert running.flush() == []


def test_results_have_the_same_ids_when_the_same_parts_are_learned_again() -> None:
    parts = many_parts(10)

    ids = [result.id for result in learn(parts).results("trial")]

    assert ids == [result.id for result in learn(parts).results("trial")]
    assert ids != [result.id for result in learn(parts[:-1]).results("trial")]


def test_a_snapshot_restored_mid_stream_goes_on_with_the_same_results() -> None:
    parts = many_parts(200)
    for number, each in enumerate(parts[:100]):
        parts[number] = part(1_000 + number, each.variant, each.time_ms, watched_ms=10**12 + number)
    whole, first = stats(interval_ms=20), learn(parts[:150], stats(interval_ms=20))
    second = stats(interval_ms=20)
    learn(parts[:150], whole)

    second.restore(first.snapshot())

    rest = parts[140:]
    assert [second.learn_one(each) for each in rest] == [whole.learn_one(each) for each in rest]
    assert second.flush() == whole.flush()


def test_an_experiment_never_heard_of_has_no_results() -> None:
    assert stats().results("nowhere") == []
