"""How incidents stand: when they page, who keeps them quiet, what they are parts of, how bad they are."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from config import load
from config.sections import IncidentSettings
from models.incidents import Around, Incidents, Subject
from models.incidents.family import Families, about
from models.incidents.mitigations import in_force
from models.incidents.standing import stand
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.fields import Cell
from topics.incident_notes import IncidentNote
from topics.incidents import Acknowledgement, Incident, IncidentState
from topics.operator import OperatorAction, OperatorVerb
from topics.silences import Silence
from topics.steering import SteeringAnswer

SETTINGS = load({}).settings.incidents
OPENED_MS = 1_000_000
WAITED_MS = OPENED_MS + int(1_000 * SETTINGS.page_after_s)
few = settings(max_examples=60, deadline=None, derandomize=True)


def incident(**given: object) -> Incident:
    fields: dict[str, object] = {
        "time_ms": OPENED_MS,
        "incident": "i1",
        "subject": "cdn=7",
        "state": IncidentState.OPEN,
        "kind": AnomalyKind.STREAMING_QUALITY_DROP,
        "severity": Severity.HIGH,
        "summary": "viewers stall",
        "opened_ms": OPENED_MS,
        "firing": ["cdn=7/stalled_ratio"],
        "metrics": ["stalled_ratio"],
        "cell": {"cdn": "7"},
        "impact_viewers": 900.0,
    }
    return Incident(**{**fields, **given})  # type: ignore[arg-type]


def silence(**given: object) -> Silence:
    fields: dict[str, object] = {
        "time_ms": OPENED_MS,
        "silence": "s1",
        "match": {"cdn": "7"},
        "by": "ada",
        "reason": "moves racks",
        "until_ms": WAITED_MS + 60_000,
    }
    return Silence(**{**fields, **given})  # type: ignore[arg-type]


def stands(
    known: Incident, now_ms: int = WAITED_MS, *silences: Silence, around: Around | None = None
) -> Incident:
    return stand(known, around or Around(silences), now_ms, SETTINGS)


def acknowledged(**given: object) -> Acknowledgement:
    fields: dict[str, object] = {"by": "ada", "time_ms": OPENED_MS, "until_ms": WAITED_MS + 60_000}
    return Acknowledgement(**{**fields, **given})  # type: ignore[arg-type]


# -- paging -----------------------------------------------------------------------------------------------


def test_it_waits_a_moment_for_its_kin_and_then_pages_once() -> None:
    waiting = stands(incident(), WAITED_MS - 1)
    paging = stands(waiting, WAITED_MS)

    assert (waiting.paging, waiting.look_again_ms) == (False, WAITED_MS)
    assert (paging.paging, paging.pages) == (True, 1)
    assert stands(paging, WAITED_MS + 5_000).pages == 1


def test_what_the_budget_of_false_pages_does_not_allow_never_pages() -> None:
    found = stands(incident(within_budget=False), WAITED_MS + 10**9)

    assert not found.paging
    assert "budget" in found.quiet


@pytest.mark.parametrize(("after_ms", "pages"), [(-1, False), (0, True)])
def test_an_acknowledgement_keeps_it_quiet_until_it_lapses(after_ms: int, pages: bool) -> None:
    known = incident(acknowledgement=acknowledged())

    found = stands(known, WAITED_MS + 60_000 + after_ms)

    assert found.paging is pages
    assert found.owner == ("" if pages else "ada")
    assert found.state is (IncidentState.OPEN if pages else IncidentState.ACKNOWLEDGED)


@pytest.mark.parametrize(("viewers", "pages"), [(5_000.0, False), (5_001.0, True)])
def test_an_acknowledgement_ends_past_its_bound(viewers: float, pages: bool) -> None:
    known = incident(acknowledgement=acknowledged(wake_over_viewers=5_000.0), impact_viewers=viewers)

    assert stands(known).paging is pages


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"match": {"cdn": "*"}}, True),
        ({"match": {"incident": "i1"}}, True),
        ({"match": {"metric": "stalled_*"}}, True),
        ({"match": {"kind": "streaming_quality_drop", "subject": "cdn=7"}}, True),
        ({"match": {"cdn": "7", "isp": "3"}}, False),
        ({"match": {"metric": "error_rate"}}, False),
        ({"match": {}}, False),
        ({"enabled": False}, False),
        ({"until_ms": WAITED_MS}, False),
        ({"wake_over_viewers": 900.0}, True),
        ({"wake_over_viewers": 899.0}, False),
    ],
)
def test_a_silence_holds_where_it_matches_within_its_time_and_its_impact(
    change: dict[str, object], holds: bool
) -> None:
    found = stands(incident(), WAITED_MS, silence(**change))

    assert found.paging is not holds
    assert found.silenced_by == ("s1" if holds else "")


def test_a_silence_of_one_metric_does_not_hold_once_another_fires() -> None:
    known = incident(metrics=["error_rate", "stalled_ratio"])

    assert stands(known, WAITED_MS, silence(match={"metric": "stalled_ratio"})).paging


@pytest.mark.parametrize(("silenced_ms", "pages"), [(OPENED_MS + 1, True), (OPENED_MS - 1, False)])
def test_an_outgrown_silence_ends_the_acknowledgement_it_came_after(silenced_ms: int, pages: bool) -> None:
    known = incident(acknowledgement=acknowledged())

    assert stands(known, WAITED_MS, silence(time_ms=silenced_ms, wake_over_viewers=100.0)).paging is pages


def test_of_several_silences_the_longest_is_named() -> None:
    longer = silence(silence="s2", until_ms=WAITED_MS + 120_000)

    assert stands(incident(), WAITED_MS, silence(), longer).silenced_by == "s2"


# -- flapping and severity --------------------------------------------------------------------------------


def test_what_comes_and_goes_does_not_page_until_it_stays() -> None:
    back_ms = [OPENED_MS + 10_000 * times for times in range(1, SETTINGS.flaps + 1)]
    known = incident(reopenings=back_ms)
    steady_ms = back_ms[-1] + int(1_000 * SETTINGS.steady_s)

    flapping = stands(known, steady_ms - 1)
    steady = stands(flapping, steady_ms)

    assert (flapping.flapping, flapping.paging, flapping.look_again_ms) == (True, False, steady_ms)
    assert (steady.flapping, steady.paging) == (False, True)


def test_what_came_back_long_ago_does_not_count_as_flapping() -> None:
    long_ago = [OPENED_MS] * (SETTINGS.flaps - 1)
    now_ms = OPENED_MS + int(1_000 * SETTINGS.flap_window_s) + 1

    assert not stands(incident(reopenings=[*long_ago, now_ms]), now_ms).flapping


@pytest.mark.parametrize(
    ("viewers", "severity"),
    [
        (SETTINGS.high_viewers - 1, Severity.LOW),
        (SETTINGS.high_viewers, Severity.HIGH),
        (SETTINGS.critical_viewers, Severity.CRITICAL),
    ],
)
def test_many_viewers_make_it_severe(viewers: float, severity: Severity) -> None:
    assert stands(incident(severity=Severity.LOW, impact_viewers=viewers)).severity is severity


@pytest.mark.parametrize(
    ("severity", "after"),
    [(Severity.LOW, Severity.MEDIUM), (Severity.MEDIUM, Severity.HIGH), (Severity.HIGH, Severity.HIGH)],
)
def test_to_last_makes_it_one_level_more_severe_and_nothing_critical(
    severity: Severity, after: Severity
) -> None:
    late_ms = OPENED_MS + int(1_000 * SETTINGS.raise_after_s)

    assert stands(incident(severity=severity), late_ms - 1).severity is severity
    lasting = stands(incident(severity=severity), late_ms)

    assert lasting.severity is after
    assert stands(lasting, 2 * late_ms).severity is after


# -- families and mitigations -----------------------------------------------------------------------------


def around(*others: Incident) -> Around:
    return Around(families=Families(others))


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"cause": {"cdn": "7"}}, True),
        ({"cause": {"cdn": "7"}, "scope": {"title": "other"}}, True),
        ({"cause": {"cdn": "7", "isp": "3"}, "opened_ms": OPENED_MS - 1}, True),
        ({"cause": {"cdn": "7", "isp": "3"}, "opened_ms": OPENED_MS + 1}, False),
        ({"cause": {"cdn": "8"}}, False),
        ({"cause": {"cdn": "7", "isp": "3", "region": "eu"}}, False),
        ({"cause": {"cdn": "7"}, "state": IncidentState.RESOLVED}, False),
        ({"cause": {"cdn": "7"}, "within_budget": False}, False),
        ({"cause": {}, "cell": {}, "scope": {}}, False),
    ],
)
def test_an_incident_is_part_of_one_with_a_wider_cause(other: dict[str, object], part: bool) -> None:
    known = incident(cause={"cdn": "7", "isp": "3"}, scope={"title": "final"})
    wider = incident(incident="wide", **other)

    found = stands(known, around=around(wider, known))

    assert found.parent == ("wide" if part else "")
    assert found.paging is not part


cells = st.dictionaries(st.sampled_from(["cdn", "isp", "region"]), st.sampled_from("ab"), max_size=3)


@few
@given(st.lists(st.tuples(cells, st.integers(0, 3)), min_size=1, max_size=12))
def test_of_a_family_exactly_one_has_no_parent_and_it_is_everyones(known: list[tuple[Cell, int]]) -> None:
    incidents = [
        incident(incident=f"i{number}", cause=cell, cell={}, opened_ms=opened_ms)
        for number, (cell, opened_ms) in enumerate(known)
    ]
    families = Families(incidents)

    for each in incidents:
        parent = families.parent_of(each)
        if parent is not None:
            assert families.parent_of(parent) is None
            assert about(parent).items() <= about(each).items()
        else:
            rest = (other for other in incidents if other is not each)
            wider = [other for other in rest if about(other) and about(other).items() <= about(each).items()]
            assert all(
                about(other) == about(each)
                and (other.opened_ms, other.incident) > (each.opened_ms, each.incident)
                for other in wider
            )


def answer(**given: object) -> SteeringAnswer:
    fields: dict[str, object] = {
        "time_ms": OPENED_MS,
        "audience": "isp=3",
        "cell": {"isp": "3"},
        "pathway_priority": ["5", "7"],
        "away_from": "7",
        "share": 0.1,
        "generation": 1,
        "ttl_s": 10.0,
        "command_id": "c1",
        "incident": "i1",
        "expires_ms": WAITED_MS + 1,
    }
    return SteeringAnswer(**{**fields, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ["10 % of isp=3 away from 7"]),
        ({"away_from": "", "max_bitrate_kbps": 3000.0}, ["10 % of isp=3 at most 3000 kb/s"]),
        ({"expires_ms": WAITED_MS}, []),
        ({"incident": "other"}, []),
        ({"command_id": ""}, []),
    ],
)
def test_it_is_mitigated_while_an_answer_is_served_because_of_it(
    change: dict[str, object], said: list[str]
) -> None:
    served = in_force(incident(), [answer(**change)], [], WAITED_MS)
    found = stands(incident(), around=Around(mitigations_of=lambda _: served))

    assert served == said
    assert (found.state is IncidentState.MITIGATING) is bool(said)


# -- the whole life ---------------------------------------------------------------------------------------


class DeskLife(RuleBasedStateMachine):
    """Whatever happens, what an incident is told to be agrees with what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        quick = SETTINGS.model_dump() | {"page_after_s": 3.0, "steady_s": 60.0, "flaps": 2}
        self.model = Incidents(IncidentSettings(**quick))
        self.state: Subject | None = None
        self.records: list[Incident] = []
        self.now_ms = OPENED_MS
        self.count = 0
        self.silences: list[Silence] = []
        self.known: list[Anomaly | IncidentNote] = []

    def _step(self, record: Anomaly | IncidentNote) -> None:
        self.state, emissions = self.model.step(self.state, record, Around(self.silences))
        self.records += [each.record for each in emissions]  # type: ignore[misc]
        self.known.append(record)

    def _id(self) -> str:
        self.count += 1
        return str(self.count)

    @rule(
        phase=st.sampled_from(Phase),
        series=st.sampled_from("ab"),
        viewers=st.sampled_from([10.0, 6_000.0, 30_000.0]),
        pages=st.booleans(),
        severity=st.sampled_from(Severity),
    )
    def departs(self, phase: Phase, series: str, viewers: float, pages: bool, severity: Severity) -> None:
        self.now_ms += 1
        self._step(
            Anomaly(
                time_ms=self.now_ms,
                id=self._id(),
                subject="cdn=7",
                series=series,
                phase=phase,
                kind=AnomalyKind.STREAMING_QUALITY_DROP,
                severity=severity,
                score=0.9,
                confidence=0.9,
                metric="stalled_ratio",
                value=0.1,
                cell={"cdn": "7"},
                causes=[Cause(cell={"cdn": "7"}, score=0.9, excess_viewers=1, explained=0.9, contrast="")],
                impact_viewers=viewers,
                pages=pages,
            )
        )

    @rule(
        verb=st.sampled_from(OperatorVerb),
        lasts_ms=st.one_of(st.none(), st.integers(1, 100_000)),
        bound=st.sampled_from([None, 5_000.0]),
    )
    def acts(self, verb: OperatorVerb, lasts_ms: int | None, bound: float | None) -> None:
        if not self.records:
            return
        now = self.records[-1]
        action = OperatorAction(
            time_ms=7,
            incident=now.incident,
            verb=verb,
            by="ada",
            until_ms=None if lasts_ms is None else 7 + lasts_ms,
            wake_over_viewers=bound,
        )
        note = IncidentNote(
            time_ms=self.now_ms, id=self._id(), incident=now.incident, subject="cdn=7", action=action
        )
        self._step(note)

    @rule(lasts_ms=st.integers(1, 100_000), bound=st.sampled_from([None, 5_000.0]))
    def silenced(self, lasts_ms: int, bound: float | None) -> None:
        until_ms = self.now_ms + lasts_ms
        self.silences.append(
            silence(silence=self._id(), time_ms=self.now_ms, until_ms=until_ms, wake_over_viewers=bound)
        )

    @rule()
    def unsilenced(self) -> None:
        self.silences = [
            msgspec.structs.replace(each, enabled=False, ended_by="ben") for each in self.silences
        ]

    @rule(ms=st.sampled_from([1, 5_000, 70_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(data=st.data())
    def told_again(self, data: st.DataObject) -> None:
        anomalies = [each for each in self.known if isinstance(each, Anomaly)]
        if anomalies:
            count = len(self.records)
            self._step(data.draw(st.sampled_from(anomalies)))
            assert len(self.records) == count

    @invariant()
    def after_a_look_it_stands_as_all_that_is_around_it_says(self) -> None:
        if not self.records:
            return
        now = self.records[-1]
        note = IncidentNote(time_ms=self.now_ms, id=self._id(), incident=now.incident, subject="cdn=7")
        self._step(note)
        now = self.records[-1]
        assert self.model.stands(now, Around(self.silences), self.now_ms)
        if now.paging:
            assert now.firing
            against = (now.resolved_by, now.acknowledgement, now.silenced_by, now.flapping, now.quiet)
            assert not any(against)
            assert now.within_budget
        elif now.state is not IncidentState.RESOLVED:
            assert now.quiet
        assert (now.state is IncidentState.RESOLVED) is (not now.firing or bool(now.resolved_by))

    @invariant()
    def pages_are_counted_and_every_change_is_told(self) -> None:
        for before, after in pairwise(self.records):
            if before.incident == after.incident:
                assert after.pages - before.pages == (after.paging and not before.paging)
                assert after.severity >= before.severity
                assert after.time_ms >= before.time_ms
        ids = [each.id for each in self.records]
        assert len(set(ids)) == len(ids)


TestDeskLife = DeskLife.TestCase
TestDeskLife.settings = settings(few, stateful_step_count=30)
