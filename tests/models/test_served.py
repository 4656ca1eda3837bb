"""A lease that has not run out is in force, and found by its audience."""

from __future__ import annotations

from serving import serving

from models.served import in_force, others, under
from topics.steering import SteeringAnswer

NOW_MS = 10_000


def answer(audience: str, expires_ms: int | None) -> SteeringAnswer:
    return SteeringAnswer(
        time_ms=0,
        audience=audience,
        cell={},
        pathway_priority=[],
        ttl_s=10,
        generation=1,
        expires_ms=expires_ms,
    )


ANSWERS = serving(answer("a", NOW_MS), answer("b", NOW_MS + 1), answer("c", None))


def test_only_a_lease_that_lasts_is_in_force() -> None:
    assert in_force(ANSWERS.values(), NOW_MS) == [ANSWERS["b"]]


def test_of_those_in_force_all_but_ones_own_are_others() -> None:
    assert others(ANSWERS, "a", NOW_MS) == [ANSWERS["b"]]
    assert others(ANSWERS, "b", NOW_MS) == []


def test_an_audience_is_under_its_lease_alone() -> None:
    assert under(ANSWERS, "b", NOW_MS) == ANSWERS["b"]
    assert [under(ANSWERS, audience, NOW_MS) for audience in ("a", "c", "d")] == [None, None, None]
