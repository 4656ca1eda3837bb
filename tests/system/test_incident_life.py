"""The life of an incident over a real Kafka: what people do by the command line, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command_line import CommandLine
from eventually import eventually
from topic_tools import TopicTools
from worker_process import WorkerProcess

from playhead.newest import newest
from topics import ALL, ANOMALIES, DEAD_LETTERS, INCIDENTS
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.incidents import Incident, IncidentState

QUICK = {"PLAYHEAD_INCIDENTS__PAGE_AFTER_S": "0.3", "PLAYHEAD_INCIDENTS__LOOK_EVERY_S": "0.1"}


def anomaly(phase: Phase, viewers: float, cell: dict[str, str] | None = None, title: str = "") -> Anomaly:
    cell = cell or {"cdn": "7"}
    now_ms = int(time.time() * 1_000)
    subject = ",".join(f"{name}={value}" for name, value in cell.items()) + title
    cause = Cause(cell=cell, score=0.9, excess_viewers=viewers, explained=0.9, contrast="only there")
    return Anomaly(
        id=f"{subject}-{now_ms}",
        time_ms=now_ms,
        subject=subject,
        series=f"{subject}/stalled_ratio",
        phase=phase,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.HIGH,
        score=0.99,
        confidence=0.99,
        metric="stalled_ratio",
        value=0.31,
        baseline=0.01,
        cell=cell,
        scope={"title": title} if title else {},
        causes=[] if phase is Phase.END else [cause],
        impact_viewers=viewers,
    )


class Room:
    """A worker, the topics, and a person at the command line."""

    def __init__(self, brokers: str, prefix: str) -> None:
        self.topics = TopicTools(brokers, prefix)
        self.topics.create(*ALL)
        self.call = CommandLine({"PLAYHEAD_BROKERS": brokers, "PLAYHEAD_PREFIX": prefix})

    def incidents(self) -> list[Incident]:
        return list(newest(self.topics.client, self.topics.prefix, INCIDENTS).values())

    def until(self, reached: Callable[[Incident], bool], what: str) -> Incident:
        def found() -> Incident | None:
            return next((each for each in self.incidents() if reached(each)), None)

        return eventually(found, what)  # type: ignore[return-value]

    def does(self, *arguments: str) -> Any:
        result = self.call("incidents", *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout


def told(incident: Incident) -> list[str]:
    return [entry.what for entry in incident.timeline]


def test_an_incident_is_acknowledged_silenced_outgrown_resolved_and_comes_back(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    room = Room(kafka.brokers, topic_prefix)
    with WorkerProcess(kafka.brokers, topic_prefix, tmp_path, ("incidents",), **QUICK) as worker:
        worker.wait_until_ready()
        room.topics.send(ANOMALIES, [anomaly(Phase.START, 900)])
        opened = room.until(lambda each: each.paging, "a page")
        beginning = opened.incident[:6]

        room.does("ack", beginning, "--by", "ada", "--for", "1s", "--reason", "looking")
        again = room.until(lambda each: each.pages == 2, "a page once the acknowledgement has lapsed")
        assert "acknowledged by ada for 1 s: looking" in told(again)
        assert "the acknowledgement of ada has lapsed" in told(again)

        room.does("ack", beginning, "--by", "ada", "--for", "1h")
        room.does("silence", beginning, "--by", "ada", "--past-viewers", "5000", "--reason", "fibre cut")
        quiet = room.until(lambda each: bool(each.silenced_by), "the silence")
        assert (quiet.state, quiet.owner, quiet.paging) == (IncidentState.ACKNOWLEDGED, "ada", False)
        room.topics.send(ANOMALIES, [anomaly(Phase.UPDATE, 4_000)])
        larger = room.until(lambda each: each.impact_viewers == 4_000, "the larger impact")
        assert not larger.paging

        room.topics.send(ANOMALIES, [anomaly(Phase.UPDATE, 6_200)])
        loud = room.until(lambda each: each.pages == 3, "a page past the silence's bound")
        assert loud.state is IncidentState.OPEN
        assert "the silence of ada ends: about 6,200 viewers are hit, it holds up to 5,000" in told(loud)
        (silence,) = room.call.json("incidents", "silences")
        room.does("unsilence", silence["silence"][:6], "--by", "ben")
        assert room.call.json("incidents", "silences") == []
        assert len(room.call.json("incidents", "silences", "--all")) == 1

        room.does("comment", beginning, "the ISP has a cut fibre", "--by", "ada")
        room.does("resolve", beginning, "--by", "ben", "--reason", "accepted")
        room.topics.send(ANOMALIES, [anomaly(Phase.START, 6_200)])
        back = room.until(lambda each: each.pages == 4, "a page for what came back")

        assert back.state is IncidentState.REOPENED
        assert back.incident == opened.incident
        shown = room.does("show", beginning)
        for line in (
            "ben holds it to be over: accepted",
            "resolved by ben",
            "ada: the ISP has a cut fibre",
            "pages again",
            "reopened: cdn=7",
        ):
            assert line in shown
        assert [each["paging"] for each in room.call.json("incidents")] == [True]
        assert "there is no incident 'zz'" in room.call("incidents", "ack", "zz").stderr
        assert room.topics.read(DEAD_LETTERS) == []


def test_one_cause_seen_by_many_titles_pages_once_and_a_silence_by_cell_keeps_it_quiet(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    room = Room(kafka.brokers, topic_prefix)
    room.does("silence", "--match", "cdn=9", "--for", "1h", "--by", "ada", "--reason", "moves racks")
    slower = QUICK | {"PLAYHEAD_INCIDENTS__PAGE_AFTER_S": "1.5"}
    with WorkerProcess(kafka.brokers, topic_prefix, tmp_path, ("incidents",), **slower) as worker:
        worker.wait_until_ready()
        for title in ("a", "b", "c"):
            room.topics.send(ANOMALIES, [anomaly(Phase.START, 900, title=title)])
        room.topics.send(ANOMALIES, [anomaly(Phase.START, 300, {"cdn": "7", "isp": "3"})])
        room.topics.send(ANOMALIES, [anomaly(Phase.START, 300, {"cdn": "9"})])
        first = room.until(lambda each: each.paging, "a page")
        eventually(lambda: sum(bool(each.parent) for each in room.incidents()) == 3, "three parts")

        others = {each.subject: each for each in room.incidents() if each.incident != first.incident}
        assert others.pop("cdn=9").quiet == "silenced by ada: moves racks"
        assert {each.parent for each in others.values()} == {first.incident}
        assert sum(each.pages for each in room.incidents()) == 1

        room.does("resolve", first.incident, "--by", "ada")
        second = room.until(lambda each: each.paging, "a page of one that was a part")
        assert second.incident != first.incident
