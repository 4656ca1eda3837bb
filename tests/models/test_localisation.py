"""Causes are found in made-up populations whose faults are known."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config import load
from models.localisation import Cause, Cells, Localiser, Wording, localise

FIGURES = load({}).settings.localisation
DIMENSIONS = ("cdn", "isp", "device", "bitrate")
SIZES = (3, 5, 4, 4)
PAST_WINDOWS = 8
seeds = st.integers(min_value=0, max_value=2**32 - 1)
few = settings(max_examples=25, deadline=None, derandomize=True)

Fault = dict[str, str]


@dataclass
class Population:
    """Viewers of a service whose healthy rates differ from cell to cell and wander from window to window."""

    seed: int

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.codes = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), axis=-1).reshape(
            -1, len(SIZES)
        )
        size = self.rng.lognormal(0, 0.8, len(self.codes))
        self.viewers = 60_000 * size / size.sum()
        habits = [self.rng.normal(0, 0.25, size) for size in SIZES]
        self.healthy = 0.015 * np.exp(sum(h[self.codes[:, axis]] for axis, h in enumerate(habits)))
        self.values = [[f"{d}{code}" for d, code in zip("ciab", row, strict=True)] for row in self.codes]

    def window(self, *faults: Fault, rise: float = 0.25) -> Cells:
        total = self.rng.poisson(self.viewers)
        rate = self.healthy * np.exp(self.rng.normal(0, 0.04))
        for fault in faults:
            rate = np.where(self.inside(fault), np.minimum(rate + rise, 1), rate)
        return Cells.of(DIMENSIONS, self.values, self.rng.binomial(total, rate), total)

    def past(self, windows: int = PAST_WINDOWS) -> list[Cells]:
        return [self.window() for _ in range(windows)]

    def inside(self, fault: Fault) -> NDArray[np.bool_]:
        return np.array(
            [
                all(row[DIMENSIONS.index(name)] == value for name, value in fault.items())
                for row in self.values
            ]
        )


def explained(window: Cells, past: Sequence[Cells]) -> list[Cause]:
    return localise(window, past, FIGURES)


def cells(causes: Sequence[Cause]) -> list[dict[str, str]]:
    return [cause.cell for cause in causes]


@pytest.mark.parametrize(
    "fault",
    [
        {"cdn": "c1"},
        {"bitrate": "b2"},
        {"cdn": "c1", "isp": "i2"},
        {"isp": "i0", "device": "a3"},
        {"cdn": "c0", "isp": "i1", "device": "a0"},
    ],
    ids=str,
)
@few
@given(seed=seeds)
def test_the_cell_at_fault_is_named_first(fault: Fault, seed: int) -> None:
    population = Population(seed)
    past = population.past()

    causes = explained(population.window(fault), past)

    assert causes[0].cell == fault


@pytest.mark.parametrize(
    "faults",
    [
        [{"bitrate": "b0"}, {"bitrate": "b3"}],
        [{"bitrate": "b0"}, {"bitrate": "b1"}, {"bitrate": "b3"}],
        [{"cdn": "c1"}, {"device": "a3"}],
        [{"cdn": "c1", "isp": "i2"}, {"device": "a3", "bitrate": "b1"}],
    ],
    ids=str,
)
@few
@given(seed=seeds)
def test_faults_that_act_at_once_are_named_before_anything_else(faults: list[Fault], seed: int) -> None:
    population = Population(seed)
    past = population.past()

    causes = explained(population.window(*faults), past)

    assert sorted(cells(causes)[: len(faults)], key=str) == sorted(faults, key=str)


@few
@given(seed=seeds)
def test_a_fault_of_everyone_is_not_blamed_on_some(seed: int) -> None:
    population = Population(seed)
    past = population.past()

    causes = explained(population.window({}), past)

    assert causes[0].cell == {}
    assert causes[0].rest_rate is None


@few
@given(seed=seeds)
def test_a_healthy_window_has_no_cause(seed: int) -> None:
    population = Population(seed)
    past = population.past()

    assert explained(population.window(), past) == []


@few
@given(seed=seeds)
def test_bad_windows_in_the_past_do_not_become_usual(seed: int) -> None:
    population = Population(seed)
    fault = {"cdn": "c1", "isp": "i2"}
    past = population.past(5) + [population.window(fault) for _ in range(3)]

    causes = explained(population.window(fault), past)

    assert causes[0].cell == fault


def test_a_cell_that_was_never_seen_can_be_the_cause() -> None:
    population = Population(1)
    new = population.inside({"isp": "i4"})
    past = [without(window, new) for window in population.past()]

    causes = explained(population.window({"isp": "i4"}), past)

    assert causes[0].cell == {"isp": "i4"}


def test_a_value_that_was_never_seen_and_does_well_is_not_blamed() -> None:
    population = Population(2)
    new = population.inside({"isp": "i4"})
    past = [without(window, new) for window in population.past()]

    causes = explained(population.window({"device": "a1"}), past)

    assert causes[0].cell == {"device": "a1"}


def test_with_no_past_the_window_is_compared_with_itself() -> None:
    population = Population(3)

    causes = explained(population.window({"cdn": "c1", "isp": "i2"}, rise=0.5), [])

    assert causes[0].cell == {"cdn": "c1", "isp": "i2"}


def test_a_dimension_with_one_value_is_not_named() -> None:
    population = Population(4)
    fault = {"cdn": "c1"}
    windows = [
        Cells.of(
            (*DIMENSIONS, "game"), [[*row, "chess"] for row in population.values], window.bad, window.total
        )
        for window in [*population.past(), population.window(fault)]
    ]

    causes = explained(windows[-1], windows[:-1])

    assert causes[0].cell == fault
    assert all("game" not in cause.cell for cause in causes)


@pytest.mark.parametrize("past_windows", [0, 3])
def test_a_window_without_viewers_has_no_cause(past_windows: int) -> None:
    population = Population(5)
    empty = Cells.of(DIMENSIONS, [], [], [])
    nobody = Cells.of(DIMENSIONS, [["c0", "i0", "a0", "b0"]], [0], [0])

    assert explained(empty, population.past(past_windows)) == []
    assert explained(nobody, population.past(past_windows)) == []


def test_a_past_without_viewers_teaches_nothing() -> None:
    population = Population(6)
    empty = Cells.of(DIMENSIONS, [], [], [])
    past, window = population.past(), population.window({"cdn": "c1"})

    assert cells(explained(window, [empty, *past, empty])) == cells(explained(window, past))


@few
@given(seed=seeds)
def test_a_handful_of_viewers_is_never_a_crash(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def handful() -> Cells:
        rows = rng.integers(0, 12)
        total = rng.integers(0, 30, rows)
        values = [[f"{d}{rng.integers(0, 3)}" for d in "ciab"] for _ in range(rows)]
        return Cells.of(DIMENSIONS, values, rng.binomial(total, rng.uniform()), total)

    causes = explained(handful(), [handful() for _ in range(rng.integers(0, 4))])

    assert all(0 <= cause.score <= 1 and cause.excess_viewers > 0 for cause in causes)


@few
@given(seed=seeds, shuffle=seeds)
def test_the_order_of_rows_and_dimensions_and_the_names_change_nothing(seed: int, shuffle: int) -> None:
    population = Population(seed)
    fault = {"cdn": "c1", "isp": "i2"}
    windows = [*population.past(), population.window(fault)]
    rng = np.random.default_rng(shuffle)
    axes = rng.permutation(len(DIMENSIONS))
    renamed = {value: f"v{rng.integers(10**9)}-{value}" for row in population.values for value in row}

    def disguised(window: Cells) -> Cells:
        rows = rng.permutation(len(window.total))
        values = [[renamed[population.values[row][axis]] for axis in axes] for row in rows]
        return Cells.of([DIMENSIONS[axis] for axis in axes], values, window.bad[rows], window.total[rows])

    plain = explained(windows[-1], windows[:-1])
    masked = explained(disguised(windows[-1]), [disguised(window) for window in windows[:-1]])

    assert cells(masked)[0] == {name: renamed[value] for name, value in plain[0].cell.items()}
    assert [cause.score for cause in masked] == pytest.approx([cause.score for cause in plain])
    assert [cause.excess_viewers for cause in masked[:1]] == pytest.approx([plain[0].excess_viewers])


def test_rows_of_one_combination_are_added_up() -> None:
    population = Population(7)
    past, window = population.past(), population.window({"cdn": "c1"})
    halves = Cells.of(
        DIMENSIONS,
        [*population.values, *population.values],
        np.concatenate([window.bad // 2, window.bad - window.bad // 2]),
        np.concatenate([window.total // 2, window.total - window.total // 2]),
    )

    assert explained(halves, past) == explained(window, past)


def test_a_cause_tells_its_contrast_in_figures_and_in_words() -> None:
    population = Population(8)
    past = population.past()
    fault = {"cdn": "c1", "isp": "i2"}
    window = population.window(fault)

    cause = explained(window, past)[0]

    inside = population.inside(fault)
    bad, total = window.bad[inside].sum(), window.total[inside].sum()
    assert cause.rate == pytest.approx(bad / total)
    assert cause.excess_viewers == pytest.approx(bad - total * cause.expected_rate)
    assert cause.rest_rate == pytest.approx(window.bad[~inside].sum() / window.total[~inside].sum())
    assert 0.8 < cause.explained <= 1
    assert cause.contrast.startswith(
        f"{100 * cause.rate:.3g} % of viewers on cdn=c1, isp=i2 stall, expected "
    )
    assert "; the rest is at " in cause.contrast
    assert "; isp=i2 otherwise at " in cause.contrast
    assert "; cdn=c1 otherwise at " in cause.contrast


def test_answers_come_by_score_and_name_each_cell_once() -> None:
    population = Population(14)
    past = population.past()

    causes = explained(population.window({"cdn": "c1"}, {"device": "a3"}), past)

    scores = [cause.score for cause in causes]
    assert scores == sorted(scores, reverse=True)
    assert len({str(sorted(cell.items())) for cell in cells(causes)}) == len(causes) <= FIGURES.max_answers


def test_coarser_and_finer_answers_may_be_all_that_is_offered_beside_the_first() -> None:
    population = Population(15)
    fault = {"cdn": "c1", "isp": "i2"}
    past, window = population.past(), population.window(fault)

    causes = localise(window, past, FIGURES.model_copy(update={"cousin_credit": 0.0}))

    first, *others = cells([cause for cause in causes if cause.score > 0])
    assert first == fault
    assert others
    assert all(
        set(cell.items()) < set(fault.items())
        or set(cell.items()) > set(fault.items())
        or any(cell.get(name, value) != value for name, value in fault.items())
        for cell in others
    )


def test_sentences_name_what_is_counted() -> None:
    population = Population(9)
    localiser = Localiser(FIGURES)
    for window in population.past():
        localiser.learn_one(window)

    causes = localiser.explain(population.window({"cdn": "c1"}), Wording("attempts", "fail"))

    assert " of attempts on cdn=c1 fail, expected " in causes[0].contrast


def test_a_localiser_explains_without_learning() -> None:
    population = Population(10)
    localiser = Localiser(FIGURES)
    for window in population.past():
        localiser.learn_one(window)
    bad = population.window({"cdn": "c1"})

    assert localiser.explain(bad) == localiser.explain(bad)


def test_a_pickled_localiser_explains_the_same() -> None:
    population = Population(11)
    localiser = Localiser(FIGURES)
    for window in population.past():
        localiser.learn_one(window)
    restored = pickle.loads(pickle.dumps(localiser))
    later, bad = population.window(), population.window({"cdn": "c1"})

    for each in (localiser, restored):
        each.learn_one(later)

    assert restored.explain(bad) == localiser.explain(bad)


def test_a_localiser_forgets_the_oldest_window() -> None:
    population = Population(12)
    localiser = Localiser(FIGURES)

    for window in population.past(FIGURES.history_windows + 5):
        localiser.learn_one(window)

    assert len(localiser.history) == FIGURES.history_windows


def test_inputs_are_left_as_they_were() -> None:
    population = Population(13)
    windows = [*population.past(), population.window({"cdn": "c1"})]
    before = pickle.dumps(windows)

    explained(windows[-1], windows[:-1])

    assert pickle.dumps(windows) == before


@pytest.mark.parametrize(
    "learn_or_explain", [Localiser.learn_one, Localiser.explain], ids=["learn_one", "explain"]
)
def test_windows_of_other_dimensions_are_refused(
    learn_or_explain: Callable[[Localiser, Cells], object],
) -> None:
    localiser = Localiser(FIGURES)
    localiser.learn_one(Cells.of(["cdn"], [["c0"]], [1], [2]))

    with pytest.raises(ValueError, match=r"\('isp',\).*\('cdn',\)|\('cdn',\).*\('isp',\)"):
        learn_or_explain(localiser, Cells.of(["isp"], [["i0"]], [1], [2]))


@pytest.mark.parametrize(("bad", "total"), [(-1, 2), (3, 2), (float("nan"), 2), (1, float("inf"))])
def test_impossible_counts_are_refused(bad: float, total: float) -> None:
    with pytest.raises(ValueError, match="0 <= bad <= total"):
        Cells.of(["cdn"], [["c0"]], [bad], [total])


def without(window: Cells, leaves: NDArray[np.bool_]) -> Cells:
    kept = ~leaves
    return Cells(
        window.dimensions, window.vocabulary, window.codes[kept], window.bad[kept], window.total[kept]
    )
