"""What is done about incidents: which lever, for whom, how far, and when it is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import pytest
from serving import serving

from config import load
from models.obedience import is_genuine
from models.policy import Decided, PolicyEngine
from models.surroundings import Surroundings
from topics.anomalies import AnomalyKind, Cause, Severity
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind, Limits, Outcome, OutcomeStatus, RampStep
from topics.incidents import Incident, IncidentState
from topics.ingest import PipelineSelection
from topics.policies import Policy
from topics.steering import SteeringAnswer

SETTINGS = load({}).settings.policy
MINUTE_MS = 60_000
NOW_MS = 10 * MINUTE_MS
LEVERS = (CommandKind.STEER, CommandKind.SHED, CommandKind.FAIL_OVER)


def allow(kind: CommandKind, **given: object) -> Policy:
    fields = {"time_ms": 0, "policy": f"allow-{kind}", "allows": kind, "dry_run": False}
    return Policy(**{**fields, **given})  # type: ignore[arg-type]


def node(cdn: str, load_ratio: float, capacity_gbps: float = 100.0, **given: object) -> NodeReport:
    fields = {
        "time_ms": NOW_MS,
        "node": f"{cdn}-1",
        "cdn": cdn,
        "capacity_gbps": capacity_gbps,
        "load": load_ratio,
    }
    return NodeReport(**{**fields, **given})  # type: ignore[arg-type]


AROUND = Surroundings(
    policies=[allow(kind) for kind in LEVERS], nodes=[node("7", 0.5), node("5", 0.3), node("6", 0.6)]
)


def incident(minute: int = 0, cause: dict[str, str] | None = None, **given: object) -> Incident:
    cell = {"cdn": "7", "isp": "3"} if cause is None else cause
    time_ms = NOW_MS + minute * MINUTE_MS
    fields: dict[str, object] = {
        "time_ms": time_ms,
        "id": f"change-{minute}",
        "incident": "i1",
        "subject": "cdn=7,isp=3",
        "state": IncidentState.OPEN,
        "kind": AnomalyKind.STREAMING_QUALITY_DROP,
        "severity": Severity.HIGH,
        "summary": "cdn=7,isp=3: 4.1 % of viewers stall",
        "cause": cell,
        "causes": [Cause(cell=cell, score=0.9, excess_viewers=890, explained=0.9, contrast="only there")],
        "impact_viewers": 890.0,
        "opened_ms": NOW_MS,
        "origin_ms": NOW_MS + 5,
    }
    return Incident(**{**fields, **given})  # type: ignore[arg-type]


def resolved(minute: int, **given: object) -> Incident:
    return incident(minute, state=IncidentState.RESOLVED, resolved_ms=NOW_MS, **given)


@dataclass
class Desk:
    """Where incidents are decided about, and what came of it."""

    around: Surroundings = AROUND
    key: str = ""
    state: Decided | None = None
    commands: list[Command] = field(default_factory=list)
    held: list[Outcome] = field(default_factory=list)

    def after(self, *incidents: Incident) -> Desk:
        for each in incidents:
            self.state, emissions = PolicyEngine(SETTINGS, self.key).step(self.state, each, self.around)
            for emission in emissions:
                record = emission.record
                if isinstance(record, Command):
                    self.commands.append(record)
                else:
                    assert isinstance(record, Outcome)
                    self.held.append(record)
        return self


def decided(each: Incident, around: Surroundings = AROUND) -> Desk:
    return Desk(around).after(each)


def with_nodes(*nodes: NodeReport) -> Surroundings:
    return replace(AROUND, nodes=nodes)


def with_policies(*policies: Policy) -> Surroundings:
    return replace(AROUND, policies=policies)


def answer(**given: object) -> SteeringAnswer:
    fields: dict[str, object] = {
        "time_ms": NOW_MS,
        "audience": "isp=3",
        "cell": {"isp": "3"},
        "pathway_priority": ["5", "7"],
        "away_from": "7",
        "share": 0.1,
        "ttl_s": 10.0,
        "generation": NOW_MS,
        "command_id": "c1",
        "incident": "i1",
        "expires_ms": NOW_MS + 5 * MINUTE_MS,
    }
    return SteeringAnswer(**{**fields, **given})  # type: ignore[arg-type]


# -- where nobody is on another CDN -------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [{}, {"isp": "3"}, {"device": "tv"}])
def test_where_one_cdn_serves_all_who_suffer_a_canary_elsewhere_tells_whether_it_is_that(
    cause: dict[str, str],
) -> None:
    (command,) = decided(msgspec.structs.replace(incident(cause=cause), only_cdn="7")).commands

    assert (command.away_from, command.audience, command.share) == ("7", cause, pytest.approx(0.1))
    assert "all of them are on cdn 7" in command.evidence[0]


def test_a_release_at_fault_moves_nobody_off_the_one_cdn() -> None:
    desk = decided(msgspec.structs.replace(incident(cause={"app_version": "4.2"}), only_cdn="7"))

    assert desk.commands == []


# -- which lever ------------------------------------------------------------------------------------------


def test_a_cdn_at_fault_is_steered_away_from_for_the_rest_of_the_cause() -> None:
    (command,) = decided(incident(scope={"title": "final"})).commands

    assert (command.kind, command.away_from) == (CommandKind.STEER, "7")
    assert command.audience == {"isp": "3", "title": "final"}
    assert command.target == "isp=3,title=final"
    assert command.pathway_priority == ["5", "6", "7"], "least loaded first, the sick one last"


def test_a_command_says_why_on_what_evidence_and_how_it_is_undone() -> None:
    (command,) = decided(incident()).commands

    assert command.reason == "steer isp=3 away from cdn 7: cdn=7,isp=3: 4.1 % of viewers stall"
    assert command.evidence == ["degraded: no more is known of the fault", "only there"]
    assert command.undo == "the default order is served again"
    assert "5 at 30 % of 100 Gb/s: can take 100 % of what they ask of 7" in command.alternatives
    assert (command.incident, command.origin_ms) == ("i1", NOW_MS + 5)
    assert command.expires_ms == NOW_MS + 300_000
    assert command.generation == NOW_MS


@pytest.mark.parametrize(
    ("cause", "audience", "cap_kbps", "p2p"),
    [
        ({"bitrate_kbps": "2000"}, {}, 1_750.0, None),
        ({"bitrate_kbps": "2000", "p2p": "1"}, {"p2p": "1"}, 1_750.0, None),
        ({"bitrate_kbps": "0", "p2p": "1"}, {"bitrate_kbps": "0"}, None, False),
        ({"device": "tv", "p2p": "1"}, {"device": "tv"}, None, False),
    ],
)
def test_a_bitrate_or_peers_at_fault_are_shed(
    cause: dict[str, str], audience: dict[str, str], cap_kbps: float | None, p2p: bool | None
) -> None:
    (command,) = decided(incident(cause=cause)).commands

    assert (command.kind, command.audience) == (CommandKind.SHED, audience)
    assert (command.max_bitrate_kbps, command.p2p, command.pathway_priority) == (cap_kbps, p2p, [])


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        ({}, "the cause is not known"),
        ({"cdn": "7", "app_version": "4.2"}, "app_version=4.2 is at fault wherever it is played"),
        ({"title": "final"}, "title=final is at fault"),
        ({"isp": "3"}, "no lever reaches isp=3"),
        ({"p2p": "0"}, "no lever reaches p2p=0"),
        ({"bitrate_kbps": "235"}, "nothing to offer below 235 kb/s"),
        ({"bitrate_kbps": "best"}, "nothing to offer below best kb/s"),
    ],
)
def test_what_no_lever_mends_is_left_alone_and_says_so(cause: dict[str, str], why: str) -> None:
    desk = decided(incident(cause=cause))

    assert desk.commands == []
    (held,) = desk.held
    assert (held.kind, held.status, held.actor) == (CommandKind.HOLD, OutcomeStatus.REFUSED, "policy")
    assert why in held.reason


def ingest_incident(minute: int = 0, pipeline: str = "A", standby: str = "B", **given: object) -> Incident:
    return incident(
        minute,
        cause={"stream": "final", "pipeline": pipeline},
        kind=AnomalyKind.INGEST_FAILURE,
        standby=standby,
        from_sequence=7 + minute,
        impact_viewers=0.0,
        **given,
    )


def test_a_failed_pipeline_with_a_healthy_twin_is_failed_over() -> None:
    (command,) = decided(ingest_incident()).commands

    assert (command.kind, command.target) == (CommandKind.FAIL_OVER, "final")
    assert (command.pipeline, command.from_sequence, command.share) == ("B", 7, 1.0)


@pytest.mark.parametrize(
    ("each", "why"),
    [
        (ingest_incident(standby=""), "no pipeline is well that could take over from A"),
        (incident(cause={"stream": "final"}, kind=AnomalyKind.INGEST_FAILURE), "content or upstream"),
    ],
)
def test_an_ingest_failure_that_a_switch_would_not_mend_is_left_alone(each: Incident, why: str) -> None:
    desk = decided(each)

    assert desk.commands == []
    assert why in desk.held[0].reason


def test_a_pipeline_that_is_not_served_need_not_be_failed_over() -> None:
    served = PipelineSelection(time_ms=0, stream="final", pipeline="B", from_sequence=1, generation=1)

    desk = decided(ingest_incident(), replace(AROUND, selection_of={"final": served}.get))

    assert desk.commands == []
    assert desk.held[0].reason == "B is served already"


def test_a_stream_is_failed_over_again_when_the_pipeline_it_went_to_fails() -> None:
    desk = Desk().after(ingest_incident(0), ingest_incident(1, "B", "A"))

    assert [command.pipeline for command in desk.commands] == ["B", "A"]
    assert desk.commands[1].generation > desk.commands[0].generation


# -- whether it may be pulled -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policies", "why"),
    [
        ([], "dry run: no policy allows steer"),
        ([allow(CommandKind.SHED)], "dry run: no policy allows steer"),
        ([allow(CommandKind.STEER, enabled=False)], "dry run: no policy allows steer"),
        ([allow(CommandKind.STEER, dry_run=True)], "dry run: policy allow-steer is one"),
        ([allow(CommandKind.STEER, approval_over_viewers=500)], "needs approval: more than 500 viewers"),
    ],
)
def test_without_leave_a_command_is_a_dry_run(policies: list[Policy], why: str) -> None:
    (command,) = decided(incident(), with_policies(*policies)).commands

    assert command.dry_run
    assert why in command.reason


def test_a_policy_that_acts_goes_before_one_that_does_not() -> None:
    rehearsing = allow(CommandKind.STEER, policy="a", dry_run=True)

    (command,) = decided(
        incident(), with_policies(rehearsing, allow(CommandKind.STEER, owner="ada"))
    ).commands

    assert (command.dry_run, command.owner) == (False, "ada")


def test_leave_that_comes_after_the_dry_run_is_used() -> None:
    desk = Desk(with_policies()).after(incident(0))
    desk.around = AROUND

    desk.after(incident(1))

    assert [command.dry_run for command in desk.commands] == [True, False]


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (allow(CommandKind.STEER, min_severity=Severity.CRITICAL), "severity high is below critical"),
        (allow(CommandKind.STEER, min_impact_viewers=1_000), "about 890 viewers suffer, fewer than"),
        (allow(CommandKind.STEER, limits=Limits(max_share=0.001)), "the limits leave 0.1 %"),
    ],
)
def test_what_is_not_worth_a_command_is_left_alone(policy: Policy, why: str) -> None:
    desk = decided(incident(), with_policies(policy))

    assert desk.commands == []
    assert why in desk.held[0].reason


# -- how far ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "share"),
    [
        ({}, 0.1),
        ({"first_share": 0.5, "limits": Limits(max_share=0.25)}, 0.25),
        ({"limits": Limits(max_viewers=44.5)}, 0.05),
    ],
)
def test_the_first_command_reaches_a_canary_within_the_limits(given: dict[str, object], share: float) -> None:
    (command,) = decided(incident(), with_policies(allow(CommandKind.STEER, **given))).commands

    assert command.share == pytest.approx(share)


def test_only_cdns_with_room_are_backups() -> None:
    around = with_nodes(
        node("7", 0.5), node("4", 0.71), node("5", 0.69, 10.0), node("6", 0.6), node("8", 0.2, healthy=False)
    )

    (command,) = decided(incident(), around).commands

    assert command.pathway_priority == ["6", "7"]
    said = "; ".join(command.alternatives)
    assert "4 at 71 % of 100 Gb/s: a backup must be below 70 %" in said


def test_the_share_is_what_the_backup_has_room_for() -> None:
    around = with_nodes(node("7", 0.9), node("5", 0.69, 20.0))

    (command,) = decided(incident(), around).commands

    moved_gbps = command.share * 90.0
    assert 0.69 * 20 + moved_gbps == pytest.approx(0.8 * 20)


def test_an_audience_needs_room_for_its_own_viewers_only() -> None:
    cell = {"cdn": "7", "isp": "3"}
    cause = Cause(cell=cell, score=0.9, excess_viewers=890, explained=0.9, contrast="", of_cdn=0.1)
    around = with_nodes(node("7", 0.8), node("5", 0.69, 20.0))

    (all_of_it,) = decided(incident(), around).commands
    (own,) = decided(incident(causes=[cause]), around).commands

    assert own.demand_gbps == pytest.approx(SETTINGS.viewer_load_margin * 0.1 * 80)
    assert own.share == pytest.approx(0.1)
    assert all_of_it.share < own.share


@pytest.mark.parametrize("also", [{"bitrate_kbps": "4300"}, {"p2p": "0"}, {"region": ""}])
def test_an_audience_wider_than_its_cause_counts_with_all_of_its_cdn(also: dict[str, str]) -> None:
    cell = {"cdn": "7", "isp": "3"} | also
    cause = Cause(cell=cell, score=0.9, excess_viewers=890, explained=0.9, contrast="", of_cdn=0.1)

    steer, *_ = decided(incident(cause=cell, causes=[cause])).commands

    assert steer.audience == {"isp": "3"}
    assert steer.demand_gbps is None


def test_a_cdn_that_others_are_steered_away_from_is_no_backup() -> None:
    left = answer(audience="isp=9", incident="other", away_from="5", pathway_priority=["6", "5"])

    (command,) = decided(incident(), replace(AROUND, answers=serving(left))).commands

    assert command.pathway_priority == ["6", "7"]


@pytest.mark.parametrize(("since_report_ms", "share"), [(1, 0.02), (-19_999, 0.02), (-20_000, 0.1)])
def test_room_promised_is_taken_until_those_who_were_moved_have_arrived(
    since_report_ms: int, share: float
) -> None:
    promised = answer(
        audience="isp=9",
        incident="other",
        share=0.98,
        pathway_priority=["5"],
        time_ms=NOW_MS + since_report_ms,
    )

    (command,) = decided(
        incident(), replace(AROUND, answers=serving(promised), nodes=AROUND.nodes[:2])
    ).commands

    assert command.share == pytest.approx(share)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([], "no load report of cdn 7 is younger than 5 min"),
        ([node("5", 0.1)], "no load report of cdn 7 is younger than 5 min"),
        ([node("7", 0.5, time_ms=0), node("5", 0.1)], "no load report of cdn 7 is younger than 5 min"),
        ([node("7", 0.5)], "no other CDN reports its load"),
        ([node("7", 0.5), node("5", 0.9)], "a backup must be below 70 %"),
        ([node("7", 0.5), node("5", 0.1, healthy=False)], "5 at 100 % of 0 Gb/s: a backup must be below"),
    ],
)
def test_without_a_backup_known_to_have_room_nobody_is_moved(nodes: Sequence[NodeReport], why: str) -> None:
    desk = decided(incident(), with_nodes(*nodes))

    assert desk.commands == []
    assert (desk.held[0].kind, why in desk.held[0].reason) == (CommandKind.STEER, True), desk.held[0].reason


@pytest.mark.parametrize(
    ("nodes", "why"), [([], "no load report"), ([node("7", 0.5), node("5", 0.75)], "5 is at 75 %")]
)
def test_peers_are_not_sent_to_cdns_that_are_full(nodes: Sequence[NodeReport], why: str) -> None:
    desk = decided(incident(cause={"p2p": "1"}), with_nodes(*nodes))

    assert desk.commands == []
    assert why in desk.held[0].reason


def test_an_audience_under_another_incidents_command_is_left_to_it() -> None:
    desk = decided(incident(), replace(AROUND, answers=serving(answer(incident="other"))))

    assert desk.commands == []
    assert desk.held[0].reason == "isp=3 is under command c1 already"


def test_an_audience_on_its_way_back_to_the_cdn_that_fails_anew_is_taken_over_as_far_as_it_was_moved() -> (
    None
):
    way_back = answer(
        incident="other", share=0.6, ramp=[RampStep(at_ms=NOW_MS + 1, share=0.3)], expires_ms=NOW_MS + 60_000
    )

    desk = decided(incident(), replace(AROUND, answers=serving(way_back)))

    (command,) = desk.commands
    assert (command.share, command.ramp) == (pytest.approx(0.6), [])


def test_an_audience_on_its_way_back_to_another_cdn_is_left_to_it() -> None:
    way_back = answer(incident="other", away_from="5", ramp=[RampStep(at_ms=NOW_MS + 1, share=0.3)])

    assert decided(incident(), replace(AROUND, answers=serving(way_back))).commands == []


# -- as the incident goes on ------------------------------------------------------------------------------


def test_an_incident_that_worsens_after_the_dwell_widens_the_share() -> None:
    desk = Desk().after(
        incident(0), incident(1, severity=Severity.CRITICAL), incident(2, impact_viewers=5_000)
    )

    assert [command.share for command in desk.commands] == pytest.approx([0.1, 0.2, 0.4])
    assert desk.commands[2].expires_ms == NOW_MS + 2 * MINUTE_MS + 300_000
    assert [command.origin_ms for command in desk.commands] == [NOW_MS + 5, None, None]


def test_the_share_widens_no_further_than_the_limit() -> None:
    desk = Desk(with_policies(allow(CommandKind.STEER, limits=Limits(max_share=0.3))))
    for minute in range(4):
        desk.after(incident(minute, impact_viewers=890.0 * 2**minute))

    assert [command.share for command in desk.commands] == pytest.approx([0.1, 0.2, 0.3, 0.3])


def test_a_command_is_given_time_to_show_its_effect() -> None:
    worse = msgspec.structs.replace(incident(1, severity=Severity.CRITICAL), time_ms=NOW_MS + MINUTE_MS - 1)

    desk = Desk().after(incident(0), worse)

    assert len(desk.commands) == 1
    assert "it has 60 s to show its effect" in desk.held[0].reason


def test_an_incident_that_has_not_worsened_keeps_its_command() -> None:
    desk = Desk().after(incident(0), incident(2), incident(3, impact_viewers=900.0))

    assert len(desk.commands) == 1
    assert desk.held == []


def test_after_a_lease_has_run_out_it_begins_with_the_canary_again() -> None:
    desk = Desk().after(incident(0), incident(1, severity=Severity.CRITICAL))

    desk.around = with_nodes(*(replace_time(each, 20) for each in AROUND.nodes))
    desk.after(incident(20))

    assert [command.share for command in desk.commands] == pytest.approx([0.1, 0.2, 0.1])


def replace_time(report: NodeReport, minute: int) -> NodeReport:
    return msgspec.structs.replace(report, time_ms=NOW_MS + minute * MINUTE_MS)


def test_a_lease_that_was_renewed_is_widened_and_undone_by_its_newest_name() -> None:
    desk = Desk().after(incident(0))
    renewed = answer(command_id="renewal", generation=NOW_MS + 1, expires_ms=NOW_MS + 30 * MINUTE_MS)
    nodes = [replace_time(each, 20) for each in AROUND.nodes]
    desk.around = replace(AROUND, answers=serving(renewed), nodes=nodes)

    desk.after(incident(20, severity=Severity.CRITICAL))
    assert desk.commands[-1].share == pytest.approx(0.2)

    again = answer(
        command_id="again",
        share=0.3,
        generation=desk.commands[-1].generation + 1,
        expires_ms=NOW_MS + 40 * MINUTE_MS,
    )
    nodes = [replace_time(each, 30) for each in AROUND.nodes]
    desk.around = replace(AROUND, answers=serving(again), nodes=nodes)
    assert desk.after(resolved(30)).commands[-1].share == pytest.approx(0.3)


def test_an_answer_older_than_the_command_says_nothing_about_its_lease() -> None:
    desk = Desk().after(incident(0))
    desk.around = replace(
        AROUND, answers=serving(answer(share=0.3, command_id="earlier", generation=NOW_MS - 1))
    )

    assert desk.after(resolved(1)).commands[-1].share == desk.commands[0].share


def test_what_needs_approval_is_proposed_once_beside_the_command_in_force() -> None:
    desk = Desk().after(incident(0))
    desk.around = with_policies(allow(CommandKind.STEER, approval_over_viewers=1_000))
    other = {"cdn": "7", "region": "north"}

    desk.after(*(incident(minute, other, impact_viewers=2_000.0) for minute in (1, 2)), resolved(3))

    assert [(each.kind, each.dry_run) for each in desk.commands] == [
        (CommandKind.STEER, False),
        (CommandKind.STEER, True),
        (CommandKind.STEER, False),
    ]
    assert desk.commands[-1].ramp


def test_a_cause_with_another_audience_undoes_the_old_command_first() -> None:
    desk = Desk().after(incident(0), incident(1, {"cdn": "7", "region": "north"}))

    assert [(each.kind, each.target) for each in desk.commands] == [
        (CommandKind.STEER, "isp=3"),
        (CommandKind.RESUME, "isp=3"),
        (CommandKind.STEER, "region=north"),
    ]


def test_a_cause_that_no_lever_mends_undoes_the_command() -> None:
    desk = Desk().after(incident(0), incident(1, {"app_version": "4.2"}), incident(2, {"app_version": "4.2"}))

    assert [each.kind for each in desk.commands] == [CommandKind.STEER, CommandKind.RESUME]
    assert len(desk.held) == 1, "said once"


@pytest.mark.parametrize("lasts", [True, False], ids=["while it is young", "once it has had its time"])
def test_what_looks_like_everyones_undoes_no_command_before_it_could_show_its_effect(lasts: bool) -> None:
    desk = Desk().after(incident(0))
    seen_ms = NOW_MS + (9_000 if lasts else int(1_000 * SETTINGS.min_dwell_s))

    desk.after(msgspec.structs.replace(incident(0), cause={}, causes=[], time_ms=seen_ms))

    assert [each.kind for each in desk.commands[1:]] == ([] if lasts else [CommandKind.RESUME])


def test_viewers_of_a_resolved_incident_return_in_steps() -> None:
    desk = Desk().after(incident(0), resolved(3))

    steer, back = desk.commands
    dwell_ms = int(1_000 * SETTINGS.return_dwell_s)
    end_ms = NOW_MS + 3 * MINUTE_MS
    assert [(step.at_ms - end_ms, step.share) for step in back.ramp] == [
        (dwell_ms, pytest.approx(0.99 * steer.share)),
        (2 * dwell_ms, pytest.approx(0.9 * steer.share)),
        (3 * dwell_ms, pytest.approx(0.5 * steer.share)),
    ]
    assert back.expires_ms == end_ms + 4 * dwell_ms
    assert (back.kind, back.target, back.audience) == (CommandKind.STEER, "isp=3", {"isp": "3"})
    assert (back.away_from, back.share, back.incident) == ("7", steer.share, "i1")
    assert back.generation > steer.generation
    assert desk.after(resolved(4)).commands == [steer, back], "once"


@pytest.mark.parametrize(("flaps", "times"), [(0, 1), (1, 2), (3, 8), (50, 16)])
def test_an_audience_that_flaps_returns_more_slowly(flaps: int, times: int) -> None:
    desk = Desk().after(incident(0))
    desk.around = replace(AROUND, answers=serving(answer(generation=NOW_MS + 1, flaps=flaps)))

    back = desk.after(resolved(3)).commands[-1]

    dwell_ms = int(1_000 * SETTINGS.return_dwell_s)
    assert back.expires_ms - back.time_ms == 4 * times * dwell_ms


def test_what_is_bad_again_on_the_way_back_is_moved_as_far_as_before_at_once() -> None:
    desk = Desk().after(incident(0), resolved(3))
    back = desk.commands[-1]
    on_the_way = answer(
        share=0.4,
        command_id=back.id,
        generation=back.generation + 1,
        ramp=back.ramp,
        expires_ms=back.expires_ms,
    )
    desk.around = replace(AROUND, answers=serving(on_the_way))

    again = desk.after(incident(4, state=IncidentState.REOPENED)).commands[-1]

    assert (again.share, again.ramp) == (pytest.approx(0.4), [])


def test_a_lease_that_has_run_out_needs_no_way_back() -> None:
    assert len(Desk().after(incident(0), resolved(30)).commands) == 1


def test_a_dry_run_leaves_nothing_to_undo() -> None:
    desk = Desk(with_policies()).after(incident(0), resolved(3))

    assert [each.dry_run for each in desk.commands] == [True]


def test_an_incident_that_comes_back_begins_with_the_canary() -> None:
    again = incident(4, state=IncidentState.REOPENED)

    desk = Desk().after(incident(0), resolved(3), again)

    assert [bool(each.ramp) for each in desk.commands] == [False, True, False]
    assert desk.commands[2].share == pytest.approx(0.1)


def test_records_older_than_what_was_decided_about_change_nothing() -> None:
    desk = Desk().after(incident(0), resolved(3), incident(1, severity=Severity.CRITICAL))

    assert [bool(each.ramp) for each in desk.commands] == [False, True]


def test_a_generation_is_above_all_that_the_target_has_had() -> None:
    earlier = answer(command_id="", incident="", expires_ms=None, generation=NOW_MS + 7)

    (command,) = decided(incident(), replace(AROUND, answers=serving(earlier))).commands

    assert command.generation == NOW_MS + 8


def test_the_same_cause_makes_the_same_command() -> None:
    assert decided(incident()).commands == decided(incident()).commands


def test_commands_are_signed_where_a_key_is_set() -> None:
    desk = Desk(key="a secret").after(incident(0), resolved(3))

    assert all(is_genuine(command, "a secret") and command.signature for command in desk.commands)


def test_the_state_survives_being_stored() -> None:
    state = Desk().after(incident(0)).state

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=Decided) == state
