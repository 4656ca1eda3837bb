"""`playhead lab players`: the closed loop for a person to watch, and what is left of it to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from config import Settings
from playhead.brokers import client_config
from playhead.lab.cdns import Fault, FaultKind
from playhead.lab.closed_loop import closed_loop
from playhead.lab.faults_tried import Tried, screens, try_fault
from playhead.lab.players.browser import browser
from playhead.topics_admin import TopicsAdmin, wanted
from topics import ALL

TITLE = "premiere"
DURATION_S = 240
LEARN_S = 12.0
"""Before any window is judged, so many are learned."""

HOLD_S = 15.0
MOVE_WITHIN_S = 60.0
BACK_WITHIN_S = 120.0
PLAYERS_BACK_S = 12.0
"""After the crowd: players ask less often, and have a buffer to play first."""


def show(
    settings: Settings, fault: FaultKind, players: Sequence[str], folder: Path, report: Callable[[str], None]
) -> Tried:
    """Run the loop with one fault; leave screenshots, a video and the timeline in `folder`.

    Raises:
        NeverError: the loop did not close in time.
        BrokerUnavailableError: there is no Kafka.
        BrowserError, MediaError: there is no browser, or no ffmpeg.
    """
    folder.mkdir(parents=True, exist_ok=True)
    client, prefix = client_config(settings), f"lab-{time.time_ns()}."
    TopicsAdmin(client, settings.engine.replication_factor).create(wanted(ALL, prefix))
    report("starting three CDNs, a worker, the gateway and a crowd")
    with (
        TemporaryDirectory() as data,
        closed_loop(dict(client), prefix, Path(data), DURATION_S, TITLE) as loop,
        browser(video_folder=folder / "video") as watch,
        screens(loop, watch, TITLE, players) as opened,
    ):
        report(f"{', '.join(players)} and {len(loop.crowd.viewers)} light viewers play")
        time.sleep(LEARN_S)
        tried = try_fault(
            loop,
            client,
            prefix,
            opened,
            Fault(fault),
            move_within_s=MOVE_WITHIN_S,
            hold_s=HOLD_S,
            back_within_s=BACK_WITHIN_S,
            players_back_s=PLAYERS_BACK_S,
            report=report,
        )
        for screen in opened:
            screen.watching.screenshot(folder / f"{screen.player}.png")
    (folder / "timeline.json").write_bytes(msgspec.json.format(msgspec.json.encode(tried)))
    return tried
