"""A CDN fails; Playhead learns it from its viewers alone, moves them, and brings them back. Real players.

What is left of a run is in the data folder: a timeline, a screenshot of each player, a video.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from topic_tools import TopicTools

from playhead.engine.folders import data_folder
from playhead.lab.cdns import Fault, FaultKind
from playhead.lab.closed_loop import SICK, ClosedLoop, closed_loop
from playhead.lab.faults_tried import Screen, Tried, screens, try_fault
from playhead.lab.players.browser import browser
from topics import ALL

pytestmark = pytest.mark.alone

TITLE = "premiere"
DURATION_S = 420
BEAT_S, TTL_S = 1.0, 2.0 * 1.2
"""A report a second, and the longest that a player waits between two polls."""

MOVE_WITHIN_S = BEAT_S + TTL_S + 5.0
SLACK_S = 20.0
"""A loaded machine has this much more until a test fails; what was measured is in the timeline."""


@dataclass(frozen=True, slots=True)
class Bed:
    """The loop with three players in a browser."""

    loop: ClosedLoop
    topics: TopicTools
    opened: list[Screen]
    artefacts: Path

    def try_fault(self, fault: Fault, players: set[str], hold_s: float, players_back_s: float = 0.0) -> Tried:
        tried = try_fault(
            self.loop,
            self.topics.client,
            self.topics.prefix,
            [screen for screen in self.opened if screen.player in players],
            fault,
            move_within_s=MOVE_WITHIN_S + SLACK_S,
            hold_s=hold_s,
            back_within_s=60.0 + SLACK_S,
            players_back_s=players_back_s,
        )
        for screen in self.opened:
            screen.watching.screenshot(self.artefacts / f"{fault.kind}-{screen.player}.png")
        (self.artefacts / f"{fault.kind}.json").write_bytes(msgspec.json.format(msgspec.json.encode(tried)))
        return tried


@pytest.fixture(scope="module")
def bed(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    topics = TopicTools(kafka.brokers, f"loop{time.time_ns()}.")
    topics.create(*ALL)
    artefacts = data_folder() / "artefacts" / "players"
    artefacts.mkdir(parents=True, exist_ok=True)
    folder: Path = tmp_path_factory.mktemp("loop")
    with (
        closed_loop(topics.client, topics.prefix, folder, DURATION_S, TITLE) as loop,
        browser(video_folder=artefacts / "video") as watch,
    ):
        opened = screens(loop, watch, TITLE, ["hls", "dash", "shaka"])
        # So many windows are learned before any is judged.
        time.sleep(10)
        yield Bed(loop, topics, opened, artefacts)


def test_all_players_leave_a_cdn_that_answers_503_in_time_without_a_stall_and_come_back(bed: Bed) -> None:
    tried = bed.try_fault(
        Fault(FaultKind.STATUS, status=503), {"hls", "dash", "shaka"}, hold_s=10, players_back_s=12
    )

    assert tried.cause["cdn"] == SICK
    assert tried.incident_s <= tried.command_s < MOVE_WITHIN_S
    moved = {each.player: each for each in tried.players}
    assert moved["hls"].stalls == 0
    assert all(each.moved_s <= MOVE_WITHIN_S + SLACK_S for each in tried.players)
    assert tried.crowd_moved_s <= MOVE_WITHIN_S + SLACK_S
    assert tried.control > 0, "the control stays, or nothing tells whether the move helped"
    assert tried.steps_back > 1, "everyone came back at once"


@pytest.mark.parametrize(
    ("fault", "players"),
    [
        (Fault(FaultKind.SLOW), {"hls", "dash", "shaka"}),
        # After the slow one: hls.js leaves this by itself, and keeps off it for five minutes.
        (Fault(FaultKind.RESET), {"hls", "dash", "shaka"}),
        # Bytes that are no media end playback in dash.js and Shaka for good: no order reaches them any more.
        (Fault(FaultKind.CORRUPT), {"hls"}),
    ],
    ids=["slow", "reset", "corrupt"],
)
def test_viewers_leave_a_cdn_that_fails_in_another_way(bed: Bed, fault: Fault, players: set[str]) -> None:
    tried = bed.try_fault(fault, players, hold_s=2)

    assert tried.cause["cdn"] == SICK
    assert tried.crowd_moved_s <= MOVE_WITHIN_S + SLACK_S
    assert all(each.moved_s <= MOVE_WITHIN_S + SLACK_S for each in tried.players)
    assert next(each.stalls for each in tried.players if each.player == "hls") == 0
