"""The live-ingest actor's decisions: which pipeline is served, and when it stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from config import load
from models.obedience import signed
from models.selection import Selected, Selection
from topics.commands import Command, CommandKind, Outcome, OutcomeStatus
from topics.ingest import PipelineSelection

SETTINGS = load({}).settings.actors
WINDOW_MS = int(SETTINGS.switch_window_s * 1_000)


def switch(pipeline: str, generation: int, **given: object) -> Command:
    fields: dict[str, object] = {
        "time_ms": 10_000 * generation,
        "id": f"c{generation}",
        "kind": CommandKind.FAIL_OVER,
        "target": "final",
        "generation": generation,
        "incident": "i1",
        "owner": "policy",
        "reason": "the other misses segments",
        "expires_ms": 10_000 * generation + 300_000,
        "pipeline": pipeline,
        "from_sequence": 5 * generation,
    }
    return Command(**{**fields, **given})  # type: ignore[arg-type]


def resume(generation: int, undoes: str, **given: object) -> Command:
    fields = {"kind": CommandKind.RESUME, "undoes": undoes, "undoes_kind": CommandKind.FAIL_OVER}
    return switch("", generation, **{**fields, "incident": "", "from_sequence": None, **given})


@dataclass
class Stream:
    """A live stream, what is served of it, and what was said of its commands."""

    state: Selected | None = None
    selections: list[PipelineSelection] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def after(self, *commands: Command) -> Stream:
        for command in commands:
            self.state, emissions = Selection(SETTINGS).step(self.state, command)
            for emission in emissions:
                record = emission.record
                if isinstance(record, PipelineSelection):
                    self.selections.append(record)
                else:
                    assert isinstance(record, Outcome)
                    self.outcomes.append(record)
        return self

    @property
    def statuses(self) -> list[OutcomeStatus]:
        return [each.status for each in self.outcomes]


def test_a_fail_over_selects_the_pipeline_from_its_segment_on() -> None:
    stream = Stream().after(switch("B", 1))

    (selection,) = stream.selections
    assert (selection.stream, selection.pipeline, selection.from_sequence) == ("final", "B", 5)
    assert (stream.outcomes[0].before, stream.outcomes[0].after) == ("not known", "B from segment 5")


def test_the_same_fail_over_again_says_nothing() -> None:
    once, twice = Stream().after(switch("B", 1)), Stream().after(switch("B", 1), switch("B", 1))

    assert twice == once


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (switch("A", 1), "generation 1 is not newer than 2"),
        (switch("B", 3), "B is served already"),
        (switch("A", 3, from_sequence=10), "segment 10 is published: B is served from 10"),
        (switch("A", 3, from_sequence=9), "segment 9 is published"),
        (switch("", 3), "names no pipeline"),
        (switch("A", 3, id=""), "no id to be undone by"),
        (switch("A", 3, expires_ms=30_000), "over before it begins"),
        (resume(3, "c9"), "c9 is not in force: c2 is"),
    ],
)
def test_what_would_harm_the_stream_is_refused_and_says_why(command: Command, why: str) -> None:
    stream = Stream().after(switch("B", 2), command)

    assert stream.statuses == [OutcomeStatus.APPLIED, OutcomeStatus.REFUSED]
    assert why in stream.outcomes[1].reason
    assert len(stream.selections) == 1


def test_a_fail_over_that_names_no_segment_begins_with_the_next() -> None:
    stream = Stream().after(switch("B", 1), switch("A", 2, from_sequence=None))

    assert stream.selections[-1].from_sequence == 6


def test_too_many_switches_are_held_and_said_to_be() -> None:
    stream = Stream().after(*(switch("AB"[number % 2], number) for number in range(1, 5)))

    assert stream.statuses == [*[OutcomeStatus.APPLIED] * 3, OutcomeStatus.REFUSED]
    assert "held: 3 switches within 5 min" in stream.outcomes[-1].reason

    later = switch("A", 5, time_ms=10_000 + WINDOW_MS, expires_ms=10_000 + 2 * WINDOW_MS)
    assert stream.after(later).statuses[-1] is OutcomeStatus.APPLIED


def test_the_end_of_a_fail_over_leaves_the_stream_where_it_is() -> None:
    stream = Stream().after(switch("B", 1), resume(2, "c1"))

    assert stream.statuses == [OutcomeStatus.APPLIED, OutcomeStatus.UNDONE]
    assert len(stream.selections) == 1
    assert stream.outcomes[1].reason.endswith("the stream stays where it is")
    assert stream.after(switch("A", 3)).selections[-1].pipeline == "A", "to return is a switch of its own"


def test_a_dry_run_is_told_and_changes_nothing() -> None:
    stream = Stream().after(switch("B", 2, dry_run=True), switch("B", 1))

    assert stream.statuses == [OutcomeStatus.DRY_RUN, OutcomeStatus.APPLIED]
    assert stream.outcomes[0].after == "B from segment 10"


@pytest.mark.parametrize(
    "command",
    [switch("B", 1, kind=CommandKind.STEER), resume(1, "c0", undoes_kind=CommandKind.STEER)],
)
def test_commands_for_other_actors_are_left_to_them(command: Command) -> None:
    assert Stream().after(command).outcomes == []


def test_only_commands_with_the_right_signature_are_obeyed() -> None:
    selection = Selection(SETTINGS.model_copy(update={"signing_key": "a secret"}))

    _, refused = selection.step(None, switch("B", 1))
    _, obeyed = selection.step(None, signed(switch("B", 1), "a secret"))

    assert (len(refused), len(obeyed)) == (1, 2)


class StreamLife(RuleBasedStateMachine):
    """Switches and resumes of any sort in any order, told any number of times."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream()
        self.obeyed: list[Command] = []

    @rule(
        pipeline=st.sampled_from("ABC"),
        generation=st.integers(0, 60),
        sequence=st.none() | st.integers(0, 200),
        dry=st.booleans(),
    )
    def switch(self, pipeline: str, generation: int, sequence: int | None, dry: bool) -> None:
        count = len(self.stream.selections)
        command = switch(pipeline, generation, from_sequence=sequence, dry_run=dry)
        self.stream.after(command)
        if len(self.stream.selections) > count:
            self.obeyed.append(command)
            assert not dry

    @rule(generation=st.integers(0, 80), undoes=st.integers(0, 60))
    def resume(self, generation: int, undoes: int) -> None:
        count = len(self.stream.selections)
        self.stream.after(resume(generation, f"c{undoes}", id=f"r{generation}"))
        assert len(self.stream.selections) == count

    @precondition(lambda self: self.obeyed)
    @rule(data=st.data())
    def told_again(self, data: st.DataObject) -> None:
        state, count = self.stream.state, len(self.stream.selections)
        self.stream.after(data.draw(st.sampled_from(self.obeyed)))
        assert self.stream.state == state
        assert len(self.stream.selections) == count

    @invariant()
    def generations_and_segments_only_grow(self) -> None:
        for numbers in (
            [each.generation for each in self.stream.selections],
            [each.from_sequence for each in self.stream.selections],
        ):
            assert numbers == sorted(set(numbers))

    @invariant()
    def a_switch_is_always_to_another_pipeline(self) -> None:
        served = [each.pipeline for each in self.stream.selections]
        assert all(one != other for one, other in pairwise(served))

    @invariant()
    def there_are_never_more_switches_than_allowed(self) -> None:
        times = [each.time_ms for each in self.stream.selections]
        for last in times:
            assert sum(1 for at in times if last - WINDOW_MS < at <= last) <= SETTINGS.max_switches


TestStreamLife = StreamLife.TestCase
TestStreamLife.settings = settings(deadline=None, derandomize=True)
