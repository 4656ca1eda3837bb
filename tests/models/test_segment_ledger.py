"""The ledger of live segments: which pipeline is at fault, with its twin as the control."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from config import load
from models.segment_ledger import Ledger, PipelineState, SegmentLedger
from topics import ContractError
from topics.anomalies import Anomaly, AnomalyKind, Phase, Severity
from topics.ingest import Segment, SegmentStatus

SETTINGS = load({}).settings.segments
D_MS = 2_000
few = settings(max_examples=40, deadline=None, derandomize=True)
GOOD, MISSING, DEFECTIVE = SegmentStatus.PUBLISHED, SegmentStatus.MISSING, SegmentStatus.DEFECTIVE
HEALTHY, DEGRADED, FAILED, RECOVERING = PipelineState
ARROWS = {
    (HEALTHY, DEGRADED),
    (HEALTHY, FAILED),
    (DEGRADED, HEALTHY),
    (DEGRADED, FAILED),
    (FAILED, RECOVERING),
    (RECOVERING, FAILED),
    (RECOVERING, HEALTHY),
}


def segment(
    pipeline: str, sequence: int, status: SegmentStatus = GOOD, defect: str = "", *, at: int | None = None
) -> Segment:
    """A segment told when segment `at` of the usual timeline is."""
    return Segment(
        time_ms=((sequence if at is None else at) + 1) * D_MS,
        stream="final",
        pipeline=pipeline,
        sequence=sequence,
        duration_ms=D_MS,
        status=status,
        defect=defect,
    )


@dataclass
class Channel:
    """A live stream whose segments are told one by one."""

    model: SegmentLedger = field(default_factory=lambda: SegmentLedger(SETTINGS))
    ledger: Ledger | None = None
    told: list[Anomaly] = field(default_factory=list)
    states: dict[str, list[PipelineState]] = field(default_factory=lambda: defaultdict(list))

    def tells(self, *segments: Segment) -> Channel:
        for each in segments:
            self.ledger, emissions = self.model.step(self.ledger, each)
            for emission in emissions:
                assert isinstance(emission.record, Anomaly)
                self.told.append(emission.record)
            for name, pipeline in self.ledger.pipelines.items():
                self.states[name].append(pipeline.state)
        return self

    def publishes(self, pipelines: str, first: int, count: int) -> Channel:
        for sequence in range(first, first + count):
            self.tells(*(segment(pipeline, sequence) for pipeline in pipelines))
        return self

    def state(self, pipeline: str) -> PipelineState:
        assert self.ledger is not None
        return self.ledger.pipelines[pipeline].state

    @property
    def steps(self) -> list[tuple[str, Phase]]:
        return [(each.series, each.phase) for each in self.told]

    @property
    def open_series(self) -> set[str]:
        newest = {each.series: each.phase for each in self.told}
        return {series for series, phase in newest.items() if phase is not Phase.END}


def test_one_missing_segment_degrades_and_tells_nobody() -> None:
    channel = Channel().publishes("AB", 0, 5).tells(segment("A", 5, MISSING), segment("B", 5))

    assert channel.state("A") is DEGRADED
    assert channel.told == []


def test_segments_missing_in_a_row_that_the_twin_has_are_a_failure() -> None:
    channel = Channel().publishes("AB", 0, 5)
    for sequence in (5, 6):
        channel.tells(segment("A", sequence, MISSING), segment("B", sequence))

    (start,) = channel.told
    assert (start.subject, start.series, start.phase) == ("stream=final", "final/A", Phase.START)
    assert (start.kind, start.severity) == (AnomalyKind.INGEST_FAILURE, Severity.HIGH)
    assert start.cell == start.causes[0].cell == {"stream": "final", "pipeline": "A"}
    assert start.causes[0].contrast == "pipeline A misses 2 segments in a row, B has them"
    assert (start.standby, start.from_sequence, start.value) == ("B", 7, 2.0)


def test_silence_is_missing_once_the_twin_has_told_of_the_next_segment() -> None:
    channel = Channel().publishes("AB", 0, 5).publishes("B", 5, 2)
    assert channel.state("A") is DEGRADED

    channel.publishes("B", 7, 1)

    assert channel.steps == [("final/A", Phase.START)]


def test_a_pipeline_that_is_one_segment_behind_is_well() -> None:
    channel = Channel().tells(segment("A", 0))
    for sequence in range(50):
        channel.tells(segment("B", sequence + 1), segment("A", sequence + 1))

    assert channel.told == []
    assert set(channel.states["A"]) == {HEALTHY}


def test_a_late_segment_repairs_what_was_held_to_be_missing() -> None:
    channel = Channel().publishes("AB", 0, 5).publishes("B", 5, 2)
    assert channel.state("A") is DEGRADED

    channel.tells(segment("A", 5))

    assert channel.state("A") is HEALTHY


def test_faults_now_and_then_are_a_failure_when_they_are_too_many() -> None:
    channel = Channel().publishes("AB", 0, 5)
    for sequence in range(5, 11):
        channel.tells(segment("B", sequence), segment("A", sequence, MISSING if sequence % 2 else GOOD))

    (start,) = channel.told
    assert start.detail == "pipeline A misses segments again and again, B has them"


def test_defects_are_named() -> None:
    channel = Channel().publishes("AB", 0, 5)
    for sequence in (5, 6):
        channel.tells(segment("B", sequence), segment("A", sequence, DEFECTIVE, "black"))

    assert channel.told[0].detail == "pipeline A is defective (black) for 2 segments in a row, B has them"


def test_trouble_on_both_pipelines_is_told_apart_and_is_no_reason_to_switch() -> None:
    channel = Channel().publishes("AB", 0, 5)
    for sequence in (5, 6):
        channel.tells(segment("A", sequence, DEFECTIVE, "black"), segment("B", sequence, DEFECTIVE, "black"))

    (both,) = channel.told
    assert (both.series, both.severity) == ("final/both", Severity.CRITICAL)
    assert both.cell == {"stream": "final"}
    assert both.standby == ""
    assert both.detail == "pipelines A and B are bad in the same 2 segments: content or upstream"

    channel.publishes("AB", 7, SETTINGS.recover_after)
    assert channel.steps[-1] == ("final/both", Phase.END)


def test_a_lone_pipeline_fails_without_anyone_to_take_over() -> None:
    channel = Channel().publishes("A", 0, 5).tells(segment("A", 5, MISSING), segment("A", 6, MISSING))

    (start,) = channel.told
    assert (start.severity, start.standby, start.from_sequence) == (Severity.CRITICAL, "", None)
    assert start.detail == "pipeline A misses 2 segments in a row, and there is no other"


def test_who_can_take_over_is_told_when_there_is_someone_again() -> None:
    channel = Channel().publishes("ABC", 0, 5).publishes("C", 5, 3)
    channel.tells(segment("C", 8, MISSING), segment("C", 9, MISSING), segment("C", 10, MISSING))
    channel.publishes("A", 11, 1)

    updates = [(each.series, each.standby) for each in channel.told if each.phase is Phase.UPDATE]

    assert ("final/B", "A") in updates


def test_a_pipeline_is_well_again_after_enough_clean_segments() -> None:
    channel = Channel().publishes("AB", 0, 5).publishes("B", 5, 4)

    channel.publishes("AB", 9, SETTINGS.recover_after - 1)
    assert channel.state("A") is RECOVERING
    channel.publishes("AB", 9 + SETTINGS.recover_after - 1, 2)

    assert channel.state("A") is HEALTHY
    assert channel.steps == [("final/A", Phase.START), ("final/A", Phase.END)]


def test_a_pipeline_that_keeps_failing_must_be_clean_for_longer() -> None:
    channel, sequence = Channel().publishes("AB", 0, 5), 5
    clean = []
    for _ in range(3):
        channel.publishes("B", sequence, 4)
        sequence += 4
        began = sequence
        while channel.state("A") is not HEALTHY:
            channel.publishes("AB", sequence, 1)
            sequence += 1
        clean.append(sequence - began)

    assert clean[0] < clean[1] < clean[2]


def test_a_break_of_one_timeline_is_that_pipelines_fault() -> None:
    channel = Channel().publishes("AB", 0, 50)
    for sequence in range(50, 53):
        channel.tells(segment("B", sequence), segment("A", 1_000_000 + sequence, at=sequence))

    assert channel.steps == [("final/A", Phase.START)]
    assert "timeline" in channel.told[0].detail


def test_a_new_timeline_of_all_pipelines_is_no_ones_fault() -> None:
    channel = Channel().publishes("AB", 0, 100)

    for sequence in range(20):
        channel.tells(*(segment(pipeline, sequence, at=100 + sequence) for pipeline in "AB"))

    assert channel.told == []
    assert channel.ledger is not None
    assert channel.ledger.head == 19


def test_numbers_that_the_time_passed_explains_are_the_same_timeline() -> None:
    channel = Channel().publishes("AB", 0, 50)

    channel.publishes("A", 1_000_000, 4)

    assert channel.steps == [("final/B", Phase.START)]


def test_segments_long_past_change_nothing() -> None:
    channel = Channel().publishes("AB", 0, 200)
    ledger = channel.ledger

    channel.publishes("AB", 0, 50)

    assert channel.ledger == ledger


def test_more_pipelines_than_allowed_are_refused_by_name() -> None:
    channel = Channel().publishes("ABCDEFGH", 0, 1)

    with pytest.raises(ContractError, match="'I' is one more than"):
        channel.tells(segment("I", 0))


def test_the_state_survives_being_stored() -> None:
    channel = Channel().publishes("AB", 0, 70).publishes("B", 70, 4)

    stored = msgspec.msgpack.encode(channel.ledger)

    assert msgspec.msgpack.decode(stored, type=Ledger) == channel.ledger
    assert len(stored) < 4_000


# -- properties -------------------------------------------------------------------------------------------

REPORTS = st.dictionaries(
    st.tuples(st.sampled_from("AB"), st.integers(0, 30)), st.sampled_from([GOOD, MISSING, DEFECTIVE])
)


@few
@given(REPORTS, st.data())
def test_the_ledger_does_not_depend_on_the_order_of_reports(
    reports: dict[tuple[str, int], SegmentStatus], data: st.DataObject
) -> None:
    segments = [segment(pipeline, sequence, status) for (pipeline, sequence), status in reports.items()]
    shuffled = data.draw(st.permutations(segments))

    one, other = Channel().tells(*segments).ledger, Channel().tells(*shuffled).ledger

    assert {name: each.reports for name, each in (one.pipelines if one else {}).items()} == {
        name: each.reports for name, each in (other.pipelines if other else {}).items()
    }


@few
@given(st.lists(st.sampled_from([GOOD, MISSING, DEFECTIVE]), max_size=60))
def test_what_both_pipelines_suffer_is_never_one_pipelines_failure(statuses: list[SegmentStatus]) -> None:
    channel = Channel()
    for sequence, status in enumerate(statuses):
        channel.tells(segment("A", sequence, status), segment("B", sequence, status))

    assert {series for series, _ in channel.steps} <= {"final/both"}


@few
@given(REPORTS)
def test_whatever_happened_all_is_well_after_long_enough(
    reports: dict[tuple[str, int], SegmentStatus],
) -> None:
    channel = Channel()
    for (pipeline, sequence), status in sorted(reports.items(), key=lambda each: each[0][1]):
        channel.tells(segment(pipeline, sequence, status))

    channel.publishes("AB", 31, SETTINGS.recover_after_most + 2)

    assert channel.open_series == set()
    assert channel.state("A") is channel.state("B") is HEALTHY


class LedgerLife(RuleBasedStateMachine):
    """Two pipelines that publish, miss, are late and repeat themselves, in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.channel = Channel()
        self.next = {"A": 0, "B": 0}
        self.past: list[Segment] = []

    @rule(
        pipeline=st.sampled_from("AB"),
        status=st.sampled_from([GOOD, GOOD, GOOD, MISSING, DEFECTIVE]),
        count=st.integers(1, 20),
        skipped=st.sampled_from([0, 0, 0, 1, 2, 5]),
    )
    def tell(self, pipeline: str, status: SegmentStatus, count: int, skipped: int) -> None:
        first = self.next[pipeline] + skipped
        for sequence in range(first, first + count):
            each = segment(pipeline, sequence, status)
            self.channel.tells(each)
            self.past.append(each)
        self.next[pipeline] = first + count

    @rule(count=st.integers(1, 30))
    def publish_in_step(self, count: int) -> None:
        first = max(self.next.values())
        self.channel.publishes("AB", first, count)
        self.next = {"A": first + count, "B": first + count}

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        ledger, told = self.channel.ledger, len(self.channel.told)
        newest = self.past[-1]
        self.channel.tells(newest)
        assert self.channel.ledger == ledger
        assert len(self.channel.told) == told
        self.channel.tells(data.draw(st.sampled_from(self.past)))

    @invariant()
    def states_move_along_the_arrows(self) -> None:
        for states in self.channel.states.values():
            assert {pair for pair in pairwise(states) if pair[0] is not pair[1]} <= ARROWS

    @invariant()
    def every_episode_starts_once_and_ends_once(self) -> None:
        phases = defaultdict(list)
        for each in self.channel.told:
            if each.phase is not Phase.UPDATE:
                phases[each.series].append(each.phase)
        for sequence in phases.values():
            assert sequence == [Phase.START, Phase.END] * (len(sequence) // 2) + [Phase.START] * (
                len(sequence) % 2
            )

    @invariant()
    def whoever_is_said_to_take_over_is_another_pipeline(self) -> None:
        assert all(each.standby != each.cell.get("pipeline") for each in self.channel.told)

    @invariant()
    def what_is_remembered_is_bounded(self) -> None:
        if self.channel.ledger is not None:
            for each in self.channel.ledger.pipelines.values():
                assert len(each.reports) <= SETTINGS.window_segments

    @invariant()
    def ids_are_unique(self) -> None:
        ids = [each.id for each in self.channel.told]
        assert len(ids) == len(set(ids))


TestLedgerLife = LedgerLife.TestCase
TestLedgerLife.settings = settings(few, stateful_step_count=25)
