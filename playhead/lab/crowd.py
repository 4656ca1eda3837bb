"""A crowd of light viewers: they fetch, buffer, stall, report and obey as players do, and show no picture.

Each asks the gateway for its manifest, fetches from the CDN that comes first, has a buffer that empties
while it plays, sends CMCD events of version 2, and polls the steering server. One alone costs a
thousandth of a browser; a crowd of them is what a judgement of proportions needs. They are no model of a
player: what a player does with a changed order is seen in browsers only.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp

TICK_S = 0.1
EVENT_S = 1.0
RETRY_S = 0.5
REQUEST_TIMEOUT_S = 6.0
RESUME_BUFFER_S = 1.0
STOP_TIMEOUT_S = 10.0
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
"""The browsers' own, so that the crowd and they are of one device."""

BOX_TYPES = (b"styp", b"moof", b"ftyp", b"sidx", b"emsg", b"prft")
"""With what a segment of fragmented MP4 begins, after its first size."""

_STEERING = re.compile(r'#EXT-X-CONTENT-STEERING:SERVER-URI="([^"]+)"')
_PATHWAY = re.compile(r'PATHWAY-ID="([^"]+)"')
_BANDWIDTH = re.compile(r"[:,]BANDWIDTH=(\d+)")


@dataclass(slots=True)
class Viewer:
    """What one viewer saw.

    Args:
        name: by which shares are drawn.
        title: what is watched.
        buffer_s: held at most; those who hold little stall first.
        takes_best: the last rendition of the manifest in place of the first.
    """

    name: str
    title: str
    buffer_s: float
    takes_best: bool = False
    state: str = "s"
    cdn: str = ""
    stalls: list[float] = field(default_factory=list)
    """Wall times, in seconds, at which a stall began."""
    moves: list[tuple[float, str]] = field(default_factory=list)
    """When it went to which CDN."""


class Crowd:
    """Runs `viewers` inside the ``with``, in a thread of their own.

    Args:
        gateway: its address.
        viewers: who they are.
        seed: of when they come.
        join_s: within which they all come.
    """

    def __init__(self, gateway: str, viewers: Sequence[Viewer], seed: int = 1, join_s: float = 2.0) -> None:
        self.viewers = list(viewers)
        self._gateway = gateway
        self._random = random.Random(seed)
        self._join_s = join_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)

    def on(self, cdn: str) -> int:
        """Return how many are on `cdn` now."""
        return sum(viewer.cdn == cdn for viewer in self.viewers)

    def playing(self) -> int:
        """Return how many play now."""
        return sum(viewer.state == "p" for viewer in self.viewers)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(STOP_TIMEOUT_S)

    def _end(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._watch())

    async def _watch(self) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"User-Agent": USER_AGENT}
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers) as session,
            asyncio.TaskGroup() as group,
        ):
            for viewer in self.viewers:
                after_s = self._random.uniform(0, self._join_s)
                group.create_task(_Watching(viewer, self._gateway, session).watch(after_s))


class _Watching:
    """One viewer's session."""

    def __init__(self, viewer: Viewer, gateway: str, session: aiohttp.ClientSession) -> None:
        self._viewer = viewer
        self._gateway = gateway
        self._session = session
        self._number = 0
        self._buffered_s = 0.0
        self._playlists: dict[str, str] = {}
        self._bitrate_kbps = 0
        self._segments: dict[str, list[tuple[str, float]]] = {}
        self._next = 0
        self._serving = ""
        """The CDN that was asked for a segment last: the one that serves the player, be it slowly."""
        self._began_s = 0.0

    async def watch(self, after_s: float) -> None:
        """Watch until cancelled."""
        await asyncio.sleep(after_s)
        self._began_s = time.time()
        await self._tell("ps")
        steering = await self._open()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fetch())
            group.create_task(self._play())
            group.create_task(self._report())
            group.create_task(self._follow(steering))

    async def _open(self) -> str:
        """Read the manifest; return where to ask for the order."""
        url = f"{self._gateway}/v1/manifest/{self._viewer.title}.m3u8?viewer={self._viewer.name}"
        text = (await self._get(url) or b"").decode()
        lines = text.splitlines()
        for line, below in pairwise(lines):
            pathway, bandwidth = _PATHWAY.search(line), _BANDWIDTH.search(line)
            if not line.startswith("#EXT-X-STREAM-INF") or pathway is None or bandwidth is None:
                continue
            # The lowest rendition of each pathway is the first; every other viewer takes the last instead.
            if pathway[1] not in self._playlists or self._viewer.takes_best:
                self._playlists[pathway[1]] = urljoin(url, below)
                self._bitrate_kbps = int(bandwidth[1]) // 1000
        steering = _STEERING.search(text)
        first = _PATHWAY.search(next((line for line in lines if line.startswith("#EXT-X-CONTENT-S")), ""))
        if steering is None or first is None:
            raise ValueError(f"{url} tells no content steering: {text[:200]!r}")
        self._go_to(first[1])
        return str(urljoin(url, steering[1]))

    def _go_to(self, cdn: str) -> None:
        if cdn != self._viewer.cdn:
            self._viewer.cdn = cdn
            self._viewer.moves.append((time.time(), cdn))

    async def _fetch(self) -> None:
        while True:
            if self._buffered_s >= self._viewer.buffer_s:
                await asyncio.sleep(TICK_S)
            elif not await self._fetch_one():
                await asyncio.sleep(RETRY_S)

    async def _fetch_one(self) -> bool:
        """Fetch the next segment from the CDN of now; return whether it can be played."""
        cdn = self._viewer.cdn
        if cdn not in self._segments:
            listed = await self._get(self._playlists[cdn])
            if listed is None:
                return False
            self._segments[cdn] = _segments_of(listed.decode(), self._playlists[cdn])
        self._serving = cdn
        segments = self._segments[cdn]
        url, duration_s = segments[self._next % len(segments)]
        body = await self._get(url)
        if body is None:
            return False
        if body[4:8] not in BOX_TYPES:
            await self._tell("e", 'ec=("bad_segment")')
            return False
        self._next += 1
        self._buffered_s += duration_s
        return True

    async def _get(self, url: str) -> bytes | None:
        try:
            async with self._session.get(url) as answer:
                body = await answer.read()
                return body if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _play(self) -> None:
        then_s = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            if self._viewer.state == "p":
                self._buffered_s = max(self._buffered_s - (now_s - then_s), 0.0)
                if self._buffered_s == 0.0:
                    self._viewer.stalls.append(time.time())
                    await self._turn("r")
            elif self._buffered_s >= RESUME_BUFFER_S:
                started = self._viewer.state == "s"
                await self._turn("p", f"msd={int(1000 * (time.time() - self._began_s))}" if started else "")
            then_s = now_s

    async def _turn(self, state: str, more: str = "") -> None:
        self._viewer.state = state
        await self._tell("ps", more)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(EVENT_S)
            await self._tell("t")

    async def _follow(self, steering: str) -> None:
        url = steering
        while True:
            joined = "&" if urlsplit(url).query else "?"
            ttl_s = 5.0
            try:
                async with self._session.get(f"{url}{joined}_HLS_pathway={self._viewer.cdn}") as answer:
                    told = await answer.json(content_type=None) if answer.status == 200 else None
            except (aiohttp.ClientError, TimeoutError, ValueError):
                told = None
            if told is not None and told.get("VERSION") == 1:
                ttl_s = float(told["TTL"])
                url = urljoin(url, told.get("RELOAD-URI", url))
                known = [each for each in told["PATHWAY-PRIORITY"] if each in self._playlists]
                if known:
                    self._go_to(known[0])
            await asyncio.sleep(ttl_s)

    async def _tell(self, event: str, more: str = "") -> None:
        """Send one CMCD event, keys in the order of the alphabet."""
        viewer = self._viewer
        host = urlsplit(self._playlists.get(self._serving, "")).hostname or ""
        members = [
            f"bl=({int(self._buffered_s * 10) * 100})",
            f"br=({self._bitrate_kbps})" if self._bitrate_kbps else "",
            f'cid="{viewer.title}"',
            f"e={event}",
            *(part for part in [more] if part.startswith("ec")),
            f'h="{host}"' if host else "",
            *(part for part in [more] if part.startswith("msd")),
            "sf=h",
            f'sid="{viewer.name}"',
            f"sn={self._number}",
            "st=v",
            f"sta={viewer.state}",
            f"ts={int(time.time() * 1000)}",
            "v=2",
        ]
        self._number += 1
        line = ",".join(part for part in members if part) + "\n"
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.post(
                f"{self._gateway}/v1/cmcd", data=line, headers={"Content-Type": "application/cmcd"}
            ) as answer:
                await answer.read()


def _segments_of(playlist: str, url: str) -> list[tuple[str, float]]:
    """Return address and length in seconds of each segment.

    >>> _segments_of("#EXTINF:2.0,\\na.m4s\\n#EXTINF:1.5,\\nb.m4s\\n", "http://x/y/v0.m3u8")
    [('http://x/y/a.m4s', 2.0), ('http://x/y/b.m4s', 1.5)]
    """
    lines = playlist.splitlines()
    return [
        (urljoin(url, below), float(line.removeprefix("#EXTINF:").split(",")[0]))
        for line, below in pairwise(lines)
        if line.startswith("#EXTINF:")
    ]
