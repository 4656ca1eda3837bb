"""A title that one CDN serves: nobody elsewhere tells its fault apart, and its viewers are helped."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from topic_tools import TopicTools
from worker_process import WorkerProcess

from topics import ALL, CDN_NODES, COMMANDS, DEAD_LETTERS, INCIDENTS, OUTCOMES, PLAYBACK, POLICIES
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind
from topics.playback import Beat, PlayerState
from topics.policies import Policy

START_MS = 1_700_000_000_000
AGENTS = ("playback", "cohorts", "incidents", "policy", "verify", "cdn")
VIEWERS = 300
BEAT_MS = 5_000
HEALTHY, BAD = 24, 8
CANARY = 0.05
TIMEOUT_S = 60.0


@pytest.fixture
def topics(kafka: Any, topic_prefix: str) -> TopicTools:
    tools = TopicTools(kafka.brokers, topic_prefix)
    tools.create(*ALL)
    return tools


def beats() -> Iterator[Beat]:
    """Two minutes of health, then most of them stall; of a few it is not known what serves them."""
    draw = random.Random(1)
    for number in range(HEALTHY + BAD):
        for viewer in range(VIEWERS):
            stalls = draw.random() < (0.6 if number >= HEALTHY else 0.01)
            yield Beat(
                time_ms=START_MS + number * BEAT_MS + draw.randrange(BEAT_MS),
                session_id=f"v{viewer}",
                state=PlayerState.PLAYING,
                title="night-train",
                cdn="" if viewer % 50 == 0 else "a",
                isp=str(viewer % 3),
                play_ms=2_000 if stalls else BEAT_MS,
                stall_ms=3_000 if stalls else 0,
                stalls=int(stalls),
            )


def commands(topics: TopicTools) -> list[Command]:
    found = topics.read(COMMANDS)
    return [each for each in found if each.kind is CommandKind.STEER and not each.ramp]


@pytest.mark.parametrize(
    ("up", "share", "evidence"),
    [(True, CANARY, "all of them are on cdn a"), (False, 0.95, "hardware_failure: a-1 are down")],
    ids=["its nodes say nothing: a canary", "its nodes are down: all but the control"],
)
def test_viewers_whom_one_cdn_serves_are_moved_off_it(
    topics: TopicTools, kafka: Any, topic_prefix: str, tmp_path: Path, up: bool, share: float, evidence: str
) -> None:
    bad_ms = START_MS + HEALTHY * BEAT_MS
    topics.send(
        POLICIES,
        [Policy(time_ms=START_MS, policy="p", allows=CommandKind.STEER, dry_run=False, first_share=CANARY)],
    )
    topics.send(
        CDN_NODES,
        [
            NodeReport(
                time_ms=bad_ms,
                node=f"{cdn}-1",
                cdn=cdn,
                capacity_gbps=100.0,
                load=0.2,
                healthy=up or cdn != "a",
            )
            for cdn in "abc"
        ],
    )
    quick = {"PLAYHEAD_QOE__WINDOW_S": "10", "PLAYHEAD_QOE__LATENESS_S": "1"}
    with WorkerProcess(kafka.brokers, topic_prefix, tmp_path, AGENTS, **quick) as worker:
        worker.wait_until_ready()
        topics.send(PLAYBACK, beats())
        deadline = time.monotonic() + TIMEOUT_S
        while not (given := commands(topics)):
            if time.monotonic() > deadline:
                said = [*topics.read(OUTCOMES), *topics.read(INCIDENTS)]
                pytest.fail(f"no command; {said}; dead: {topics.read(DEAD_LETTERS)}")
            time.sleep(0.2)

    first = given[0]
    assert (first.away_from, first.share) == ("a", pytest.approx(share, abs=0.01))
    assert first.audience == {"title": "night-train"}
    assert evidence in first.evidence[0]
