"""What people are shown of decisions, what would be done under other policies, and what their word says."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from config import load
from playhead.cli.steer_showing import show_explanation, show_status
from playhead.steer.explaining import explain, title_of, verified
from playhead.steer.known import Known
from playhead.steer.naming import NothingKnownError, the_one
from playhead.steer.status import status_of
from playhead.steer.trying import PolicyFileError, attempt, read_policies
from playhead.steer.words_said import word
from topics import POLICIES
from topics.anomalies import AnomalyKind, Cause, Severity
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind, Outcome, OutcomeStatus
from topics.controls import Control, ControlVerb
from topics.incidents import Incident, IncidentState
from topics.operator import OperatorAction
from topics.policies import Policy
from topics.steering import SteeringAnswer
from topics.verifications import Verdict, Verification

SETTINGS = load({}).settings
NOW_MS = 1_781_980_300_000

INCIDENT = Incident(
    time_ms=NOW_MS - 60_000,
    id="change",
    incident="d94ab8",
    subject="cdn=7,isp=3",
    state=IncidentState.OPEN,
    kind=AnomalyKind.STREAMING_QUALITY_DROP,
    severity=Severity.HIGH,
    summary="4 % of viewers stall",
    cause={"cdn": "7", "isp": "3"},
    causes=[
        Cause(
            cell={"cdn": "7", "isp": "3"}, score=0.9, excess_viewers=900, explained=0.9, contrast="not on 5"
        )
    ],
    impact_viewers=900.0,
    opened_ms=NOW_MS - 60_000,
)
COMMAND = Command(
    time_ms=NOW_MS - 50_000,
    id="c0ffee",
    kind=CommandKind.STEER,
    target="isp=3",
    generation=3,
    incident="d94ab8",
    owner="policy",
    reason="steer isp=3 away from cdn 7",
    evidence=["degraded: no more is known", "not on 5"],
    alternatives=["wait: viewers suffer"],
    expires_ms=NOW_MS + 250_000,
    undo="the default order is served again",
    audience={"isp": "3"},
    away_from="7",
    pathway_priority=["5", "7"],
    share=0.1,
)
APPLIED = Outcome(
    time_ms=NOW_MS - 50_000,
    id="o1",
    command_id="c0ffee",
    kind=CommandKind.STEER,
    target="isp=3",
    incident="d94ab8",
    actor="cdn",
    status=OutcomeStatus.APPLIED,
    reason="as asked",
    before="the default order",
    after="10 % of isp=3: 5, 7",
)
HELD = Outcome(
    time_ms=NOW_MS - 55_000,
    id="o0",
    command_id="change",
    kind=CommandKind.STEER,
    target="cdn=7,isp=3",
    incident="d94ab8",
    actor="policy",
    status=OutcomeStatus.REFUSED,
    reason="no CDN can take viewers of 7",
)
ANSWER = SteeringAnswer(
    time_ms=NOW_MS - 50_000,
    audience="isp=3",
    cell={"isp": "3"},
    pathway_priority=["5", "7"],
    away_from="7",
    share=0.1,
    ttl_s=10,
    generation=3,
    command_id="c0ffee",
    incident="d94ab8",
    expires_ms=NOW_MS + 250_000,
)
HELPED = Verification(
    time_ms=NOW_MS,
    audience="isp=3",
    incident="d94ab8",
    since_ms=NOW_MS - 40_000,
    window_end_ms=NOW_MS,
    windows=4,
    moved_viewers=100.0,
    moved_bad=1.0,
    control_viewers=900.0,
    control_bad=270.0,
    difference_low=-0.35,
    difference_high=-0.2,
    verdict=Verdict.HELPED,
)
NODES = {
    cdn: NodeReport(time_ms=NOW_MS, node=cdn, cdn=cdn, capacity_gbps=100.0, load=0.3) for cdn in ("5", "7")
}
ALLOWS = Policy(time_ms=0, policy="bold", allows=CommandKind.STEER, dry_run=False, first_share=0.3)


def known(**given: object) -> Known:
    fields: dict[str, object] = {
        "now_ms": NOW_MS,
        "nodes": NODES,
        "incidents": {"d94ab8": INCIDENT},
        "answers": {"isp=3": ANSWER},
        "verifications": {"isp=3": HELPED},
        "commands": [COMMAND],
        "outcomes": [HELD, APPLIED],
    }
    return Known(**{**fields, **given})  # type: ignore[arg-type]


def test_status_tells_who_is_told_what_for_how_long_why_and_whether_it_helps() -> None:
    (audience,) = status_of(known(), SETTINGS).audiences

    assert (audience.audience, audience.told, audience.share) == ("isp=3", "5 > 7 (away from 7)", 0.1)
    assert audience.ends_ms - NOW_MS == 250_000
    assert (audience.incident, audience.severity, audience.verdict) == ("d94ab8", "high", "helped")


def test_status_leaves_out_what_has_ended() -> None:
    over = msgspec.structs.replace(ANSWER, expires_ms=NOW_MS)

    assert status_of(known(answers={"isp=3": over}), SETTINGS).audiences == []


def test_what_waits_for_a_person_says_so() -> None:
    proposal = msgspec.structs.replace(
        COMMAND, id="p", dry_run=True, reason="steer isp=3 (needs approval: more than 400 viewers)"
    )

    (waiting,) = status_of(known(answers={}, commands=[proposal]), SETTINGS).waiting

    assert (waiting.incident, waiting.approvable) == ("d94ab8", True)


def test_an_incident_nothing_is_done_about_tells_the_last_reason() -> None:
    (waiting,) = status_of(known(answers={}, commands=[]), SETTINGS).waiting

    assert (waiting.why, waiting.approvable) == ("no CDN can take viewers of 7", False)


def test_a_freeze_is_on_top_of_the_status() -> None:
    frozen = Control(
        time_ms=NOW_MS, control="freeze", verb=ControlVerb.FREEZE, by="ada", reason="maintenance"
    )

    assert status_of(known(controls={"freeze": frozen}), SETTINGS).hands_off == "frozen by ada: maintenance"


@pytest.mark.parametrize("asked", ["d94ab8", "d94", "c0ffee", "c0f", "isp=3"])
def test_a_decision_is_explained_by_its_incident_its_command_or_its_audience(asked: str) -> None:
    found = explain(known(), asked)

    assert found.incident == INCIDENT
    (decision,) = found.decisions
    assert (decision.command, decision.outcomes) == (COMMAND, [APPLIED])
    assert found.held == [HELD]
    assert found.verifications == [HELPED]


@pytest.mark.parametrize(("asked", "why"), [("x", "no incident, command or audience"), ("", "no incident")])
def test_what_is_not_known_is_said_so(asked: str, why: str) -> None:
    with pytest.raises(NothingKnownError, match=why):
        explain(known(), asked)


def test_a_name_that_begins_several_is_refused() -> None:
    more = msgspec.structs.replace(INCIDENT, incident="d94abc")

    with pytest.raises(NothingKnownError, match="may be 2: d94ab8, d94abc"):
        explain(known(incidents={"d94ab8": INCIDENT, "d94abc": more}), "d94")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("isp=3320", "isp=3320,title=cup"),
        ("title=cup", "isp=3320,title=cup"),
        ("title=cup,isp=3320", "isp=3320,title=cup"),
        ("isp=33", "isp=3320,title=cup"),
        ("d9", "d94ab8"),
    ],
)
def test_an_audience_is_found_by_a_part_of_it(asked: str, found: str) -> None:
    assert the_one(asked, ["d94ab8", "isp=3320,title=cup", "isp=1,title=film"], "audience") == found


def test_the_record_reads_from_what_was_seen_to_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_explanation(explain(known(), "d94ab8"))

    text = " ".join(capsys.readouterr().out.split())
    said = [
        "not on 5",
        "steer 0.1 of isp=3 away from 7",
        "thought of",
        "limits",
        "undo",
        "applied",
        "it helps",
    ]
    assert all(each in text for each in said), text
    assert text.index("not on 5") < text.index("applied by cdn") < text.index("it helps")


def test_the_status_reads_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    show_status(status_of(known(), SETTINGS))
    show_status(status_of(known(answers={}, commands=[], outcomes=[]), SETTINGS))

    text = " ".join(capsys.readouterr().out.split())
    assert "isp=3" in text
    assert "every audience has the default order" in text
    assert "nothing was decided yet" in text


def test_under_another_policy_the_trial_says_what_would_be_done() -> None:
    waiting = known(answers={}, verifications={})

    proposed = attempt(waiting, INCIDENT, SETTINGS, None)
    allowed = attempt(waiting, INCIDENT, SETTINGS, [ALLOWS])

    assert [command.dry_run for command in proposed.commands] == [True]
    (command,) = allowed.commands
    assert (command.dry_run, command.share, allowed.policies) == (False, 0.3, ["bold"])


def test_a_trial_tells_what_would_become_of_the_lease_in_force() -> None:
    harms = msgspec.structs.replace(HELPED, verdict=Verdict.HARMED)

    trial = attempt(known(verifications={"isp=3": harms}), INCIDENT, SETTINGS, [ALLOWS])

    assert CommandKind.RESUME in [command.kind for command in trial.commands]


def test_policies_are_read_from_one_record_or_from_lines(tmp_path: Path) -> None:
    one, lines = tmp_path / "one.json", tmp_path / "lines.jsonl"
    one.write_bytes(msgspec.json.format(POLICIES.encode(ALLOWS), indent=2))
    lines.write_bytes(POLICIES.encode(ALLOWS) + b"\n\n" + POLICIES.encode(ALLOWS))

    assert read_policies(one) == [ALLOWS]
    assert read_policies(lines) == [ALLOWS, ALLOWS]


@pytest.mark.parametrize(
    ("content", "why"),
    [("{}", "line 1"), ("", "is empty"), ('{"policy": 3}', "line 1"), (None, "cannot be read")],
)
def test_a_file_without_policies_is_refused_with_its_place(
    tmp_path: Path, content: str | None, why: str
) -> None:
    path = tmp_path / "p.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(PolicyFileError, match=why):
        read_policies(path)


def test_an_approval_is_said_to_the_policy_and_told_in_the_incidents_timeline() -> None:
    control, action = (
        emission.record for emission in word(ControlVerb.APPROVE, NOW_MS, "ada", "go on", incident="d94ab8")
    )

    assert isinstance(control, Control)
    assert (control.control, control.enabled, control.by) == ("approve:d94ab8", True, "ada")
    assert isinstance(action, OperatorAction)
    assert (action.incident, action.by, action.reason) == ("d94ab8", "ada", "go on")


def test_a_word_taken_back_only_tells_the_policy() -> None:
    said = word(ControlVerb.UNDO, NOW_MS, "ada", "", incident="d94ab8", enabled=False)

    assert [emission.spec.name for emission in said] == ["controls"]


def test_commands_are_titled_by_what_they_ask() -> None:
    proposal = msgspec.structs.replace(COMMAND, dry_run=True)
    resume = msgspec.structs.replace(COMMAND, kind=CommandKind.RESUME)
    switch = msgspec.structs.replace(COMMAND, kind=CommandKind.FAIL_OVER, target="final", pipeline="B")

    assert title_of(proposal) == "propose to steer 0.1 of isp=3 away from 7"
    assert title_of(resume) == "resume isp=3"
    assert title_of(switch) == "fail over final to B"


def test_the_interval_is_told_with_the_verdict() -> None:
    assert verified(HELPED).endswith("the difference is -35 to -20 points at any time")
