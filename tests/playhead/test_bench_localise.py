from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import config
from models.localisation import Localiser
from playhead.bench.localising import LEAVES, SCENARIOS, Population
from playhead.cli import app
from topics.fields import Cell

FIGURES = config.load({}).settings.localisation
MOST_CALLS = 250_000
"""Three times what the hardest scenario takes; a loop over cells in each cuboid would take as much again."""


class Calls:
    """Counts the calls of functions, Python's and C's: work that does not depend on how busy a machine is."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Calls:
        self._before = sys.getprofile()
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _called(self, _frame: FrameType, event: str, _arg: Any) -> None:
        self.count += event in {"call", "c_call"}


@pytest.mark.parametrize("faults", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_causes_at_a_million_viewers_are_right_and_take_bounded_work(faults: tuple[Cell, ...]) -> None:
    population, rng = Population.of(1_000_000, seed=4), np.random.default_rng(5)
    localiser = Localiser(FIGURES)
    for _ in range(FIGURES.history_windows):
        localiser.learn_one(population.window(rng))
    window = population.window(rng, *faults)

    with Calls() as calls:
        causes = localiser.explain(window)

    assert len(population.values) == LEAVES
    acting = [cause.cell for cause in causes if cause.acts]
    assert sorted(map(str, acting)) == sorted(map(str, faults))
    assert calls.count < MOST_CALLS


def test_work_does_not_grow_with_viewers() -> None:
    counts = []
    for viewers in (100_000, 10_000_000):
        population, rng = Population.of(viewers, seed=4), np.random.default_rng(5)
        localiser = Localiser(FIGURES)
        localiser.learn_one(population.window(rng))
        with Calls() as calls:
            localiser.explain(population.window(rng, {"cdn": "2"}))
        counts.append(calls.count)

    assert counts[1] < 3 * counts[0]


def test_the_command_tells_what_was_named_and_how_long_it_took() -> None:
    result = CliRunner().invoke(app, ["bench", "localise", "--viewers", "200000", "--rounds", "1", "--json"])

    costs = json.loads(result.stdout)
    assert [cost["scenario"] for cost in costs] == list(SCENARIOS)
    assert all(cost["right"] for cost in costs)
    assert all(cost["explain_ms"] > 0 for cost in costs)
