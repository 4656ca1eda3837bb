"""Incidents: what opens, changes and ends them, and what does them no harm."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from config import load
from models.incidents import Incidents, Subject
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.incidents import Incident, IncidentState

SETTINGS = load({}).settings.incidents
MINUTE_MS = 60_000
few = settings(max_examples=60, deadline=None, derandomize=True)
REOPEN_MS = int(SETTINGS.reopen_within_s * 1_000)


def anomaly(
    time_ms: int, phase: Phase = Phase.START, series: str = "stalled_ratio", **given: object
) -> Anomaly:
    fields: dict[str, object] = {
        "time_ms": time_ms,
        "id": f"{series}-{phase}-{time_ms}",
        "subject": "cdn=7",
        "series": series,
        "phase": phase,
        "kind": AnomalyKind.STREAMING_QUALITY_DROP,
        "severity": Severity.HIGH,
        "score": 0.9,
        "confidence": 0.9,
        "metric": "stalled_ratio",
        "value": 0.041,
        "baseline": 0.012,
        "cell": {"cdn": "7"},
    }
    return Anomaly(**{**fields, **given})  # type: ignore[arg-type]


def cause(cell: dict[str, str], score: float = 0.9, contrast: str = "") -> Cause:
    return Cause(cell=cell, score=score, excess_viewers=890.0, explained=0.9, contrast=contrast)


@dataclass
class Told:
    """Everything that a stream of anomalies of one subject has led to."""

    incidents: Incidents = field(default_factory=lambda: Incidents(SETTINGS))
    state: Subject | None = None
    records: list[Incident] = field(default_factory=list)

    def after(self, *anomalies: Anomaly) -> Told:
        for each in anomalies:
            self.state, emissions = self.incidents.step(self.state, each)
            for emission in emissions:
                assert isinstance(emission.record, Incident)
                self.records.append(emission.record)
        return self

    @property
    def states(self) -> list[IncidentState]:
        return [record.state for record in self.records]


def test_an_incident_opens_with_what_is_known_at_a_glance() -> None:
    start = anomaly(
        MINUTE_MS,
        causes=[cause({"cdn": "7"})],
        impact_viewers=893.0,
        scope={"title": "final"},
        origin_ms=61_000,
    )

    (opened,) = Told().after(start).records

    assert opened.summary == "cdn=7,title=final: 4.1 % of viewers stall, expected 1.2 % — about 890 viewers"
    assert (opened.state, opened.cause, opened.firing) == (
        IncidentState.OPEN,
        {"cdn": "7"},
        ["stalled_ratio"],
    )
    assert (opened.opened_ms, opened.origin_ms, opened.impact_viewers) == (MINUTE_MS, 61_000, 893.0)


def test_a_cause_other_than_the_cell_that_departed_speaks_through_its_contrast() -> None:
    contrast = "12 % of viewers on cdn=3, p2p=1 stall, expected 1 %; the rest is at 1.1 %"
    start = anomaly(MINUTE_MS, cell={}, causes=[cause({"cdn": "3", "p2p": "1"}, contrast=contrast)])

    (opened,) = Told().after(start).records

    assert opened.summary == "cdn=3,p2p=1: 12 % of viewers stall, expected 1 %"


def test_further_series_join_the_incident_that_is_open() -> None:
    told = Told().after(anomaly(MINUTE_MS), anomaly(MINUTE_MS + 1, series="rebuffering_ratio"))

    assert [record.incident for record in told.records] == [told.records[0].incident] * 2
    assert told.records[-1].firing == ["rebuffering_ratio", "stalled_ratio"]
    assert told.records[-1].timeline[-1].what == "also anomalous: rebuffering_ratio"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"severity": Severity.CRITICAL}, "worse: high became critical"),
        ({"causes": [cause({"cdn": "7", "isp": "3"})]}, "cause refined: cdn=7,isp=3, before unknown"),
        ({"causes": [cause({})], "standby": "B"}, "B can take over"),
        ({"impact_viewers": 400.0}, "larger: about 400 viewers, before about 100 viewers"),
    ],
)
def test_a_change_that_matters_is_told(change: dict[str, object], said: str) -> None:
    update = anomaly(MINUTE_MS + 1, Phase.UPDATE, **{"impact_viewers": 100.0, **change})

    told = Told().after(anomaly(MINUTE_MS, impact_viewers=100.0), update)

    assert told.records[-1].timeline[-1].what == said


def test_a_change_that_does_not_matter_is_not_told() -> None:
    start = anomaly(MINUTE_MS, causes=[cause({"cdn": "7"})], impact_viewers=100.0)
    milder = anomaly(MINUTE_MS + 1, Phase.UPDATE, severity=Severity.LOW, impact_viewers=110.0)

    assert len(Told().after(start, milder).records) == 1


def test_an_update_without_causes_leaves_the_cause_known() -> None:
    start = anomaly(MINUTE_MS, causes=[cause({"cdn": "7"})])

    told = Told().after(start, anomaly(2 * MINUTE_MS, Phase.UPDATE, severity=Severity.CRITICAL))

    assert told.records[-1].cause == {"cdn": "7"}


def test_it_is_resolved_when_the_last_series_has_ended() -> None:
    told = Told().after(
        anomaly(MINUTE_MS),
        anomaly(MINUTE_MS, series="rebuffering_ratio"),
        anomaly(2 * MINUTE_MS, Phase.END),
    )
    assert set(told.states) == {IncidentState.OPEN}

    told.after(anomaly(3 * MINUTE_MS, Phase.END, series="rebuffering_ratio"))

    assert told.states[-1] is IncidentState.RESOLVED
    assert told.records[-1].resolved_ms == 3 * MINUTE_MS
    assert told.records[-1].timeline[-1].what == "resolved after 2 min"


@pytest.mark.parametrize(("gap_ms", "same"), [(REOPEN_MS, True), (REOPEN_MS + 1, False)])
def test_trouble_that_comes_back_soon_is_the_same_incident(gap_ms: int, same: bool) -> None:
    told = Told().after(
        anomaly(MINUTE_MS),
        anomaly(2 * MINUTE_MS, Phase.END),
        anomaly(2 * MINUTE_MS + gap_ms, severity=Severity.LOW),
    )

    first, last = told.records[0], told.records[-1]
    assert (first.incident == last.incident) is same
    assert last.state is (IncidentState.REOPENED if same else IncidentState.OPEN)
    assert last.severity is (Severity.HIGH if same else Severity.LOW)


def test_what_was_found_of_trouble_that_ended_is_no_cause_of_the_next() -> None:
    before = [anomaly(0, causes=[cause({"cdn": "7"})]), anomaly(MINUTE_MS, Phase.END)]
    again = anomaly(2 * MINUTE_MS)

    told = Told().after(*before, again)
    assert (told.states[-1], told.records[-1].cause) == (IncidentState.REOPENED, {})

    told.after(anomaly(2 * MINUTE_MS + 1, Phase.UPDATE, causes=[cause({"cdn": "5"})]))
    assert told.records[-1].cause == {"cdn": "5"}


def test_what_was_found_of_a_series_that_ended_before_is_no_cause_of_another_ones_trouble() -> None:
    told = Told().after(
        anomaly(0, causes=[cause({"cdn": "7"})]),
        anomaly(MINUTE_MS, Phase.END),
        anomaly(2 * MINUTE_MS, series="start_failure_ratio"),
    )

    assert (told.states[-1], told.records[-1].cause) == (IncidentState.REOPENED, {})


def test_the_one_cdn_of_those_who_suffer_is_that_of_the_start_of_their_trouble() -> None:
    told = Told().after(anomaly(0, only_cdn="7"), anomaly(1, Phase.UPDATE, severity=Severity.CRITICAL))
    assert told.records[-1].only_cdn == "7", "once some are moved it is not the only one"

    told.after(anomaly(2, series="audience"))
    assert told.records[-1].only_cdn == "7", "who has gone tells of no CDN"

    told.after(anomaly(3, series="start_failure_ratio", only_cdn="5"))
    assert told.records[-1].only_cdn == ""


def test_the_end_of_an_unknown_episode_is_ignored() -> None:
    told = Told().after(anomaly(2 * MINUTE_MS, Phase.END))

    assert told.records == []
    assert told.after(anomaly(MINUTE_MS)).records == [], "its late start is over already"


def test_an_episode_may_end_and_another_start_in_one_window() -> None:
    told = Told().after(anomaly(MINUTE_MS), anomaly(2 * MINUTE_MS, Phase.END), anomaly(2 * MINUTE_MS))

    assert told.states == [IncidentState.OPEN, IncidentState.RESOLVED, IncidentState.REOPENED]


def test_the_timeline_keeps_the_beginning_and_the_end() -> None:
    told = Told()
    for minute in range(2 * SETTINGS.timeline_entries):
        told.after(anomaly(minute * MINUTE_MS, Phase.END if minute % 2 else Phase.START))

    timeline = told.records[-1].timeline
    assert len(timeline) == SETTINGS.timeline_entries
    assert timeline[0].what.startswith("opened")
    assert timeline[-1].time_ms == (2 * SETTINGS.timeline_entries - 1) * MINUTE_MS


def test_what_is_followed_of_a_subject_is_bounded() -> None:
    few = msgspec.convert({**SETTINGS.model_dump(), "series_per_subject": 3}, dict[str, object])
    told = Told(Incidents(type(SETTINGS)(**few)))  # type: ignore[arg-type]

    told.after(*(anomaly(MINUTE_MS + number, series=f"s{number}") for number in range(10)))
    assert told.state is not None
    assert sorted(told.state.series) == ["s0", "s1", "s2"]

    told.after(anomaly(2 * MINUTE_MS, Phase.END, "s1"), anomaly(3 * MINUTE_MS, series="s11"))
    assert sorted(told.state.series) == ["s0", "s11", "s2"]


def test_the_state_survives_being_stored() -> None:
    told = Told().after(anomaly(MINUTE_MS, causes=[cause({"cdn": "7"})]), anomaly(MINUTE_MS, series="other"))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told.state), type=Subject) == told.state


# -- properties -------------------------------------------------------------------------------------------


@st.composite
def episodes(draw: st.DrawFn, series: str) -> list[Anomaly]:
    """A valid stream of one series: starts, updates and ends, in order, all within one incident."""
    records: list[Anomaly] = []
    firing = False
    for time_ms in sorted(draw(st.lists(st.integers(1, REOPEN_MS - 1), max_size=8, unique=True))):
        phase = Phase.START
        if firing:
            phase = draw(st.sampled_from([Phase.UPDATE, Phase.END]))
        firing = phase is not Phase.END
        causes = [cause({"cdn": draw(st.sampled_from("37"))}, draw(st.floats(0, 1)))] if firing else []
        records.append(
            anomaly(
                time_ms,
                phase,
                series,
                severity=draw(st.sampled_from(Severity)),
                impact_viewers=draw(st.floats(0, 1e6)),
                causes=causes,
            )
        )
    return records


@st.composite
def interleavings(draw: st.DrawFn, streams: list[list[Anomaly]]) -> list[Anomaly]:
    """The streams in one, each in its own order, as several producers would write them."""
    left = [list(stream) for stream in streams if stream]
    merged = []
    while left:
        stream = draw(st.sampled_from(left))
        merged.append(stream.pop(0))
        left = [each for each in left if each]
    return merged


def standing(told: Told) -> tuple[object, ...]:
    """How things stand at the end, whatever came first."""
    if told.state is None or told.state.lead is None:
        return ()
    last = told.records[-1]
    resolved = last.state is IncidentState.RESOLVED
    return (
        resolved,
        None if resolved else last.cause,
        told.state.firing,
        told.state.lead,
        told.state.impact_viewers,
        {name: series for name, series in told.state.series.items() if series.firing},
    )


@few
@given(st.data())
def test_how_it_stands_does_not_depend_on_how_series_are_interleaved(data: st.DataObject) -> None:
    streams = [data.draw(episodes(series)) for series in ("a", "b", "c")]
    in_order = sorted((each for stream in streams for each in stream), key=lambda each: each.time_ms)

    assert standing(Told().after(*data.draw(interleavings(streams)))) == standing(Told().after(*in_order))


@few
@given(st.data())
def test_records_told_again_change_nothing(data: st.DataObject) -> None:
    stream = data.draw(interleavings([data.draw(episodes(series)) for series in ("a", "b")]))
    with_repeats: list[Anomaly] = []
    for number, each in enumerate(stream):
        with_repeats.append(each)
        again = data.draw(st.lists(st.sampled_from(stream[: number + 1]), max_size=2))
        with_repeats += again

    once, repeated = Told().after(*stream), Told().after(*with_repeats)

    assert repeated.records == once.records
    assert repeated.state == once.state


@few
@given(st.data())
def test_in_whatever_order_records_come_the_newest_of_each_series_decides(data: st.DataObject) -> None:
    stream = [*data.draw(episodes("a")), *data.draw(episodes("b"))]
    told = Told().after(*data.draw(st.permutations(stream)))
    newest: dict[str, Anomaly] = {}
    for each in sorted(stream, key=lambda each: each.time_ms):
        newest[each.series] = each
    firing = sorted(series for series, each in newest.items() if each.phase is not Phase.END)

    assert (told.state.firing if told.state is not None else []) == firing
    if told.records:
        assert (told.records[-1].state is IncidentState.RESOLVED) is (not firing)


class IncidentLife(RuleBasedStateMachine):
    """Whatever happens to a subject, states move along the arrows and every telling is of something new."""

    ARROWS = frozenset(
        {
            (IncidentState.OPEN, IncidentState.OPEN),
            (IncidentState.OPEN, IncidentState.RESOLVED),
            (IncidentState.RESOLVED, IncidentState.REOPENED),
            (IncidentState.REOPENED, IncidentState.REOPENED),
            (IncidentState.REOPENED, IncidentState.RESOLVED),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self.told = Told()
        self.now_ms = MINUTE_MS
        self.past: list[Anomaly] = []

    def _happen(self, each: Anomaly) -> None:
        each = msgspec.structs.replace(each, id=str(len(self.past)))
        self.told.after(each)
        self.past.append(each)
        self.now_ms += len(self.past) % 3 == 0  # several records may share a time, not any number

    @rule(series=st.sampled_from("abc"), severity=st.sampled_from(Severity), impact=st.floats(0, 1e5))
    def start_or_worsen(self, series: str, severity: Severity, impact: float) -> None:
        self._happen(anomaly(self.now_ms, Phase.START, series, severity=severity, impact_viewers=impact))
        assert self.told.state is not None
        assert series in self.told.state.firing

    @rule(series=st.sampled_from("abc"))
    def end(self, series: str) -> None:
        self._happen(anomaly(self.now_ms, Phase.END, series))
        assert self.told.state is not None
        assert series not in self.told.state.firing

    @rule(gap_ms=st.sampled_from([1, MINUTE_MS, REOPEN_MS + 1]))
    def time_passes(self, gap_ms: int) -> None:
        self.now_ms += gap_ms

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def told_again(self, data: st.DataObject) -> None:
        state, count = self.told.state, len(self.told.records)
        self.told.after(data.draw(st.sampled_from(self.past)))
        assert self.told.state == state
        assert len(self.told.records) == count

    @invariant()
    def it_is_open_while_something_fires(self) -> None:
        if self.told.records:
            assert self.told.state is not None
            resolved = self.told.records[-1].state is IncidentState.RESOLVED
            assert resolved is not bool(self.told.state.firing)

    @invariant()
    def states_move_along_the_arrows(self) -> None:
        for before, after in pairwise(self.told.records):
            if before.incident == after.incident:
                assert (before.state, after.state) in self.ARROWS
                assert after.severity >= before.severity
                assert after.time_ms >= before.time_ms
            else:
                assert (before.state, after.state) == (IncidentState.RESOLVED, IncidentState.OPEN)

    @invariant()
    def every_telling_has_an_id_of_its_own(self) -> None:
        ids = [record.id for record in self.told.records]
        assert len(set(ids)) == len(ids)


TestIncidentLife = IncidentLife.TestCase
TestIncidentLife.settings = settings(few, stateful_step_count=40)
