"""Incidents, policy and actor together: whatever happens, what is served is safe and undone in the end."""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from config import load
from models.cdn_loads import cdn_loads
from models.incidents import Incidents, Subject
from models.leases import lapsed
from models.obedience import signed
from models.policy import Decided, PolicyEngine
from models.steering import Steered, Steering
from models.steering_order import share_at
from models.stewardship import Steward
from models.surroundings import Surroundings
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind, Limits
from topics.controls import Control, ControlVerb, control_key
from topics.incidents import Incident, IncidentState
from topics.policies import Policy
from topics.steering import SteeringAnswer
from topics.verifications import Verdict, Verification

LOADED = load({}).settings
KEY = "a secret"
MAX_SHARE = 0.4
CDNS = "4567"
STEP_MS = 30_000


class ControlLoop(RuleBasedStateMachine):
    """Anomalies of some subjects, moving loads, changing leave, leases that end: one loop, all told twice."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_000_000
        self.number = 0
        self.incidents = Incidents(LOADED.incidents)
        self.engine = PolicyEngine(LOADED.policy, KEY)
        self.steering = Steering(ttl_s=10, signing_key=KEY)
        self.subjects: dict[str, Subject] = {}
        self.decided: dict[str, Decided] = {}
        self.steered: dict[str, Steered] = {}
        self.newest: dict[str, Incident] = {}
        self.answers: dict[str, SteeringAnswer] = {}
        self.commands: list[Command] = []
        self.nodes: dict[str, NodeReport] = {}
        self.policies: list[Policy] = []
        self.steward = Steward(LOADED.policy, KEY)
        self.verifications: dict[str, Verification] = {}
        self.controls: dict[str, Control] = {}

    # -- the wiring, as the agents do it ------------------------------------------------------------------

    def _anomaly(self, anomaly: Anomaly) -> None:
        self.subjects[anomaly.subject], emissions = self.incidents.step(
            self.subjects.get(anomaly.subject), anomaly
        )
        for emission in emissions:
            assert isinstance(emission.record, Incident)
            self._incident(emission.record)

    def _incident(self, incident: Incident) -> None:
        self.newest[incident.incident] = incident
        around = self._around()
        state = self.decided.get(incident.incident)
        self.decided[incident.incident], emissions = self.engine.step(state, incident, around)
        for emission in emissions:
            if isinstance(emission.record, Command):
                self._check_load(emission.record)
                self._give(emission.record)
        again, repeated = self.engine.step(self.decided[incident.incident], incident, around)
        assert (again, repeated) == (self.decided[incident.incident], [])

    def _around(self) -> Surroundings:
        return Surroundings(
            policies=self.policies,
            nodes=list(self.nodes.values()),
            answers=dict(self.answers),
            incident_of=self.newest.get,
            verification_of=self.verifications.get,
            control_of=self.controls.get,
        )

    def _give(self, command: Command) -> None:
        self.commands.append(command)
        self._tell(command)

    def _tell(self, command: Command) -> None:
        before = self.answers.get(command.target)
        for _ in range(2):
            self.steered[command.target], emissions = self.steering.step(
                self.steered.get(command.target), command
            )
            for emission in emissions:
                if isinstance(emission.record, SteeringAnswer):
                    self.answers[command.target] = emission.record
        if command.dry_run:
            assert self.answers.get(command.target) == before

    def _check_load(self, command: Command) -> None:
        """By the reports known no backup goes over its bound by what it is to take."""
        before = self.answers.get(command.target)
        moves_more = before is None or before.command_id != command.renews or command.share > before.share
        if command.kind is not CommandKind.STEER or command.ramp or not moves_more:
            return
        max_age_ms = LOADED.policy.max_report_age_s * 1_000
        loads = cdn_loads(self.nodes.values(), command.time_ms, max_age_ms)
        moved_gbps = command.share * loads[command.away_from].demand_gbps
        for cdn in command.pathway_priority:
            if cdn != command.away_from:
                part = command.split.get(cdn, 0.0) if command.split else cdn == command.pathway_priority[0]
                after = (loads[cdn].load_gbps + part * moved_gbps) / loads[cdn].capacity_gbps
                assert loads[cdn].ratio < LOADED.policy.backup_max_load
                assert after <= LOADED.policy.target_max_load + 1e-9

    # -- what happens -------------------------------------------------------------------------------------

    @rule(cdn=st.sampled_from(CDNS), load_ratio=st.floats(0, 1), healthy=st.booleans(), big=st.booleans())
    def report(self, cdn: str, load_ratio: float, healthy: bool, big: bool) -> None:
        self.nodes[cdn] = NodeReport(
            time_ms=self.now_ms,
            node=cdn,
            cdn=cdn,
            capacity_gbps=1_000 if big else 100,
            load=load_ratio,
            healthy=healthy,
        )

    @rule(load_ratio=st.floats(0.05, 0.6))
    def all_report(self, load_ratio: float) -> None:
        for cdn in CDNS:
            self.report(cdn, load_ratio, True, True)

    @rule(dry=st.booleans(), approval=st.none() | st.just(100.0))
    def leave(self, dry: bool, approval: float | None) -> None:
        self.policies = [
            Policy(
                time_ms=0,
                policy=str(kind),
                allows=kind,
                dry_run=dry,
                min_severity=Severity.MEDIUM,
                limits=Limits(max_share=MAX_SHARE),
                approval_over_viewers=approval,
            )
            for kind in (CommandKind.STEER, CommandKind.SHED)
        ]

    @rule()
    def full_leave(self) -> None:
        self.leave(False, None)

    @rule(
        subject=st.sampled_from("xyz"),
        severity=st.sampled_from(Severity),
        impact=st.sampled_from([10.0, 50.0, 500.0]),
        cell=st.sampled_from(
            [
                {"cdn": "4"},
                {"cdn": "4", "isp": "3"},
                {"cdn": "5", "isp": "3"},
                {"bitrate_kbps": "2000"},
                {"p2p": "1", "isp": "3"},
                {"app_version": "1"},
            ]
        ),
        phase=st.sampled_from([Phase.START, Phase.UPDATE, Phase.END]),
    )
    def anomaly(
        self, subject: str, severity: Severity, impact: float, cell: dict[str, str], phase: Phase
    ) -> None:
        self.number += 1
        cause = Cause(cell=cell, score=0.9, excess_viewers=impact, explained=0.9, contrast="only there")
        self._anomaly(
            Anomaly(
                time_ms=self.now_ms,
                id=str(self.number),
                subject=subject,
                series=subject,
                phase=phase,
                kind=AnomalyKind.STREAMING_QUALITY_DROP,
                severity=severity,
                score=0.9,
                confidence=0.9,
                metric="stalled_ratio",
                value=0.04,
                cell=cell,
                causes=[] if phase is Phase.END else [cause],
                impact_viewers=impact,
            )
        )

    @precondition(lambda self: any(each.command_id for each in self.answers.values()))
    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def verified(self, data: st.DataObject, verdict: Verdict) -> None:
        answer = data.draw(st.sampled_from([each for each in self.answers.values() if each.command_id]))
        self.verifications[answer.audience] = Verification(
            time_ms=self.now_ms,
            audience=answer.audience,
            command_id=answer.command_id,
            incident=answer.incident,
            since_ms=self.now_ms,
            window_end_ms=self.now_ms,
            windows=1,
            moved_viewers=100,
            moved_bad=1,
            control_viewers=100,
            control_bad=50,
            verdict=verdict,
        )

    @rule(verb=st.sampled_from(ControlVerb), incident=st.sampled_from(["", *"xyz"]), enabled=st.booleans())
    def someone_says(self, verb: ControlVerb, incident: str, enabled: bool) -> None:
        about = next((each.incident for each in self.newest.values() if each.subject == incident), "")
        key = control_key(verb, "" if verb is ControlVerb.FREEZE else about)
        self.controls[key] = Control(
            time_ms=self.now_ms, control=key, verb=verb, incident=about, by="ada", enabled=enabled
        )

    @rule(steps=st.integers(1, 12))
    def time_passes(self, steps: int) -> None:
        for _ in range(steps):
            self.now_ms += STEP_MS
            for command in self.steward.look(self._around(), self.now_ms):
                self._check_load(command)
                self._give(command)
            assert self.steward.look(self._around(), self.now_ms) == [], "said once is enough"
            for answer in list(self.answers.values()):
                over = lapsed(answer, self.now_ms, KEY)
                if over is not None:
                    self._give(over)

    @precondition(lambda self: self.commands)
    @rule(data=st.data())
    def an_old_or_forged_command_is_told(self, data: st.DataObject) -> None:
        served = dict(self.answers)
        obeyed = {each.last_id for each in self.steered.values()}
        command = data.draw(st.sampled_from(self.commands))
        forged = msgspec.structs.replace(command, generation=10**15, share=1.0)
        self._tell(signed(forged, "not the key"))
        if command.id in obeyed:
            self._tell(command)
        assert self.answers == served

    # -- what always holds --------------------------------------------------------------------------------

    @invariant()
    def nobody_is_moved_for_longer_than_a_lease(self) -> None:
        for answer in self.answers.values():
            if answer.expires_ms is not None:
                assert self.now_ms < answer.expires_ms

    @invariant()
    def nobody_stays_moved_long_after_the_incident_is_resolved(self) -> None:
        slowest_s = LOADED.policy.return_dwell_s * 2**LOADED.policy.most_flaps
        most_ms = 1_000 * slowest_s * (len(LOADED.policy.return_shares) + 1) + STEP_MS
        for answer in self.answers.values():
            incident = self.newest.get(answer.incident)
            if answer.command_id and incident is not None and incident.state is IncidentState.RESOLVED:
                assert self.now_ms - incident.time_ms <= most_ms
                assert share_at(answer, self.now_ms) <= answer.share

    @invariant()
    def no_share_is_above_the_limits(self) -> None:
        assert all(answer.share <= MAX_SHARE for answer in self.answers.values() if answer.command_id)

    @invariant()
    def no_order_names_a_pathway_twice_or_begins_with_the_sick_one(self) -> None:
        for answer in self.answers.values():
            order = answer.pathway_priority
            assert len(order) == len(set(order))
            assert not order or order[0] != answer.away_from

    @invariant()
    def generations_given_to_a_target_only_grow(self) -> None:
        newest: dict[str, int] = {}
        for command in self.commands:
            if not command.dry_run and command.kind is not CommandKind.RESUME:
                assert command.generation > newest.get(command.target, -1)
                newest[command.target] = command.generation


TestControlLoop = ControlLoop.TestCase
TestControlLoop.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
