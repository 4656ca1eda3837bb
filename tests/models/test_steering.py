"""The CDN actor's decisions: what it obeys, refuses, repeats and undoes."""

from __future__ import annotations

from dataclasses import dataclass, field

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from serving import serving

from config import load
from models.leases import lapsed
from models.obedience import signed
from models.steering import Steered, Steering
from models.stewardship import Steward
from models.surroundings import Surroundings
from topics.anomalies import AnomalyKind, Severity
from topics.commands import Command, CommandKind, Limits, Outcome, OutcomeStatus, RampStep
from topics.incidents import Incident, IncidentState
from topics.policies import Policy
from topics.steering import SteeringAnswer

KEY = "a secret"
LEASE_MS = 300_000
SETTINGS = load({}).settings.policy


def steer(generation: int = 1, **given: object) -> Command:
    fields: dict[str, object] = {
        "time_ms": 1_000 * generation,
        "id": f"c{generation}",
        "kind": CommandKind.STEER,
        "target": "isp=3",
        "generation": generation,
        "incident": "i1",
        "owner": "policy",
        "reason": "viewers of isp=3 stall on 7",
        "expires_ms": 1_000 * generation + LEASE_MS,
        "limits": Limits(max_share=0.5),
        "audience": {"isp": "3"},
        "away_from": "7",
        "pathway_priority": ["5", "7"],
        "share": 0.1,
    }
    return Command(**{**fields, **given})  # type: ignore[arg-type]


def resume(generation: int, undoes: str, **given: object) -> Command:
    return Command(
        **{  # type: ignore[arg-type]
            "time_ms": 1_000 * generation,
            "id": f"c{generation}",
            "kind": CommandKind.RESUME,
            "target": "isp=3",
            "generation": generation,
            "owner": "policy",
            "reason": "it is over",
            "expires_ms": 1_000 * generation + LEASE_MS,
            "undoes": undoes,
            "undoes_kind": CommandKind.STEER,
            "audience": {"isp": "3"},
            **given,
        }
    )


@dataclass
class Audience:
    """An audience, what it is served, and what was said of its commands."""

    key: str = ""
    state: Steered | None = None
    answers: list[SteeringAnswer] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def after(self, *commands: Command) -> Audience:
        for command in commands:
            self.state, emissions = Steering(ttl_s=10, signing_key=self.key).step(self.state, command)
            for emission in emissions:
                record = emission.record
                if isinstance(record, SteeringAnswer):
                    self.answers.append(record)
                else:
                    assert isinstance(record, Outcome)
                    self.outcomes.append(record)
        return self

    @property
    def served(self) -> SteeringAnswer | None:
        return self.answers[-1] if self.answers else None

    @property
    def statuses(self) -> list[OutcomeStatus]:
        return [each.status for each in self.outcomes]


def test_a_command_becomes_the_answer_of_its_audience() -> None:
    audience = Audience().after(steer(origin_ms=900))

    (answer,) = audience.answers
    assert (answer.audience, answer.cell, answer.pathway_priority) == ("isp=3", {"isp": "3"}, ["5", "7"])
    assert (answer.share, answer.away_from, answer.ttl_s, answer.origin_ms) == (0.1, "7", 10, 900)
    assert (answer.command_id, answer.incident, answer.expires_ms) == ("c1", "i1", 1_000 + LEASE_MS)
    (said,) = audience.outcomes
    assert (said.status, said.before, said.after) == (
        OutcomeStatus.APPLIED,
        "the default order",
        "10 % of isp=3: 5, 7",
    )


def test_shedding_says_what_is_shed_and_asks_nothing_of_the_pathways() -> None:
    shed = steer(
        kind=CommandKind.SHED, away_from="", pathway_priority=[], max_bitrate_kbps=1_750.0, p2p=False
    )

    audience = Audience().after(shed)

    assert audience.served is not None
    assert audience.served.pathway_priority == []
    assert (audience.served.max_bitrate_kbps, audience.served.p2p) == (1_750.0, False)
    assert audience.outcomes[0].after == "10 % of isp=3: at most 1750 kb/s; no peer-to-peer"


def test_the_same_command_again_says_nothing() -> None:
    once, twice = Audience().after(steer()), Audience().after(steer(), steer())

    assert (twice.answers, twice.outcomes, twice.state) == (once.answers, once.outcomes, once.state)


def test_a_newer_command_takes_the_place_of_an_older_one_and_never_the_other_way() -> None:
    audience = Audience().after(steer(2, share=0.2), steer(1))

    assert audience.statuses == [OutcomeStatus.APPLIED, OutcomeStatus.REFUSED]
    assert "generation 1 is not newer than 2" in audience.outcomes[1].reason
    assert audience.served is not None
    assert audience.served.share == 0.2


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"expires_ms": 1_000}, "over before it begins"),
        ({"share": 0.6}, "exceeds its limit of 0.5"),
        ({"pathway_priority": []}, "names no pathway"),
        ({"pathway_priority": ["5", "6", "5"]}, "named twice"),
        ({"pathway_priority": ["7", "5"]}, "away from 7 and names it first"),
        ({"id": ""}, "no id to be undone by"),
        ({"kind": CommandKind.SHED}, "sheds nothing"),
        ({"renews": "c0"}, "c0, which it renews, is not in force"),
    ],
)
def test_what_cannot_be_served_is_refused_and_says_why(given: dict[str, object], why: str) -> None:
    audience = Audience().after(steer(**given))

    assert audience.statuses == [OutcomeStatus.REFUSED]
    assert why in audience.outcomes[0].reason
    assert audience.answers == []


def test_a_dry_run_is_told_and_changes_nothing() -> None:
    audience = Audience().after(steer(2, dry_run=True), steer(1))

    assert audience.statuses == [OutcomeStatus.DRY_RUN, OutcomeStatus.APPLIED]
    assert audience.outcomes[0].after == "10 % of isp=3: 5, 7"


def test_a_resume_restores_the_default() -> None:
    audience = Audience().after(steer(1), resume(2, "c1"))

    assert audience.statuses == [OutcomeStatus.APPLIED, OutcomeStatus.UNDONE]
    assert audience.served is not None
    assert (audience.served.pathway_priority, audience.served.command_id) == ([], "")
    assert (audience.served.expires_ms, audience.served.cell) == (None, {"isp": "3"})


@pytest.mark.parametrize(
    ("before", "command"),
    [
        ([], resume(2, "c1")),
        ([steer(1)], resume(2, "c9")),
        ([steer(1), resume(2, "c1")], resume(3, "c1")),
        ([steer(5)], resume(2, "c5")),
    ],
)
def test_a_resume_of_what_is_not_in_force_is_refused(before: list[Command], command: Command) -> None:
    audience = Audience().after(*before)
    served = audience.served

    audience.after(command)

    assert audience.statuses[-1] is OutcomeStatus.REFUSED
    assert audience.served == served


def test_a_resume_ends_whatever_is_in_force_for_its_incident() -> None:
    audience = Audience().after(steer(1), steer(2, renews="c1"), resume(3, "c1", incident="i1"))

    assert audience.statuses == [OutcomeStatus.APPLIED, OutcomeStatus.APPLIED, OutcomeStatus.UNDONE]


def test_a_resume_that_does_not_say_the_kind_is_for_who_obeyed_the_command() -> None:
    audience = Audience().after(steer(1), resume(2, "c1", undoes_kind=None))

    assert audience.statuses[-1] is OutcomeStatus.UNDONE


@pytest.mark.parametrize(
    "command",
    [
        steer(kind=CommandKind.FAIL_OVER, pipeline="B"),
        resume(1, "c0", undoes_kind=CommandKind.FAIL_OVER),
        resume(1, "c0", undoes_kind=None),
    ],
)
def test_commands_for_other_actors_are_left_to_them(command: Command) -> None:
    audience = Audience().after(command)

    assert audience.outcomes == audience.answers == []


def test_only_commands_with_the_right_signature_are_obeyed() -> None:
    forged = msgspec.structs.replace(signed(steer(2), KEY), share=0.5)
    audience = Audience(KEY).after(steer(1), forged, signed(steer(3), "another key"), signed(steer(4), KEY))

    assert audience.statuses == [*[OutcomeStatus.REFUSED] * 3, OutcomeStatus.APPLIED]
    assert all("signature" in each.reason for each in audience.outcomes[:3])


@pytest.mark.parametrize(
    ("way_back", "away_from", "status"),
    [
        (True, "7", OutcomeStatus.APPLIED),
        (True, "5", OutcomeStatus.REFUSED),
        (False, "7", OutcomeStatus.REFUSED),
    ],
    ids=["back to the CDN that fails anew", "back to another", "not on the way back"],
)
def test_another_incident_takes_over_only_a_way_back_to_the_cdn_it_leaves(
    way_back: bool, away_from: str, status: OutcomeStatus
) -> None:
    ramp = [RampStep(at_ms=20_000, share=0.05)] if way_back else []
    order = ["5", "7"] if away_from == "7" else ["7", "5"]
    other = steer(3, incident="i2", away_from=away_from, pathway_priority=order)

    audience = Audience().after(steer(1), steer(2, ramp=ramp), other)

    assert audience.statuses[-1] is status


# -- leases -----------------------------------------------------------------------------------------------


def served_by(*commands: Command) -> tuple[Audience, SteeringAnswer]:
    audience = Audience().after(*commands)
    assert audience.served is not None
    return audience, audience.served


def test_a_lease_that_has_run_out_restores_the_default() -> None:
    audience, answer = served_by(steer())
    end_ms = 1_000 + LEASE_MS
    assert lapsed(answer, end_ms - 1, "") is None

    command = lapsed(answer, end_ms + 12_345, "")
    assert command is not None
    audience.after(command)

    assert audience.statuses[-1] is OutcomeStatus.EXPIRED
    assert audience.served is not None
    assert audience.served.pathway_priority == []
    assert lapsed(audience.served, 10 * end_ms, "") is None


def test_the_end_of_a_lease_is_the_same_command_whoever_finds_it() -> None:
    _, answer = served_by(steer())

    assert lapsed(answer, 400_000, KEY) == lapsed(answer, 500_000, KEY)


def test_a_lease_found_over_after_it_was_renewed_changes_nothing() -> None:
    audience, first = served_by(steer(1_000))
    audience.after(steer(2_000, renews="c1000"))
    late = lapsed(first, 10_000_000, "")
    assert late is not None

    audience.after(late)

    assert audience.statuses[-1] is OutcomeStatus.REFUSED
    assert audience.served is not None
    assert audience.served.command_id == "c2000"


def test_an_answer_is_ended_even_by_an_actor_that_has_lost_its_state() -> None:
    _, answer = served_by(steer())
    command = lapsed(answer, 400_000, "")
    assert command is not None

    assert Audience().after(command).statuses == [OutcomeStatus.EXPIRED]


def incident(state: IncidentState = IncidentState.OPEN) -> Incident:
    return Incident(
        time_ms=1_000,
        incident="i1",
        subject="cdn=7",
        state=state,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.HIGH,
        summary="cdn=7: 4 % of viewers stall",
        opened_ms=1_000,
    )


def renewed(
    answer: SteeringAnswer, known: Incident | None, policies: list[Policy], now_ms: int
) -> Command | None:
    around = Surroundings(policies=policies, answers=serving(answer), incident_of=lambda _: known)
    return Steward(SETTINGS, "").next(answer, around, now_ms)


ALLOWED = Policy(time_ms=0, policy="p", allows=CommandKind.STEER, dry_run=False, lease_s=300)
DUE_MS = 1_000 + LEASE_MS - int(SETTINGS.renew_before_s * 1_000)


def test_the_lease_of_an_open_incident_goes_on_shortly_before_its_end() -> None:
    audience, answer = served_by(steer())
    assert renewed(answer, incident(), [ALLOWED], DUE_MS - 1) is None

    command = renewed(answer, incident(), [ALLOWED], DUE_MS)
    assert command is not None
    audience.after(command)

    assert audience.statuses[-1] is OutcomeStatus.APPLIED
    assert audience.served is not None
    assert audience.served.expires_ms == 1_000 + 2 * LEASE_MS
    assert (audience.served.share, audience.served.pathway_priority) == (0.1, ["5", "7"])


@pytest.mark.parametrize(
    ("known", "policies", "now_ms"),
    [
        (None, [ALLOWED], DUE_MS),
        (incident(), [], DUE_MS),
        (incident(), [msgspec.structs.replace(ALLOWED, dry_run=True)], DUE_MS),
        (incident(), [msgspec.structs.replace(ALLOWED, limits=Limits(max_share=0.05))], DUE_MS),
        (incident(), [ALLOWED], 1_000 + LEASE_MS),
    ],
)
def test_a_lease_ends_where_its_reason_or_its_leave_has(
    known: Incident | None, policies: list[Policy], now_ms: int
) -> None:
    _, answer = served_by(steer())

    assert renewed(answer, known, policies, now_ms) is None


def test_the_moved_stay_moved_while_nothing_says_that_there_is_room_for_them() -> None:
    _, answer = served_by(steer())

    command = renewed(answer, incident(IncidentState.RESOLVED), [ALLOWED], DUE_MS)

    assert command is not None
    assert (command.share, command.ramp) == (answer.share, [])


@pytest.mark.parametrize(("age_ms", "goes_on"), [(3_600_000, True), (3_600_001, False)])
def test_leases_of_an_old_incident_wait_for_a_person(age_ms: int, goes_on: bool) -> None:
    _, answer = served_by(steer(10_000))
    due_ms = 10_000_000 + LEASE_MS - int(SETTINGS.renew_before_s * 1_000)
    known = msgspec.structs.replace(incident(), opened_ms=due_ms - age_ms)

    assert (renewed(answer, known, [ALLOWED], due_ms) is not None) is goes_on


def test_a_renewal_that_comes_after_the_resume_moves_nobody() -> None:
    audience, answer = served_by(steer())
    command = renewed(answer, incident(), [ALLOWED], DUE_MS)
    assert command is not None

    audience.after(resume(2, "c1"), msgspec.structs.replace(command, generation=10**9))

    assert audience.statuses[-1] is OutcomeStatus.REFUSED
    assert audience.served is not None
    assert audience.served.pathway_priority == []


# -- properties -------------------------------------------------------------------------------------------

COMMANDS = st.builds(
    lambda kind, generation, share, limit, order, dry, ends: steer(
        generation,
        kind=kind,
        share=share,
        limits=Limits(max_share=limit),
        pathway_priority=order,
        dry_run=dry,
        expires_ms=1_000 * generation + ends,
        max_bitrate_kbps=1_750.0 if kind is CommandKind.SHED else None,
    ),
    st.sampled_from([CommandKind.STEER, CommandKind.SHED, CommandKind.FAIL_OVER]),
    st.integers(0, 40),
    st.floats(0, 1),
    st.floats(0, 1),
    st.lists(st.sampled_from("4567"), max_size=4),
    st.booleans(),
    st.sampled_from([0, LEASE_MS]),
)


class AudienceLife(RuleBasedStateMachine):
    """Commands of any sort in any order, told any number of times."""

    def __init__(self) -> None:
        super().__init__()
        self.audience = Audience()
        self.obeyed: list[Command] = []

    def _tell(self, command: Command) -> None:
        count = len(self.audience.answers)
        self.audience.after(command)
        if len(self.audience.answers) > count:
            self.obeyed.append(command)

    @rule(command=COMMANDS)
    def command(self, command: Command) -> None:
        served, count = self.audience.served, len(self.audience.answers)
        self._tell(command)
        if command.dry_run or command.kind is CommandKind.FAIL_OVER:
            assert self.audience.served == served
            assert len(self.audience.answers) == count

    @rule(generation=st.integers(0, 60), undoes=st.integers(0, 40))
    def resume(self, generation: int, undoes: int) -> None:
        self._tell(resume(generation, f"c{undoes}", id=f"r{generation}"))

    @precondition(lambda self: self.audience.served)
    @rule(later_ms=st.integers(0, 2 * LEASE_MS))
    def time_passes(self, later_ms: int) -> None:
        assert self.audience.served is not None
        command = lapsed(self.audience.served, self.audience.served.time_ms + later_ms, "")
        if command is not None:
            self._tell(command)
            assert self.audience.served.pathway_priority == []
            assert self.audience.statuses[-1] is OutcomeStatus.EXPIRED

    @precondition(lambda self: self.obeyed)
    @rule(data=st.data())
    def told_again(self, data: st.DataObject) -> None:
        served, state = self.audience.served, self.audience.state
        self.audience.after(data.draw(st.sampled_from(self.obeyed)))
        assert self.audience.served == served
        assert self.audience.state == state

    @precondition(lambda self: self.audience.state and self.audience.state.command)
    @rule()
    def what_is_in_force_can_be_undone(self) -> None:
        assert self.audience.state is not None
        assert self.audience.state.command is not None
        self._tell(resume(self.audience.state.generation + 1, self.audience.state.command.id, id="undo"))
        assert self.audience.statuses[-1] in {OutcomeStatus.UNDONE, OutcomeStatus.EXPIRED}
        assert self.audience.state.command is None

    @invariant()
    def what_is_served_is_always_a_valid_answer(self) -> None:
        for answer in self.audience.answers:
            order = answer.pathway_priority
            assert len(set(order)) == len(order)
            assert answer.share <= 1
            if answer.away_from and answer.command_id and answer.max_bitrate_kbps is None:
                assert order
                assert order[0] != answer.away_from

    @invariant()
    def generations_only_grow(self) -> None:
        generations = [answer.generation for answer in self.audience.answers]
        assert generations == sorted(set(generations))

    @invariant()
    def no_share_above_its_limit_is_served(self) -> None:
        command = self.audience.state.command if self.audience.state is not None else None
        if command is not None:
            assert command.share <= command.limits.max_share


TestAudienceLife = AudienceLife.TestCase
TestAudienceLife.settings = settings(deadline=None, derandomize=True)
