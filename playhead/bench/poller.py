"""A crowd of players that poll the steering endpoint at a fixed rate, in a process of its own.

The rate does not give way when answers are slow, and a poll's time runs from when it was due: who is made to
wait before asking waits as well. Prints one line of JSON.

Run as ``python -m playhead.bench.poller HOST PORT RATE SECONDS CONNECTIONS``, the first polls' paths on
standard input, one a line, each with what is expected first in the order.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
import numpy as np
import uvloop

CONNECT_TIMEOUT_S = 10.0
SPARE_S = 30.0


class Polled(msgspec.Struct, frozen=True):
    """What the crowd saw."""

    polls: int
    per_s: float
    p50_ms: float
    p99_ms: float
    most_ms: float
    wrong: int
    """Answers whose first CDN was not the one expected."""
    failed: int
    """Polls that had no answer of status 200."""


class _Manifest(msgspec.Struct):
    order: list[str] = msgspec.field(name="PATHWAY-PRIORITY")
    reload_uri: str = msgspec.field(name="RELOAD-URI")


_DECODER = msgspec.json.Decoder(_Manifest)


class Player:
    """One connection, kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, host: str, port: int) -> Player:
        """Open the connection."""
        return cls(*await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_TIMEOUT_S))

    async def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        at = lowered.index(b"content-length:") + len(b"content-length:")
        body = await self._reader.readexactly(int(lowered[at : lowered.index(b"\r\n", at)]))
        return int(head[9:12]), body


async def poll(
    host: str, port: int, rate: float, seconds: float, connections: int, viewers: Sequence[tuple[str, str]]
) -> Polled:
    """Let every viewer poll once, then all take turns at `rate` for `seconds`."""
    idle = deque([await Player.connect(host, port) for _ in range(connections)])
    first = idle[0]
    paths = []
    for path, _ in viewers:
        paths.append(urlsplit(_DECODER.decode((await first.get(path))[1]).reload_uri).path)

    waiting: deque[tuple[int, float]] = deque()
    took_ms: list[float] = []
    wrong = failed = 0

    async def ask(player: Player, number: int, due_s: float) -> None:
        nonlocal wrong, failed
        while True:
            which = number % len(viewers)
            status, body = await player.get(f"{paths[which]}?_HLS_pathway=cdn-a&_HLS_throughput=5000000")
            took_ms.append(1_000 * (time.perf_counter() - due_s))
            failed += status != 200
            wrong += status == 200 and _DECODER.decode(body).order[0] != viewers[which][1]
            if not waiting:
                idle.append(player)
                return
            number, due_s = waiting.popleft()

    began_s = time.perf_counter()
    total = int(rate * seconds)
    asking: set[asyncio.Task[None]] = set()
    for number in range(total):
        due_s = began_s + number / rate
        ahead_s = due_s - time.perf_counter()
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)
        if idle:
            task = asyncio.create_task(ask(idle.popleft(), number, due_s))
            asking.add(task)
            task.add_done_callback(asking.discard)
        else:
            waiting.append((number, due_s))
    await asyncio.wait_for(asyncio.gather(*asking), SPARE_S)
    elapsed_s = time.perf_counter() - began_s
    p50_ms, p99_ms = np.percentile(took_ms, (50, 99))
    return Polled(
        len(took_ms), len(took_ms) / elapsed_s, float(p50_ms), float(p99_ms), max(took_ms), wrong, failed
    )


def main(arguments: Sequence[str]) -> None:
    """Poll as the arguments say."""
    host, port, rate, seconds, connections = arguments
    viewers = [tuple(line.rstrip("\n").split("\t", 1)) for line in sys.stdin]
    found = uvloop.run(poll(host, int(port), float(rate), float(seconds), int(connections), viewers))
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
