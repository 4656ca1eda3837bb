"""Players that send events as fast as they are acknowledged: ``python -m playhead.bench.cmcd_load …``.

A process of its own, so that what it costs is not counted with what it measures. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

import msgspec

ACKNOWLEDGED = b"HTTP/1.1 204"


class Load(msgspec.Struct, frozen=True):
    """What was sent and acknowledged."""

    requests: int
    records: int
    refused: int
    seconds: float
    p50_ms: float
    p99_ms: float


def line(player: int, sn: int, time_ms: int) -> str:
    """Return an event as hls.js writes it, of the `sn`-th of a player.

    >>> line(7, 3, 1795374350651)[:45]
    'bl=(9000),br=(1150),cid="title-7",e=rr,mtp=(1'
    """
    return (
        f'bl=({3_000 * (sn % 9)}),br=(1150),cid="title-{player % 50}",e=rr,mtp=({1_000 + 100 * (sn % 300)}),'
        f'rc=200,sf=h,sid="{player:08x}-2222-4333-8444-555555555555",sn={sn},st=v,sta=p,'
        f'ts={time_ms},ttfb={10 + sn % 40},ttlb={60 + sn % 90},url="https://cdn-a.example/v/{sn}.m4s",v=2'
    )


async def send(port: int, connections: int, batch: int, seconds: float) -> Load:
    """Keep `connections` players busy for `seconds`, each with one request on its way."""
    waits_ms: list[float] = []
    refused = 0
    end_s = time.perf_counter() + seconds

    async def play(player: int) -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sn = 0
        while (began_s := time.perf_counter()) < end_s:
            now_ms = time.time_ns() // 1_000_000
            body = "\n".join(line(player, sn + n, now_ms) for n in range(batch)).encode()
            sn += batch
            writer.write(
                b"POST /v1/cmcd HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/cmcd\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(ACKNOWLEDGED):
                waits_ms.append((time.perf_counter() - began_s) * 1000)
            else:
                refused += 1
                break
        writer.close()

    began_s = time.perf_counter()
    await asyncio.gather(*(play(player) for player in range(connections)))
    took_s = time.perf_counter() - began_s
    waits_ms.sort()
    return Load(
        requests=len(waits_ms),
        records=len(waits_ms) * batch,
        refused=refused,
        seconds=took_s,
        p50_ms=waits_ms[len(waits_ms) // 2] if waits_ms else 0.0,
        p99_ms=waits_ms[int(len(waits_ms) * 0.99)] if waits_ms else 0.0,
    )


def main() -> None:
    """Send, and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    result = asyncio.run(send(given.port, given.connections, given.batch, given.seconds))
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main()
