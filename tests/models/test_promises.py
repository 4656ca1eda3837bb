"""What was commanded counts as obeyed until it is seen, or so long that it was refused."""

from __future__ import annotations

import msgspec
from serving import serving

from models.promises import Promises
from topics.commands import Command, CommandKind
from topics.steering import SteeringAnswer

WITHIN_S = 5.0


def command(**given: object) -> Command:
    fields: dict[str, object] = {
        "time_ms": 1_000,
        "id": "c1",
        "kind": CommandKind.STEER,
        "target": "isp=3",
        "generation": 7,
        "incident": "i1",
        "owner": "policy",
        "reason": "stalls on 7",
        "expires_ms": 300_000,
        "audience": {"isp": "3"},
        "away_from": "7",
        "pathway_priority": ["5", "7"],
        "share": 0.3,
    }
    return Command(**{**fields, **given})  # type: ignore[arg-type]


def served(generation: int) -> SteeringAnswer:
    return SteeringAnswer(
        time_ms=0,
        audience="isp=3",
        cell={"isp": "3"},
        pathway_priority=[],
        ttl_s=10,
        generation=generation,
        flaps=2,
    )


def promises(*commands: Command) -> Promises:
    kept = Promises(WITHIN_S, ttl_s=10)
    for each in commands:
        kept.note(each, 1_000)
    return kept


def test_a_command_counts_as_served_before_it_is_seen() -> None:
    (answer,) = promises(command()).with_promised(serving(served(3)), 1_500).values()

    assert (answer.audience, answer.share, answer.away_from) == ("isp=3", 0.3, "7")
    assert (answer.command_id, answer.incident, answer.flaps) == ("c1", "i1", 2)


def test_what_is_served_counts_once_it_is_as_new() -> None:
    newer = served(7)

    assert promises(command()).with_promised(serving(newer), 1_500) == serving(newer)


def test_a_command_not_seen_for_long_was_refused_and_is_forgotten() -> None:
    kept = promises(command())

    assert kept.with_promised({}, 1_000 + int(1_000 * WITHIN_S)) == {}
    assert kept.with_promised({}, 1_500) == {}


def test_a_command_that_runs_out_unseen_does_not_bring_back_what_it_replaced() -> None:
    kept = promises(command(expires_ms=1_800))

    (answer,) = kept.with_promised(serving(served(3)), 2_000).values()

    assert (answer.generation, answer.expires_ms) == (7, 1_800)


def test_a_dry_run_promises_nothing_and_a_resume_ends_what_was_promised() -> None:
    resume = msgspec.structs.replace(command(), kind=CommandKind.RESUME)

    assert promises(command(dry_run=True)).with_promised({}, 1_500) == {}
    assert promises(command(), resume).with_promised({}, 1_500) == {}
