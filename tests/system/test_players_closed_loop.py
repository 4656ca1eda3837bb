"""A CDN fails; Playhead learns it from its viewers alone, moves them, and brings them back. Real players.

What is left of a run is in the data folder: a timeline, a screenshot of each player, a video.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from topic_tools import TopicTools

from playhead.engine.folders import data_folder
from playhead.lab.cdns import Fault, FaultKind
from playhead.lab.closed_loop import SICK, ClosedLoop, closed_loop
from playhead.lab.faults_tried import Tried, screens, try_fault
from playhead.lab.players.browser import PLAYERS, Watching, browser
from topics import ALL

pytestmark = pytest.mark.alone

TITLE = "premiere"
DURATION_S = 240
BEAT_S, TTL_S = 1.0, 4.0
"""A report a second, and the longest TTL that is told: three seconds and a fifth, in whole ones."""

MOVE_WITHIN_S = BEAT_S + TTL_S + 5.0
PATIENCE_S = 20.0
"""So much longer is waited for who is late, for the timeline to tell by how much."""


@dataclass(frozen=True, slots=True)
class Bed:
    """The loop, and a browser."""

    loop: ClosedLoop
    topics: TopicTools
    watch: Callable[..., Watching]
    artefacts: Path

    def try_fault(self, fault: Fault, hold_s: float, players_back_s: float = 0.0) -> Tried:
        with screens(self.loop, self.watch, TITLE, PLAYERS, called=fault.kind) as opened:
            tried = try_fault(
                self.loop,
                self.topics.client,
                self.topics.prefix,
                opened,
                fault,
                move_within_s=MOVE_WITHIN_S + PATIENCE_S,
                hold_s=hold_s,
                back_within_s=60.0 + PATIENCE_S,
                players_back_s=players_back_s,
            )
            for screen in opened:
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
        # So many windows are learned before any is judged.
        time.sleep(10)
        yield Bed(loop, topics, watch, artefacts)


def test_all_players_leave_a_cdn_that_answers_503_in_time_and_come_back(bed: Bed) -> None:
    tried = bed.try_fault(Fault(FaultKind.STATUS, status=503), hold_s=10, players_back_s=12)

    _check_that_all_moved(tried)
    assert tried.incident_s <= tried.command_s
    assert tried.control > 0, "the control stays, or nothing tells whether the move helped"
    assert tried.steps_back > 1, "everyone came back at once"


@pytest.mark.parametrize("kind", [FaultKind.SLOW, FaultKind.RESET, FaultKind.CORRUPT])
def test_all_players_leave_a_cdn_that_fails_in_another_way(bed: Bed, kind: FaultKind) -> None:
    _check_that_all_moved(bed.try_fault(Fault(kind), hold_s=2))


def _check_that_all_moved(tried: Tried) -> None:
    assert tried.cause["cdn"] == SICK
    assert tried.crowd_moved_s <= MOVE_WITHIN_S
    late = [each for each in tried.players if each.moved_s > MOVE_WITHIN_S]
    assert not late, f"not within {MOVE_WITHIN_S:g} s"
    assert next(each.stalls for each in tried.players if each.player == "hls") == 0
