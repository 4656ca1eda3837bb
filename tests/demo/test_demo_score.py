from __future__ import annotations

from typing import Any

import pytest

from playhead.demo.data import Series
from playhead.demo.feed import Span
from playhead.demo.narrate import narrate
from playhead.demo.score import Count, Label, Result, judge, latency, score
from playhead.demo.story import Story, Told
from playhead.demo.viewers import MINUTE_MS
from topics import ANOMALIES, COMMANDS, DEAD_LETTERS, INCIDENTS, OUTCOMES, SELECTION, STEERING
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.commands import Command, CommandKind, Outcome, OutcomeStatus
from topics.dead_letters import DeadLetter
from topics.fields import Cell, Record
from topics.incidents import Incident, IncidentState, TimelineEntry
from topics.ingest import PipelineSelection
from topics.spec import AnySpec
from topics.steering import SteeringAnswer

SPAN = Span(0, 20 * MINUTE_MS)
BAD_MS = 5 * MINUTE_MS
OPENED_MS = BAD_MS + MINUTE_MS
TRUE: Cell = {"cdn": "7", "p2p": "1"}
WRONG: Cell = {"cdn": "3"}
LABEL = Label("channel-01", "one.csv", BAD_MS, [TRUE])
COUNTS = {"playback": Count(sent=1_000, processed=990, dead=10)}


def cause(cell: Cell) -> Cause:
    return Cause(
        cell=cell, score=1.0, excess_viewers=9, explained=0.9, contrast="9 % stall; the rest is at 1 %"
    )


def incident(**fields: Any) -> Incident:
    causes = [cause(cell) for cell in fields.pop("cells", [TRUE])]
    told: dict[str, Any] = {
        "time_ms": OPENED_MS,
        "incident": "i1",
        "subject": "channel-01: cdn=7",
        "state": IncidentState.OPEN,
        "kind": AnomalyKind.STREAMING_QUALITY_DROP,
        "severity": Severity.HIGH,
        "summary": "cdn=7: 9 % of viewers stall",
        "cause": causes[0].cell if causes else {},
        "causes": causes,
        "contrast": causes[0].contrast if causes else "",
        "scope": {"title": "channel-01"},
        "opened_ms": OPENED_MS,
        "firing": ["channel-01: cdn=7/stalled_ratio"],
        "impact_viewers": 50,
        "origin_ms": 1_000,
        "timeline": [TimelineEntry(time_ms=OPENED_MS, what="opened: cdn=7")],
    }
    return Incident(**told | fields)


def resolved(time_ms: int, **fields: Any) -> Incident:
    return incident(time_ms=time_ms, state=IncidentState.RESOLVED, resolved_ms=time_ms, firing=[], **fields)


def steer(**fields: Any) -> Command:
    told: dict[str, Any] = {
        "time_ms": OPENED_MS,
        "id": "c1",
        "kind": CommandKind.STEER,
        "target": "title=channel-01",
        "generation": 1,
        "incident": "i1",
        "owner": "policy",
        "reason": "steer them away: 9 % stall",
        "expires_ms": OPENED_MS + 300_000,
        "share": 0.3,
    }
    return Command(**told | fields)


def answer(**fields: Any) -> SteeringAnswer:
    told: dict[str, Any] = {
        "time_ms": OPENED_MS,
        "audience": "title=channel-01",
        "cell": {"title": "channel-01"},
        "pathway_priority": ["3", "7"],
        "away_from": "7",
        "share": 0.3,
        "ttl_s": 10,
        "generation": 1,
        "command_id": "c1",
    }
    return SteeringAnswer(**told | fields)


def undone(generation: int = 2) -> SteeringAnswer:
    return answer(
        generation=generation,
        command_id="",
        pathway_priority=[],
        away_from="",
        reason="it is over: all is well",
    )


SWITCH = PipelineSelection(time_ms=1, stream="live", pipeline="backup", from_sequence=7, generation=1)

WHOLE_LOOP: list[tuple[AnySpec, Record, int]] = [
    (INCIDENTS, incident(), 1_120),
    (COMMANDS, steer(), 1_130),
    (STEERING, answer(), 1_150),
    (INCIDENTS, resolved(9 * MINUTE_MS), 3_000),
    (STEERING, undone(), 3_050),
    (SELECTION, SWITCH, 4_000),
]


def story(*records: tuple[AnySpec, Record, int]) -> Story:
    told = Story()
    for spec, record, broker_ms in records:
        told.take(Told(spec, record, broker_ms))
    return told


def result(*records: tuple[AnySpec, Record, int], counts: dict[str, Count] | None = None) -> Result:
    return score(story(*records), [LABEL], [], SPAN, counts or COUNTS, {"recorded": 1_000}, feed_s=10.0)


def judged(*records: Incident) -> tuple[bool, bool, bool]:
    verdict = judge(LABEL, story(*((INCIDENTS, each, 1) for each in records)).loops())
    return verdict.detected, verdict.right, verdict.among_first


def test_an_incident_open_in_the_labelled_minute_with_the_labelled_cause_is_right() -> None:
    assert judged(incident()) == (True, True, True)


def test_a_wrong_cause_is_scored_wrong() -> None:
    assert judged(incident(cells=[WRONG])) == (True, False, False)


def test_the_right_cause_further_down_counts_among_the_first_five_only() -> None:
    assert judged(incident(cells=[WRONG, TRUE])) == (True, False, True)
    assert judged(incident(cells=[*[{"cdn": str(n)} for n in range(5)], TRUE])) == (True, False, False)


def test_a_cause_that_is_too_coarse_or_too_fine_is_wrong() -> None:
    assert judged(incident(cells=[{"cdn": "7"}])) == (True, False, False)
    assert judged(incident(cells=[TRUE | {"isp": "a"}])) == (True, False, False)


def test_an_incident_that_opened_later_detects_nothing() -> None:
    assert judged(incident(time_ms=OPENED_MS + MINUTE_MS, opened_ms=OPENED_MS + MINUTE_MS)) == (False,) * 3


def test_an_incident_over_by_the_end_of_the_labelled_minute_detects_nothing() -> None:
    early = incident(time_ms=3 * MINUTE_MS, opened_ms=3 * MINUTE_MS)

    assert judged(early, resolved(OPENED_MS, opened_ms=3 * MINUTE_MS)) == (False,) * 3


def test_an_incident_that_began_earlier_and_is_still_open_detects() -> None:
    assert judged(incident(time_ms=3 * MINUTE_MS, opened_ms=3 * MINUTE_MS)) == (True, True, True)


def test_what_was_learned_after_the_labelled_minute_does_not_count() -> None:
    later = incident(time_ms=OPENED_MS + MINUTE_MS, cells=[TRUE])

    assert judged(incident(cells=[WRONG]), later) == (True, False, False)


def test_of_several_open_incidents_the_one_that_opened_last_is_taken() -> None:
    early = incident(incident="i0", time_ms=3 * MINUTE_MS, opened_ms=3 * MINUTE_MS, cells=[WRONG])

    assert judged(early, incident()) == (True, True, True)


def test_an_incident_that_is_not_about_stalls_detects_no_stalls() -> None:
    assert judged(incident(firing=["channel-01: isp=a/bitrate_mean_kbps"])) == (False,) * 3


def test_an_incident_of_another_channel_detects_nothing() -> None:
    told = score(
        story((INCIDENTS, incident(scope={"title": "channel-02"}), 1)), [LABEL], [], SPAN, COUNTS, {}, 1.0
    )

    assert not told.verdicts[0].detected


def test_a_whole_loop_closes() -> None:
    told = result(*WHOLE_LOOP)

    assert told.closed
    assert [step.name for step in told.steps] == [
        "incident with a named cause",
        "command",
        "steering changed",
        "recovery",
        "undo",
        "ingest switched",
        "counts add up",
    ]


@pytest.mark.parametrize(
    ("left_out", "unseen"),
    [
        (1, ["command", "steering changed", "undo"]),
        (2, ["steering changed", "undo"]),
        (3, ["recovery"]),
        (4, ["undo"]),
        (5, ["ingest switched"]),
    ],
)
def test_a_step_that_was_not_told_is_not_seen(left_out: int, unseen: list[str]) -> None:
    told = result(*WHOLE_LOOP[:left_out], *WHOLE_LOOP[left_out + 1 :])

    assert [step.name for step in told.steps if not step.seen] == unseen
    assert not told.closed


def test_an_incident_without_a_cause_does_not_begin_a_loop() -> None:
    told = result((INCIDENTS, incident(cells=[]), 1_120), *WHOLE_LOOP[5:])

    assert [step.seen for step in told.steps[:3]] == [False, False, False]


def test_without_an_incident_no_step_of_the_loop_is_seen() -> None:
    told = result(*WHOLE_LOOP[5:])

    assert [step.name for step in told.steps if step.seen] == ["ingest switched", "counts add up"]


def test_topics_may_be_read_in_any_order() -> None:
    opened, command, moved, over, ended, switch = WHOLE_LOOP

    assert result(ended, moved, command, switch, opened, over).closed


def test_a_dry_run_is_no_command() -> None:
    told = result(WHOLE_LOOP[0], (COMMANDS, steer(dry_run=True), 1_130))

    assert [step.seen for step in told.steps[:3]] == [True, False, False]


def test_a_command_renewed_is_undone_by_the_answer_after_its_renewal() -> None:
    renewed = [
        *WHOLE_LOOP[:3],
        (COMMANDS, steer(id="c2", generation=5, renews="c1"), 2_000),
        (STEERING, answer(generation=5, command_id="c2"), 2_010),
        (STEERING, undone(generation=4), 2_020),
    ]

    assert story(*renewed).loops()[0].undo is None
    assert story(*renewed, (STEERING, undone(generation=6), 3_000)).loops()[0].undo is not None


def test_events_that_are_neither_processed_nor_dead_are_lost() -> None:
    told = result(*WHOLE_LOOP, counts={"playback": Count(sent=1_000, processed=980, dead=10)})

    assert told.lost == 10
    assert [step.name for step in told.steps if not step.seen] == ["counts add up"]


def test_latencies_are_taken_from_the_brokers_times() -> None:
    told = result(*WHOLE_LOOP)

    assert told.event_to_alert == latency([120])
    assert told.alert_to_steering == latency([30])


def test_quantiles_are_values_that_were_measured() -> None:
    measured = latency([float(value) for value in range(1, 201)])

    assert (measured.count, measured.p50_ms, measured.p99_ms) == (200, 100.0, 198.0)
    assert latency([]).p50_ms is None


def test_incidents_that_no_label_asked_for_are_counted() -> None:
    other = incident(incident="i2", time_ms=15 * MINUTE_MS, opened_ms=15 * MINUTE_MS)

    assert result(*WHOLE_LOOP).unlabelled == 0
    assert result(*WHOLE_LOOP, (INCIDENTS, other, 9_000)).unlabelled == 1


def anomaly(time_ms: int, **fields: Any) -> Anomaly:
    told: dict[str, Any] = {
        "time_ms": time_ms,
        "subject": "svc",
        "series": "svc/m",
        "phase": Phase.START,
        "kind": AnomalyKind.TRAFFIC_ANOMALY,
        "severity": Severity.HIGH,
        "score": 0.9,
        "confidence": 0.9,
        "metric": "m",
        "value": 9.0,
    }
    return Anomaly(**told | fields)


def test_a_window_of_a_series_is_found_where_an_episode_begins_in_it() -> None:
    series = Series("g/m.csv", "svc", "m", [0, 600, 1_200], [1.0] * 3, [(100, 200), (900, 1_000)])
    shift_ms = SPAN.end_ms - 1_200_000
    told = story(
        (ANOMALIES, anomaly(shift_ms + 150_000), 1),
        (ANOMALIES, anomaly(shift_ms + 160_000), 1),
        (ANOMALIES, anomaly(shift_ms + 500_000), 1),
        (ANOMALIES, anomaly(shift_ms + 950_000, phase=Phase.END), 1),
    )

    scored = score(told, [LABEL], [series], SPAN, COUNTS, {}, 1.0)

    assert (scored.series_windows, scored.series_found, scored.series_elsewhere) == (2, 1, 1)


def test_dead_letters_are_counted_by_the_topic_they_came_from() -> None:
    letter = DeadLetter(time_ms=0, topic="playback", partition=0, offset=1, reason="bad", agent="playback")

    assert story((DEAD_LETTERS, letter, 1)).dead == {"playback": 1}


def said(spec: AnySpec, record: Record) -> tuple[str, str]:
    line = narrate(Told(spec, record, 1), frozenset({"svc"}))
    assert line is not None
    return line.what, line.text


def test_an_incident_is_told_with_its_cause_and_the_contrast() -> None:
    assert said(INCIDENTS, incident()) == ("INCIDENT", "cdn=7: 9 % of viewers stall; the rest is at 1 %")


def test_each_step_has_its_word() -> None:
    refusal = Outcome(
        time_ms=1,
        command_id="i1",
        kind=CommandKind.HOLD,
        target="t",
        actor="policy",
        status=OutcomeStatus.REFUSED,
        reason="no lever fits",
    )
    assert said(ANOMALIES, anomaly(1))[0] == "anomaly"
    assert said(COMMANDS, steer()) == ("command", "30 % for 5 min: steer them away: 9 % stall")
    renewal = steer(renews="c0", reason="it goes on")
    assert said(COMMANDS, renewal)[1] == "30 % of title=channel-01: the lease goes on for 5 min"
    assert said(STEERING, answer()) == ("STEERING", "30 % of title=channel-01 are told: CDN 3 > 7")
    assert said(STEERING, undone()) == ("UNDONE", "title=channel-01 is served as before: it is over")
    assert said(SELECTION, SWITCH) == ("INGEST", "live is served from backup from segment 7")
    assert said(INCIDENTS, resolved(9 * MINUTE_MS))[0] == "RECOVERED"
    assert said(OUTCOMES, refusal) == ("held", "t: no lever fits")


def test_incidents_of_the_metric_series_are_told_by_their_anomalies_alone() -> None:
    assert narrate(Told(INCIDENTS, incident(subject="svc", scope={}), 1), frozenset({"svc"})) is None


def test_nothing_in_a_record_reaches_the_terminals_controls() -> None:
    assert "\x1b" not in said(INCIDENTS, incident(summary="a\x1b[2Jb"))[1]
