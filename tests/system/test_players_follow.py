"""Real players in a real browser play the gateway's manifests, and follow when the order changes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventually import eventually
from topic_tools import TopicTools

from playhead.lab.cdns import LocalCdns, cdns_of
from playhead.lab.media import SEGMENT_S, catalogue_title, media_folder
from playhead.lab.players.browser import Watching, browser
from playhead.lab.served_process import ServedProcess
from topics import CATALOGUE, CDN_NODES, STEERING, STEERING_POLLS
from topics.catalogue import Title
from topics.steering import SteeringAnswer

DURATION_S = 60
LIVE_FOR_S = 24
CLONE = "cdn-x"
"""In no manifest: a clone of the first CDN at the third one's address."""

NUMBER = re.compile(r"chunk-\d-(\d{5})\.m4s$")
TTL = {
    "PLAYHEAD_STEERING__SUSPECT_TTL_S": "2",
    "PLAYHEAD_STEERING__SUSPECT_TTL_MOST_S": "3",
    "PLAYHEAD_STEERING__CALM_TTL_S": "3",
    "PLAYHEAD_STEERING__POLL_SAMPLE": "1",
}


@dataclass(frozen=True, slots=True)
class Bed:
    """All that a player needs."""

    topics: TopicTools
    cdns: LocalCdns
    gateway: ServedProcess
    watch: Callable[..., Watching]

    def offer(self, title: Title, manifest: str) -> None:
        """Put `title` into the catalogue, and wait until the gateway has its manifest."""
        from urllib.error import HTTPError
        from urllib.request import urlopen

        self.topics.send(CATALOGUE, [title])

        def there() -> bool:
            try:
                return bool(urlopen(f"{self.gateway.url}/v1/manifest/{manifest}").status == 200)
            except HTTPError:
                return False

        eventually(there, manifest)

    def steer(self, title: str, order: list[str], away_from: str) -> None:
        """Tell the viewers of `title` another order."""
        now_ms = int(1_000 * time.time())
        answer = SteeringAnswer(
            time_ms=now_ms,
            audience=f"title={title}",
            cell={"title": title},
            pathway_priority=order,
            away_from=away_from,
            ttl_s=2,
            generation=now_ms,
            expires_ms=now_ms + 600_000,
        )
        self.topics.send(STEERING, [answer])

    def paths(self, title: str) -> list[str]:
        """Return the paths of the segments of `title` that were asked for."""
        return [each.path for each in self.cdns.segments() if each.path.startswith(f"/{title}/")]

    def cdns_of(self, title: str) -> list[str]:
        """Return whom `title`'s segments were asked of, each run once."""
        return cdns_of(each for each in self.cdns.segments() if each.path.startswith(f"/{title}/"))


@pytest.fixture(scope="module")
def bed(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    topics = TopicTools(kafka.brokers, f"players{time.time_ns()}.")
    for spec in (CATALOGUE, CDN_NODES, STEERING, STEERING_POLLS):
        topics.create(spec)
    folder: Path = tmp_path_factory.mktemp("players")
    with LocalCdns(media_folder(DURATION_S)) as cdns, browser() as watch:
        environment = {
            "PLAYHEAD_BROKERS": kafka.brokers,
            "PLAYHEAD_PREFIX": topics.prefix,
            **TTL,
            **cdns.settings(),
            "PLAYHEAD_DELIVERY__ORDER": json.dumps([*cdns.hosts, CLONE]),
            "PLAYHEAD_DELIVERY__CLONES": json.dumps(
                {CLONE: {"of": "cdn-a", "host": cdns.hosts["cdn-c"], "port": cdns.port}}
            ),
        }
        with ServedProcess(["gateway", "--parts", "steering"], environment, folder) as gateway:
            gateway.wait_until_ready()
            yield Bed(topics, cdns, gateway, watch)


@pytest.mark.parametrize(("player", "kind"), [("hls", "m3u8"), ("dash", "mpd"), ("shaka", "m3u8")])
def test_a_player_plays_the_manifest_and_follows_a_changed_order(bed: Bed, player: str, kind: str) -> None:
    title = f"pilot-{player}"
    bed.offer(catalogue_title(title, DURATION_S, time_ms=0), f"{title}.{kind}")
    watching = bed.watch(player, f"{bed.gateway.url}/v1/manifest/{title}.{kind}?device=laptop&viewer=v1")
    watching.wait_until_played(2)
    assert bed.cdns_of(title) == ["cdn-a"]

    bed.steer(title, ["cdn-b", "cdn-c", "cdn-a"], away_from="cdn-a")
    eventually(lambda: "cdn-b" in bed.cdns_of(title), f"a segment from cdn-b; {watching.events[-10:]}", 20)
    watching.wait_until_played(watching.snapshot["videoS"] + 3)

    assert bed.cdns_of(title) == ["cdn-a", "cdn-b"]
    assert watching.stalls() == []
    assert watching.snapshot["width"] in (320, 640)
    if player != "dash":  # which tells what it measured, not what it uses
        eventually(
            lambda: any(each.followed for each in bed.topics.read(STEERING_POLLS) if each.title == title),
            "a poll that says it followed",
        )


@pytest.mark.parametrize("player", ["dash", "shaka"])
def test_a_player_plays_a_live_mpd_from_behind_its_edge_and_follows(bed: Bed, player: str) -> None:
    title = f"match-{player}"
    known = catalogue_title(title, DURATION_S, time_ms=0)
    # Segments lie ready for a minute; players ask for none before the clock says that it is there.
    began_ms = int(1_000 * time.time()) - LIVE_FOR_S * 1_000
    delivery = msgspec.structs.replace(known.delivery, live_since_ms=began_ms)
    live = msgspec.structs.replace(known, live=True, duration_s=None, delivery=delivery)
    bed.offer(live, f"{title}.mpd")

    watching = bed.watch(player, f"{bed.gateway.url}/v1/manifest/{title}.mpd?device=laptop&viewer=v1")
    watching.wait_until_played(2)
    bed.steer(title, ["cdn-b", "cdn-c", "cdn-a"], away_from="cdn-a")
    eventually(lambda: "cdn-b" in bed.cdns_of(title), f"a segment from cdn-b; {watching.events[-10:]}", 20)

    assert bed.cdns_of(title) == ["cdn-a", "cdn-b"]
    asked = [int(found[1]) for found in map(NUMBER.search, bed.paths(title)) if found is not None]
    assert min(asked) > 1, "a live player begins near the edge, not at the beginning"
    edge = (time.time() - began_ms / 1_000) / SEGMENT_S
    assert max(asked) <= edge + 1


@pytest.mark.parametrize(
    ("player", "kind", "went_to"),
    [
        ("hls", "m3u8", "cdn-c"),
        ("dash", "mpd", "cdn-c"),
        ("shaka", "m3u8", "cdn-b"),  # which knows no clones: it goes to the next that its manifest names
    ],
)
def test_a_player_moves_to_a_clone_that_no_manifest_names(
    bed: Bed, player: str, kind: str, went_to: str
) -> None:
    title = f"cloned-{player}"
    bed.offer(catalogue_title(title, DURATION_S, time_ms=0), f"{title}.{kind}")
    watching = bed.watch(player, f"{bed.gateway.url}/v1/manifest/{title}.{kind}?device=laptop&viewer=v1")
    watching.wait_until_played(2)

    bed.steer(title, [CLONE, "cdn-b", "cdn-a"], away_from="cdn-a")
    eventually(lambda: went_to in bed.cdns_of(title), f"a segment of {went_to}; {watching.events[-10:]}", 20)
    watching.wait_until_played(watching.snapshot["videoS"] + 3)

    assert bed.cdns_of(title) == ["cdn-a", went_to]
    assert watching.stalls() == []
