"""What keeps a lever from being pulled, and what people's words do to it."""

from __future__ import annotations

import pytest
from serving import serving

from config import load
from models.guards import dry_run, taken, too_small
from models.levers import choose
from models.surroundings import Surroundings, described
from topics.anomalies import AnomalyKind, Severity
from topics.commands import CommandKind
from topics.controls import Control, ControlVerb, control_key
from topics.incidents import Incident, IncidentState
from topics.policies import Policy
from topics.steering import SteeringAnswer
from topics.verifications import Pulse, Verdict, Verification

SETTINGS = load({}).settings.policy
NOW_MS = 1_000_000


def incident(severity: Severity = Severity.HIGH, viewers: float = 500.0) -> Incident:
    return Incident(
        time_ms=NOW_MS,
        incident="i1",
        subject="s",
        state=IncidentState.OPEN,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=severity,
        summary="4 % stall",
        cause={"cdn": "7", "isp": "3"},
        impact_viewers=viewers,
        opened_ms=NOW_MS,
    )


def policy(**given: object) -> Policy:
    fields = {"time_ms": 0, "policy": "p", "allows": CommandKind.STEER, "dry_run": False}
    return Policy(**{**fields, **given})  # type: ignore[arg-type]


def said(verb: ControlVerb, incident_id: str = "", **given: object) -> Surroundings:
    key = control_key(verb, incident_id)
    fields = {"time_ms": 0, "control": key, "verb": verb, "incident": incident_id, "by": "ada"}
    control = Control(**{**fields, **given})  # type: ignore[arg-type]
    return Surroundings(control_of={key: control}.get)


LEVER = choose(incident(), SETTINGS).lever
assert LEVER is not None


def answer(incident_id: str, expires_ms: int | None) -> SteeringAnswer:
    return SteeringAnswer(
        time_ms=0,
        audience="isp=3",
        cell={"isp": "3"},
        pathway_priority=["5"],
        ttl_s=10,
        generation=1,
        command_id="c1",
        incident=incident_id,
        expires_ms=expires_ms,
    )


def test_a_small_or_mild_incident_is_left_alone() -> None:
    assert too_small(incident(), LEVER, policy()) is None
    assert "severity medium is below high" in str(too_small(incident(Severity.MEDIUM), LEVER, policy()))
    few = too_small(incident(viewers=5), LEVER, policy(min_impact_viewers=100.0))
    assert few is not None
    assert few.why == "about 5 viewers suffer, fewer than about 100 viewers"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, ""),
        ({"policy": ""}, "no policy allows steer"),
        ({"dry_run": True}, "policy p is one"),
        ({"approval_over_viewers": 400.0}, "needs approval: more than 400 viewers"),
        ({"approval_over_viewers": 500.0}, ""),
    ],
)
def test_a_command_is_a_dry_run_until_it_is_allowed(given: dict[str, object], why: str) -> None:
    found = dry_run(incident(), policy(**given))

    assert why in found
    assert bool(found) is bool(why)


def test_a_persons_word_passes_the_blast_radius_and_nothing_else() -> None:
    approved = said(ControlVerb.APPROVE, "i1").said(ControlVerb.APPROVE, NOW_MS, "i1")

    assert dry_run(incident(), policy(approval_over_viewers=100.0), approved) == ""
    assert dry_run(incident(), policy(dry_run=True), approved) != ""


def test_an_audience_under_another_incidents_lease_is_taken() -> None:
    assert taken(incident(), LEVER, serving(answer("i0", NOW_MS + 1))) is not None
    assert taken(incident(), LEVER, serving(answer("i1", NOW_MS + 1))) is None
    assert taken(incident(), LEVER, serving(answer("i0", NOW_MS))) is None


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"until_ms": NOW_MS}, False),
        ({"until_ms": NOW_MS + 1}, True),
    ],
)
def test_a_word_holds_until_it_is_taken_back_or_lapses(given: dict[str, object], holds: bool) -> None:
    around = said(ControlVerb.FREEZE, **given)

    assert (around.hands_off(NOW_MS, SETTINGS) != "") is holds


def test_without_a_whole_window_for_long_hands_are_off() -> None:
    oldest_ms = NOW_MS - int(1_000 * SETTINGS.blind_after_s)

    def seen(at_ms: int) -> Surroundings:
        return Surroundings(pulse=Pulse(time_ms=at_ms, agent="verify", window_end_ms=at_ms, viewers=1.0))

    assert seen(oldest_ms).hands_off(NOW_MS, SETTINGS) == ""
    assert "blind" in seen(oldest_ms - 1).hands_off(NOW_MS, SETTINGS)
    assert Surroundings().hands_off(NOW_MS, SETTINGS) == "", "playback is not watched at all"


@pytest.mark.parametrize("verdict", Verdict)
def test_only_a_harm_or_no_effect_on_this_incident_has_failed(verdict: Verdict) -> None:
    found = Verification(
        time_ms=NOW_MS,
        audience="isp=3",
        incident="i1",
        since_ms=0,
        window_end_ms=NOW_MS,
        windows=1,
        moved_viewers=0.0,
        moved_bad=0.0,
        control_viewers=10.0,
        control_bad=1.0,
        verdict=verdict,
    )
    around = Surroundings(verification_of={"isp=3": found}.get)

    failed = around.failed("isp=3", "i1")

    assert (failed is not None) is (verdict in {Verdict.HARMED, Verdict.NO_EFFECT})
    assert around.failed("isp=3", "i2") is None
    assert "none of about 0 viewers moved" in described(found)
