"""Assignment by hash: unbiased, independent, sticky, exclusive within a layer."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.assignment import Assigner, Conflict
from topics.experiments import Experiment, ExperimentStatus, Variant

VIEWERS = [f"v-{number}" for number in range(40_000)]


def experiment(
    name: str,
    shares: tuple[float, ...] = (0.5, 0.5),
    *,
    traffic: float = 1.0,
    layer: str = "",
    start: float = 0.0,
    status: ExperimentStatus = ExperimentStatus.ACTIVE,
) -> Experiment:
    return Experiment(
        time_ms=0,
        experiment=name,
        traffic=traffic,
        control="0",
        variants=[Variant(name=str(number), share=share) for number, share in enumerate(shares)],
        metrics=["plays"],
        layer=layer,
        layer_start=start,
        status=status,
    )


def admitted(name: str, *experiments: Experiment) -> dict[str, str]:
    """Variant by viewer."""
    assigner = Assigner(experiments)
    return {viewer: seat[name] for viewer in VIEWERS if name in (seat := assigner.assign(viewer))}


def test_shares_of_a_million_viewers_are_true_to_a_thousandth() -> None:
    viewers = 1_000_000
    assigner = Assigner([experiment("trial", (0.5, 0.3, 0.2), traffic=0.4)])

    counts = Counter(assigner.assign(f"viewer-{number}").get("trial") for number in range(viewers))

    shares = {variant: count / viewers for variant, count in counts.items()}
    assert shares == pytest.approx({None: 0.6, "0": 0.2, "1": 0.12, "2": 0.08}, abs=1e-3)


def test_two_experiments_are_independent() -> None:
    one, other = experiment("one"), experiment("other", traffic=0.5)
    assigner = Assigner([one, other])

    seats = Counter((seat["one"], seat.get("other")) for seat in map(assigner.assign, VIEWERS))

    expected = {
        (variant, outcome): share / 2
        for variant, (outcome, share) in product("01", [(None, 0.5), ("0", 0.25), ("1", 0.25)])
    }
    assert {seat: count / len(VIEWERS) for seat, count in seats.items()} == pytest.approx(expected, abs=0.01)


def test_the_variant_does_not_depend_on_who_is_admitted() -> None:
    narrow = admitted("trial", experiment("trial", traffic=0.1))

    assert Counter(narrow.values())["1"] / len(narrow) == pytest.approx(0.5, abs=0.03)


def test_more_traffic_leaves_those_already_admitted_where_they_are() -> None:
    narrow = admitted("trial", experiment("trial", traffic=0.1))
    wide = admitted("trial", experiment("trial", traffic=0.3))

    assert narrow.items() <= wide.items()
    assert len(wide) > 2 * len(narrow)


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_the_same_viewer_gets_the_same_variant_from_any_assigner(viewer: str, name: str) -> None:
    alone = Assigner([experiment(name)]).assign(viewer)
    among_others = Assigner([experiment(f"{name}{other}") for other in ("", "x", "y")]).assign(viewer)

    assert alone[name] == among_others[name]


def test_assignments_are_the_same_in_every_process_and_version() -> None:
    assigner = Assigner([experiment("trial", (0.25, 0.25, 0.5), traffic=0.5), experiment("l", layer="x")])

    assert [assigner.assign(f"v-{number}") for number in range(6)] == [
        {"l": "0"},
        {"trial": "0", "l": "1"},
        {"l": "0"},
        {"trial": "0", "l": "0"},
        {"l": "0"},
        {"l": "0"},
    ]


def test_experiments_of_one_layer_never_share_a_viewer() -> None:
    home = experiment("home", traffic=0.4, layer="page")
    away = experiment("away", traffic=0.6, layer="page", start=0.4)

    at_home, is_away = admitted("home", home, away), admitted("away", home, away)

    assert not set(at_home) & set(is_away)
    assert len(at_home) + len(is_away) == len(VIEWERS)
    assert len(at_home) / len(VIEWERS) == pytest.approx(0.4, abs=0.01)
    assert Counter(at_home.values())["0"] / len(at_home) == pytest.approx(0.5, abs=0.02)
    assert Assigner([home, away]).conflicts() == []


def test_an_experiment_that_comes_moves_no_viewer_of_another_in_its_layer() -> None:
    old = experiment("m", traffic=0.4, layer="page", start=0.2)
    new = experiment("a", traffic=0.4, layer="page", start=0.6)

    assert admitted("m", old) == admitted("m", old, new)


def test_layers_are_independent_of_one_another() -> None:
    top = experiment("top", traffic=0.5, layer="top")
    bottom = experiment("bottom", traffic=0.5, layer="bottom")

    both = set(admitted("top", top, bottom)) & set(admitted("bottom", top, bottom))

    assert len(both) / len(VIEWERS) == pytest.approx(0.25, abs=0.01)


def test_where_experiments_of_a_layer_overlap_the_first_by_name_has_the_viewers_and_it_is_told() -> None:
    first = experiment("a", traffic=0.5, layer="page", start=0.3)
    second = experiment("b", traffic=0.5, layer="page")

    ((layer, one, other, share),) = Assigner([second, first]).conflicts()

    assert Conflict(layer, one, other, round(share, 9)) == Conflict("page", "a", "b", 0.2)
    assert admitted("a", first) == admitted("a", first, second)
    assert not set(admitted("a", first, second)) & set(admitted("b", first, second))
    assert len(admitted("b", first, second)) / len(VIEWERS) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("status", [each for each in ExperimentStatus if each != ExperimentStatus.ACTIVE])
def test_only_active_experiments_admit(status: ExperimentStatus) -> None:
    assert Assigner([experiment("trial", status=status)]).assign("v-1") == {}


def test_no_traffic_admits_nobody_and_a_variant_without_a_share_stays_empty() -> None:
    assert admitted("none", experiment("none", traffic=0.0)) == {}
    assert set(admitted("trial", experiment("trial", (0.0, 1.0))).values()) == {"1"}
