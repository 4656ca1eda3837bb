"""What becomes of a lease while it is in force: who may touch it, and what the comparison says."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from serving import serving

from config import load
from models.obedience import is_genuine
from models.stewardship import Steward
from models.surroundings import Surroundings
from topics.anomalies import AnomalyKind, Severity
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind, Limits, RampStep
from topics.controls import Control, ControlVerb, control_key
from topics.incidents import Incident, IncidentState
from topics.policies import Policy
from topics.steering import SteeringAnswer
from topics.verifications import Pulse, Verdict, Verification

SETTINGS = load({}).settings.policy
KEY = "a secret"
NOW_MS = 10_000_000
LEASE_MS = 300_000
RETURN_DWELL_MS = int(1_000 * SETTINGS.return_dwell_s)


def answer(**given: object) -> SteeringAnswer:
    fields: dict[str, object] = {
        "time_ms": NOW_MS - 60_000,
        "audience": "isp=3",
        "cell": {"isp": "3"},
        "pathway_priority": ["5", "7"],
        "away_from": "7",
        "share": 0.1,
        "ttl_s": 10.0,
        "generation": 5,
        "command_id": "c1",
        "incident": "i1",
        "expires_ms": NOW_MS - 60_000 + LEASE_MS,
    }
    return SteeringAnswer(**{**fields, **given})  # type: ignore[arg-type]


def incident(state: IncidentState = IncidentState.OPEN, **given: object) -> Incident:
    fields: dict[str, object] = {
        "time_ms": NOW_MS - 60_000,
        "incident": "i1",
        "subject": "cdn=7,isp=3",
        "state": state,
        "kind": AnomalyKind.STREAMING_QUALITY_DROP,
        "severity": Severity.HIGH,
        "summary": "4 % stall",
        "cause": {"cdn": "7", "isp": "3"},
        "opened_ms": NOW_MS - 60_000,
        "resolved_ms": NOW_MS - 60_000 if state is IncidentState.RESOLVED else None,
    }
    return Incident(**{**fields, **given})  # type: ignore[arg-type]


def verified(verdict: Verdict, **given: object) -> Verification:
    fields: dict[str, object] = {
        "time_ms": NOW_MS,
        "audience": "isp=3",
        "command_id": "c1",
        "incident": "i1",
        "since_ms": NOW_MS - 50_000,
        "window_end_ms": NOW_MS,
        "windows": 5,
        "moved_viewers": 500.0,
        "moved_bad": 2.0,
        "control_viewers": 4_500.0,
        "control_bad": 900.0,
        "verdict": verdict,
    }
    return Verification(**{**fields, **given})  # type: ignore[arg-type]


def control(verb: ControlVerb, incident_id: str = "", **given: object) -> Control:
    fields: dict[str, object] = {
        "time_ms": NOW_MS - 1_000,
        "control": control_key(verb, incident_id),
        "verb": verb,
        "incident": incident_id,
        "by": "ada",
        "reason": "the match begins",
    }
    return Control(**{**fields, **given})  # type: ignore[arg-type]


def node(cdn: str, load_ratio: float = 0.3, **given: object) -> NodeReport:
    fields = {"time_ms": NOW_MS, "node": f"{cdn}-1", "cdn": cdn, "capacity_gbps": 100.0, "load": load_ratio}
    return NodeReport(**{**fields, **given})  # type: ignore[arg-type]


POLICY = Policy(
    time_ms=0,
    policy="steer",
    allows=CommandKind.STEER,
    dry_run=False,
    lease_s=LEASE_MS / 1_000,
    limits=Limits(max_share=0.5),
)


def around(
    *controls: Control,
    lasting: Incident | None = None,
    found: Verification | None = None,
    **given: object,
) -> Surroundings:
    said = {each.control: each for each in controls}
    known = lasting if lasting is not None else incident()
    fields: dict[str, object] = {
        "policies": [POLICY],
        "nodes": [node("5"), node("7")],
        "answers": serving(answer()),
        "incident_of": {"i1": known}.get,
        "verification_of": {"isp=3": found}.get,
        "control_of": said.get,
        "pulse": Pulse(time_ms=NOW_MS, agent="verify", window_end_ms=NOW_MS, viewers=50_000.0),
    }
    return Surroundings(**{**fields, **given})  # type: ignore[arg-type]


def due(known: Surroundings, now_ms: int = NOW_MS) -> list[Command]:
    return Steward(SETTINGS, KEY).look(known, now_ms)


@pytest.mark.parametrize("verdict", [Verdict.HARMED, Verdict.NO_EFFECT])
def test_a_move_that_does_not_help_is_undone_and_says_what_was_seen(verdict: Verdict) -> None:
    (command,) = due(around(found=verified(verdict, moved_bad=400.0)))

    assert (command.kind, command.undoes, command.incident) == (CommandKind.RESUME, "c1", "i1")
    assert (
        "80 % of about 500 viewers moved stall or fail, 20 % of about 4,500 viewers not moved"
        in command.reason
    )
    assert is_genuine(command, KEY)


def test_a_move_that_helps_reaches_more_once_the_loads_tell_where_the_first_went() -> None:
    (command,) = due(around(found=verified(Verdict.HELPED)))

    assert (command.kind, command.renews, command.generation) == (CommandKind.STEER, "c1", 6)
    assert command.share == pytest.approx(min(0.1 * SETTINGS.widen_factor, 0.5))
    assert command.reason.startswith("it helps")


def test_no_widening_goes_beyond_the_policy_the_control_or_one_step() -> None:
    wide = answer(share=0.4)
    full = msgspec.structs.replace(POLICY, limits=Limits(max_share=1.0))

    (within_policy,) = due(around(found=verified(Verdict.HELPED), answers=serving(wide)))
    (within_control,) = due(
        around(found=verified(Verdict.HELPED), answers=serving(answer(share=0.6)), policies=[full])
    )

    assert within_policy.share == pytest.approx(0.5)
    assert within_control.share == pytest.approx(1 - SETTINGS.control_share)


def test_nothing_is_widened_into_a_cdn_that_has_no_room() -> None:
    assert due(around(found=verified(Verdict.HELPED), nodes=[node("5", 0.8), node("7")])) == []


def test_the_verdict_about_another_incident_says_nothing_about_this_one() -> None:
    assert due(around(found=verified(Verdict.HARMED, incident="i0"))) == []


def test_a_person_takes_a_move_back_whatever_else_is_said() -> None:
    (command,) = due(
        around(control(ControlVerb.UNDO, "i1"), control(ControlVerb.FREEZE), found=verified(Verdict.HELPED))
    )

    assert (command.kind, command.undoes, command.owner) == (CommandKind.RESUME, "c1", "ada")
    assert command.reason == "taken back by ada: the match begins"


@pytest.mark.parametrize("verdict", [Verdict.HELPED, Verdict.HARMED])
@pytest.mark.parametrize("blind", [False, True])
def test_frozen_or_blind_nothing_is_widened_or_undone(verdict: Verdict, blind: bool) -> None:
    known = around(found=verified(verdict))
    if blind:
        seen_ms = NOW_MS - int(1_000 * SETTINGS.blind_after_s) - 1
        known = replace(
            known, pulse=Pulse(time_ms=seen_ms, agent="verify", window_end_ms=seen_ms, viewers=1.0)
        )
    else:
        known = replace(known, control_of={"freeze": control(ControlVerb.FREEZE)}.get)

    assert due(known) == []


def test_frozen_a_lease_in_force_goes_on() -> None:
    soon_ms = answer().expires_ms or 0
    (command,) = due(around(control(ControlVerb.FREEZE)), soon_ms - 1_000)

    assert (command.kind, command.renews) == (CommandKind.STEER, "c1")
    assert command.share == 0.1
    assert "frozen by ada" in command.reason


@pytest.mark.parametrize("given", [{"enabled": False}, {"until_ms": NOW_MS}], ids=["taken back", "lapsed"])
def test_a_word_that_was_taken_back_or_has_lapsed_counts_no_more(given: dict[str, object]) -> None:
    assert due(around(control(ControlVerb.UNDO, "i1", **given))) == []


def test_viewers_return_in_steps_once_the_incident_is_over_for_a_while() -> None:
    over = incident(IncidentState.RESOLVED)
    resolved_ms = over.resolved_ms or 0

    assert due(around(lasting=over), resolved_ms + RETURN_DWELL_MS - 1) == []
    (command,) = due(around(lasting=over), resolved_ms + RETURN_DWELL_MS)

    shares = [step.share for step in command.ramp]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 0.1
    assert command.expires_ms == command.ramp[-1].at_ms + RETURN_DWELL_MS


def test_viewers_stay_while_their_cdn_has_no_room_for_them() -> None:
    over = incident(IncidentState.RESOLVED)

    assert due(around(lasting=over, nodes=[node("5"), node("7", 0.79)])) == []


def test_the_way_back_goes_on_by_itself() -> None:
    on_the_way = answer(ramp=[RampStep(at_ms=NOW_MS, share=0.05)])

    assert due(around(lasting=incident(IncidentState.RESOLVED), answers=serving(on_the_way))) == []


def test_a_lease_is_renewed_before_it_ends_but_not_without_leave_nor_for_ever() -> None:
    soon_ms = (answer().expires_ms or 0) - 1_000

    (command,) = due(around(), soon_ms)
    assert command.expires_ms == (answer().expires_ms or 0) + LEASE_MS

    withdrawn = msgspec.structs.replace(POLICY, dry_run=True)
    assert due(around(policies=[withdrawn]), soon_ms) == []
    long_ago_ms = NOW_MS - int(1_000 * SETTINGS.renew_for_s)
    assert due(around(lasting=incident(opened_ms=long_ago_ms)), soon_ms) == []


def test_two_audiences_widened_at_once_share_the_room_there_is() -> None:
    both = [answer(), answer(audience="isp=4", cell={"isp": "4"}, command_id="c2", incident="i2")]
    found = {
        "isp=3": verified(Verdict.HELPED),
        "isp=4": verified(Verdict.HELPED, audience="isp=4", incident="i2"),
    }
    others = {"i1": incident(), "i2": incident(incident="i2", cause={"cdn": "7", "isp": "4"})}
    tight = [node("5", 0.69), node("7", 0.95)]

    commands = due(
        around(answers=serving(*both), nodes=tight, verification_of=found.get, incident_of=others.get)
    )

    more_gbps = sum(command.share - 0.1 for command in commands) * 95
    assert commands, "there is some room"
    assert 69 + more_gbps <= 100 * SETTINGS.target_max_load + 1e-6


def test_a_backup_that_takes_viewers_already_may_be_driven_above_where_one_may_begin() -> None:
    carrying = [node("5", 0.74), node("6", 0.74), node("7")]

    (command,) = due(around(found=verified(Verdict.HELPED), nodes=carrying))

    assert command.pathway_priority == ["5", "7"], "6 may not begin at 74 %"
    assert command.share == pytest.approx(0.2)


def test_what_dead_nodes_have_lost_is_moved_once_there_is_room_whatever_viewers_say() -> None:
    """Half of the CDN is dead: half of the audience must go, and no more without a help seen."""
    nodes = [node("5"), node("7", 0.6), node("7", 0.0, node="7-2", healthy=False)]

    (first,) = due(around(nodes=nodes))
    (last,) = due(around(nodes=nodes, answers=serving(answer(share=0.4))))

    assert first.share == pytest.approx(0.2)
    assert last.share == pytest.approx(0.5)
    assert "nodes of 7 that carry 100 Gb/s are down still" in first.reason
    assert due(around(nodes=nodes, answers=serving(answer(share=0.5)))) == []


def test_resolved_with_nodes_down_the_rest_is_moved_too() -> None:
    nodes = [node("5"), node("7", 0.6), node("7", 0.0, node="7-2", healthy=False)]

    (command,) = due(around(lasting=incident(IncidentState.RESOLVED), nodes=nodes))

    assert (command.kind, command.ramp) == (CommandKind.STEER, [])
    assert command.share == pytest.approx(0.2)


def test_a_wider_move_begins_with_the_reports_that_show_the_room() -> None:
    """Given long after it was due it must not count as given then: its viewers are on the way from now on."""
    later_ms = NOW_MS + 40_000
    nodes = [node("5", time_ms=later_ms), node("7", time_ms=later_ms)]
    known = around(found=verified(Verdict.HELPED), nodes=nodes)

    (command,) = due(known, later_ms + 1_000)

    assert command.time_ms == later_ms
