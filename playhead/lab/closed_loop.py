"""The whole loop on one machine: three CDNs, a crowd, the gateway, a worker, and who watches in a browser.

Everything is real but the crowd's screens: real Kafka, real HTTP, real media. What fails is told to one CDN
and to nobody else: Playhead learns it from the viewers' reports.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from config import load
from models.steering_order import bucket, group_of
from playhead.lab.cdns import HOSTS, LocalCdns
from playhead.lab.crowd import REQUEST_TIMEOUT_S, Crowd, Viewer
from playhead.lab.media import catalogue_title, media_folder
from playhead.lab.served_process import ServedProcess
from playhead.publisher import Publisher
from topics import CATALOGUE, CDN_NODES, POLICIES
from topics.catalogue import Title
from topics.cdn import NodeReport
from topics.commands import CommandKind, Limits
from topics.emission import Emission
from topics.policies import Policy
from topics.spec import AnySpec

AGENTS = ("sessions", "playback", "cohorts", "incidents", "policy", "verify", "cdn")
SICK = "cdn-a"
SPLIT = {"cdn-a": 0.5, "cdn-b": 0.3, "cdn-c": 0.2}
"""Where viewers are by default: without some elsewhere nothing would tell a CDN's fault from everyone's."""

MOVED_SHARE = 0.9
"""Of the sick CDN's viewers; the rest are the control."""

NODE_GBPS = 100.0
NODE_FULL_SHARE = 1.6
"""A node is full with so many times all viewers, so that any two can carry everyone."""

NODES_S = 2.0
OFFER_TIMEOUT_S = 60.0
CROWD = 60
BUFFERS_S = (2.0, 2.0, 3.0, 4.0, 6.0, 10.0)
"""What viewers of the crowd hold at most, in turn: those who hold little tell of a fault first."""

SETTINGS = {
    # Windows as short as viewers' reports are frequent: one a second each.
    "PLAYHEAD_QOE__WINDOW_S": "1.0",
    "PLAYHEAD_QOE__SLIDE_S": "0.5",
    "PLAYHEAD_QOE__LATENESS_S": "0.3",
    "PLAYHEAD_QOE__SCOPE": "",
    "PLAYHEAD_QOE__MIN_VIEWERS": "10",
    "PLAYHEAD_QOE__MIN_TOLD_VIEWERS": "5",
    "PLAYHEAD_QOE__WARMUP_WINDOWS": "10",
    "PLAYHEAD_QOE__BASELINE_HALF_LIFE_WINDOWS": "240",
    "PLAYHEAD_QOE__MIN_IMPACT_VIEWERS": "3",
    "PLAYHEAD_QOE__HISTORY_WINDOWS": "20",
    "PLAYHEAD_QOE__CLEAR_AFTER_WINDOWS": "4",
    "PLAYHEAD_QOE__UNSEEN_WINDOWS": "44",
    "PLAYHEAD_QOE__RELEARN_AFTER_WINDOWS": "1000",
    "PLAYHEAD_QOE__EXPLAIN_WITHIN_WINDOWS": "40",
    # A CDN has thirty viewers, and the first of them to stall must do for a cause.
    "PLAYHEAD_LOCALISATION__LEAST_EXCESS_VIEWERS": "4",
    "PLAYHEAD_SESSIONS__REORDER_MS": "200",
    "PLAYHEAD_SESSIONS__BEAT_INTERVAL_MS": "500",
    "PLAYHEAD_ENGINE__IDLE_AFTER_S": "1.0",
    "PLAYHEAD_POLICY__STEERING_TTL_S": "3",
    "PLAYHEAD_POLICY__CONTROL_SHARE": str(round(1 - MOVED_SHARE, 3)),
    "PLAYHEAD_POLICY__HARD_FIRST_SHARE": str(MOVED_SHARE),
    "PLAYHEAD_POLICY__MAX_STEP_SHARE": str(MOVED_SHARE),
    "PLAYHEAD_POLICY__RETURN_DWELL_S": "3",
    "PLAYHEAD_POLICY__MIN_DWELL_S": "5",
    "PLAYHEAD_POLICY__FLAP_WINDOW_S": "1",
    "PLAYHEAD_POLICY__BLIND_AFTER_S": "20",
    # As long as a viewer of the crowd waits for an answer.
    "PLAYHEAD_POLICY__VERIFY_SETTLE_S": str(REQUEST_TIMEOUT_S),
    "PLAYHEAD_STEERING__SUSPECT_TTL_S": "3",
    "PLAYHEAD_STEERING__SUSPECT_TTL_MOST_S": "3",
    # hls.js tries again after 1, 2, 4 and 8 seconds, whatever it is told: the order must come before the
    # last. dash.js forgives a CDN after one TTL: it must be told meanwhile.
    "PLAYHEAD_STEERING__CALM_TTL_S": "3",
    "PLAYHEAD_STEERING__CALM_TTL_MOST_S": "6",
}
"""A few dozen viewers ask for other figures than a million: all that differs stands here."""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """The running parts."""

    cdns: LocalCdns
    gateway: ServedProcess
    worker: ServedProcess
    crowd: Crowd
    send: Callable[[AnySpec, object], None]


def viewers(title: str, number: int = CROWD) -> list[Viewer]:
    """Return a crowd's viewers, whose buffers differ."""
    return [
        Viewer(f"crowd-{at}", title, BUFFERS_S[at % len(BUFFERS_S)], takes_best=at % 2 == 1)
        for at in range(number)
    ]


@contextmanager
def closed_loop(
    client: dict[str, str], prefix: str, folder: Path, duration_s: int, title: str = "premiere"
) -> Iterator[ClosedLoop]:
    """Start everything on a broker that has the topics of `prefix`; yield once the crowd plays.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        folder: data and logs of the processes.
        duration_s: of the media.

    Raises:
        ServedProcessError: the gateway or the worker did not become ready.
        MediaError: there is no ffmpeg.
    """
    with ExitStack() as stack:
        publisher = Publisher(client, prefix)
        stack.callback(publisher.close)

        def send(spec: AnySpec, record: object) -> None:
            from playhead.publisher import encoded

            publisher.send(encoded(Emission(spec, record)))  # type: ignore[arg-type]
            publisher.flush(10.0)

        send(CATALOGUE, _title(title, duration_s))
        send(POLICIES, _policy())
        cdns = stack.enter_context(LocalCdns(media_folder(duration_s)))
        environment = {
            "PLAYHEAD_BROKERS": client["bootstrap.servers"],
            "PLAYHEAD_PREFIX": prefix,
            "PLAYHEAD_CMCD__CDNS": json.dumps({host: name for name, host in HOSTS.items()}),
            "PLAYHEAD_REDIS_URL": "memory://",
            **cdns.settings(),
            **SETTINGS,
        }
        worker = stack.enter_context(
            ServedProcess(["worker", "--no-supervise", "--agents", ",".join(AGENTS)], environment, folder)
        )
        gateway = stack.enter_context(
            ServedProcess(["gateway", "--parts", "cmcd,steering"], environment, folder)
        )
        gateway.wait_until_ready()
        worker.wait_until_ready()
        _wait_for_manifest(gateway.url, title)
        crowd = stack.enter_context(Crowd(gateway.url, viewers(title)))
        stack.enter_context(_nodes(send, crowd))
        yield ClosedLoop(cdns, gateway, worker, crowd, send)


def _title(name: str, duration_s: int) -> Title:
    import msgspec

    title = catalogue_title(name, duration_s, time_ms=int(1000 * time.time()))
    assert title.delivery is not None
    return msgspec.structs.replace(title, delivery=msgspec.structs.replace(title.delivery, split=SPLIT))


def _policy() -> Policy:
    return Policy(
        time_ms=int(1000 * time.time()),
        policy="steer",
        allows=CommandKind.STEER,
        dry_run=False,
        first_share=MOVED_SHARE,
        lease_s=300.0,
        limits=Limits(max_share=MOVED_SHARE, max_load=0.9),
    )


@contextmanager
def _nodes(send: Callable[[AnySpec, object], None], crowd: Crowd) -> Iterator[None]:
    """Report of one node per CDN that it is well, and how full: what it says of itself shows no fault."""
    ending = threading.Event()

    def tell() -> None:
        while True:
            for cdn in HOSTS:
                report = NodeReport(
                    time_ms=int(1000 * time.time()),
                    node=f"{cdn}-1",
                    cdn=cdn,
                    capacity_gbps=NODE_GBPS,
                    load=crowd.on(cdn) / (NODE_FULL_SHARE * len(crowd.viewers)),
                    error_rate=0.0,
                )
                send(CDN_NODES, report)
            if ending.wait(NODES_S):
                return

    thread = threading.Thread(target=tell, name="nodes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _wait_for_manifest(gateway: str, title: str) -> None:
    deadline = time.monotonic() + OFFER_TIMEOUT_S
    while True:
        try:
            if urlopen(f"{gateway}/v1/manifest/{title}.m3u8").status == 200:  # noqa: S310
                return
        except HTTPError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def is_control(viewer: str) -> bool:
    """Whether `viewer` stays where he is when everyone is told to leave: he is of the last groups."""
    group = group_of(viewer, load({}).settings.steering.buckets)
    return bucket(str(group), "everyone") >= MOVED_SHARE


def names_on(gateway: str, title: str, cdn: str, candidates: Sequence[str]) -> list[str]:
    """Return those of `candidates` whom the manifest sends to `cdn` first."""
    found = []
    for name in candidates:
        with urlopen(f"{gateway}/v1/manifest/{title}.m3u8?viewer={name}") as answer:  # noqa: S310
            text = answer.read().decode()
        if f'PATHWAY-ID="{cdn}"' in text.split("#EXT-X-STREAM-INF", 1)[0]:
            found.append(name)
    return found
