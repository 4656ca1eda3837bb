"""One incident has an audience at a time, whoever commands; and keys are changed without a gap."""

from __future__ import annotations

import msgspec
import pytest

from config import load
from models.cdn_loads import cdn_loads
from models.obedience import Keyring, is_genuine, keyring, signed
from models.policy import PolicyEngine
from models.promises import Promises
from models.steering import Steered, Steering
from models.surroundings import Surroundings
from topics.anomalies import AnomalyKind, Severity
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind, Outcome, OutcomeStatus
from topics.controls import Control, ControlVerb, control_key
from topics.incidents import Incident, IncidentState
from topics.policies import Policy

SETTINGS = load({}).settings
NOW_MS = 1_000_000
NODES = [
    NodeReport(time_ms=NOW_MS, node=cdn, cdn=cdn, capacity_gbps=100.0, load=load_)
    for cdn, load_ in (("7", 0.9), ("5", 0.69))
]
ALLOWS = Policy(time_ms=0, policy="p", allows=CommandKind.STEER, dry_run=False, approval_over_viewers=1_000.0)


def incident(name: str, isp: str, viewers: float = 500.0) -> Incident:
    return Incident(
        time_ms=NOW_MS,
        id=f"change-{name}",
        incident=name,
        subject=name,
        state=IncidentState.OPEN,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.HIGH,
        summary="4 % stall",
        cause={"cdn": "7", "isp": isp},
        impact_viewers=viewers,
        opened_ms=NOW_MS,
    )


def commands(about: Incident, around: Surroundings) -> list[Command]:
    _, emissions = PolicyEngine(SETTINGS.policy, "").step(None, about, around)
    return [each.record for each in emissions if isinstance(each.record, Command)]


def around(promises: Promises | None = None, **given: object) -> Surroundings:
    answers = promises.with_promised({}, NOW_MS) if promises is not None else {}
    return Surroundings(policies=[ALLOWS], nodes=NODES, answers=answers, **given)  # type: ignore[arg-type]


def steering_after(*given: Command) -> tuple[Steered | None, list[OutcomeStatus]]:
    state, statuses = None, []
    for command in given:
        state, emissions = Steering(ttl_s=10, signing_key="").step(state, command)
        statuses += [each.record.status for each in emissions if isinstance(each.record, Outcome)]
    return state, statuses


def test_of_two_incidents_that_command_one_audience_at_once_the_first_has_it() -> None:
    (first,), (second,) = commands(incident("i1", "3"), around()), commands(incident("i2", "3"), around())
    second = msgspec.structs.replace(second, generation=second.generation + 5)

    state, statuses = steering_after(first, second)

    assert statuses == [OutcomeStatus.APPLIED, OutcomeStatus.REFUSED]
    assert state is not None
    assert state.command == first


def test_once_the_first_lease_has_run_out_the_second_may_have_it() -> None:
    (first,), (second,) = commands(incident("i1", "3"), around()), commands(incident("i2", "3"), around())
    later = msgspec.structs.replace(
        second,
        time_ms=first.expires_ms,
        expires_ms=first.expires_ms + 1_000,
        generation=second.generation + 5,
    )

    assert steering_after(first, later)[1] == [OutcomeStatus.APPLIED, OutcomeStatus.APPLIED]


def test_two_audiences_commanded_before_either_is_served_share_the_room_there_is() -> None:
    promises = Promises(SETTINGS.policy.obey_within_s, SETTINGS.policy.steering_ttl_s)
    given: list[Command] = []
    for name, isp in (("i1", "3"), ("i2", "4"), ("i3", "5")):
        for command in commands(incident(name, isp), around(promises)):
            promises.note(command, NOW_MS)
            given.append(command)

    loads = cdn_loads(NODES, NOW_MS, 60_000)
    moved_gbps = sum(command.share for command in given) * loads["7"].demand_gbps
    assert given
    assert loads["5"].load_gbps + moved_gbps <= SETTINGS.policy.target_max_load * 100 + 1e-9
    alone = sum(
        commands(incident(*each), around())[0].share for each in (("i1", "3"), ("i2", "4"), ("i3", "5"))
    )
    assert sum(command.share for command in given) < alone, (
        "without promises they would have shared it out twice"
    )


def test_a_proposal_and_the_command_it_becomes_are_two_records() -> None:
    large = incident("i1", "3", viewers=5_000.0)
    key = control_key(ControlVerb.APPROVE, "i1")
    approval = Control(time_ms=NOW_MS, control=key, verb=ControlVerb.APPROVE, incident="i1", by="ada")

    (proposal,) = commands(large, around())
    (command,) = commands(large, around(control_of={key: approval}.get))

    assert (proposal.dry_run, command.dry_run) == (True, False)
    assert proposal.id != command.id
    assert steering_after(proposal, command)[1] == [OutcomeStatus.DRY_RUN, OutcomeStatus.APPLIED]


OLD, NEW = Keyring("a", "may", {"june": "b"}), Keyring("b", "june", {"may": "a"})


@pytest.mark.parametrize(("signs", "believes"), [(OLD, NEW), (NEW, OLD), (OLD, OLD), (NEW, NEW)])
def test_while_both_keys_are_known_either_is_believed(signs: Keyring, believes: Keyring) -> None:
    (command,) = commands(incident("i1", "3"), around())

    assert is_genuine(signed(command, signs), believes)


@pytest.mark.parametrize(
    "forged",
    [{"share": 1.0}, {"key_id": "may"}, {"key_id": "july"}, {"signature": ""}, {"signature": "ü"}],
    ids=str,
)
def test_what_was_changed_or_names_another_key_is_refused(forged: dict[str, object]) -> None:
    (command,) = commands(incident("i1", "3"), around())
    told = msgspec.structs.replace(signed(command, NEW), **forged)

    _, emissions = Steering(ttl_s=10, signing_key=NEW).step(None, told)

    assert [each.record.status for each in emissions if isinstance(each.record, Outcome)] == [
        OutcomeStatus.REFUSED
    ]


def test_a_key_that_was_left_out_is_believed_no_more() -> None:
    (command,) = commands(incident("i1", "3"), around())

    assert not is_genuine(signed(command, OLD), Keyring("b", "june"))


def test_the_settings_name_the_keys() -> None:
    given = {
        "PLAYHEAD_ACTORS__SIGNING_KEY": "b",
        "PLAYHEAD_ACTORS__SIGNING_KEY_ID": "june",
        "PLAYHEAD_ACTORS__OTHER_KEYS": '{"may": "a"}',
    }

    assert keyring(load(given).settings.actors) == NEW
