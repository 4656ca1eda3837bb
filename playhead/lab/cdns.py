"""Three local CDNs that can be told to fail, each at an address of its own and all at one port.

One port, so that a clone of a pathway that names another host alone leads to another CDN. Each request is
remembered with what the player said in it.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from playhead.engine.local_server import free_port

HOSTS = {"cdn-a": "127.0.0.11", "cdn-b": "127.0.0.12", "cdn-c": "127.0.0.13"}
"""Addresses of the loopback interface that need no set-up on Linux."""

CONTENT_TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".ts": "video/mp2t",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
}
SEGMENTS = frozenset({".ts", ".m4s", ".mp4"})
CMCD_HEADERS = ("CMCD-Request", "CMCD-Object", "CMCD-Session", "CMCD-Status")
CHUNK_BYTES = 16_384
NO_LINGER = struct.pack("ii", 1, 0)
"""Of SO_LINGER: closing sends a reset in place of what is left to send."""


class FaultKind(StrEnum):
    """How a CDN fails."""

    STATUS = "status"
    """It answers with a status of failure."""
    SLOW = "slow"
    """It answers late and at a trickle."""
    RESET = "reset"
    """It drops the connection."""
    CORRUPT = "corrupt"
    """It answers with bytes that are not those of the segment."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What one CDN does wrong.

    Args:
        kind: how.
        status: of the answer, where the kind is `STATUS`.
        delay_s: before the first byte, where it is `SLOW`.
        kbps: ... and then no faster than this. Where one segment takes longer than the buffer lasts, who is
            fetching it has to wait for it, wherever he is steered.
        segments_only: playlists are answered well.
    """

    kind: FaultKind
    status: int = 503
    delay_s: float = 1.0
    kbps: float = 600.0
    segments_only: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a CDN saw it."""

    cdn: str
    at_s: float
    """`time.time()`."""
    path: str
    status: int
    """What was answered; 0 where the connection was dropped."""
    cmcd: str = ""
    """Of the query, decoded."""
    cmcd_headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)

    @property
    def is_segment(self) -> bool:
        """Whether media was asked for, not a playlist."""
        return Path(self.path).suffix in SEGMENTS


class LocalCdns:
    """Serves `folder` from each CDN, inside the ``with``.

    The first part of a path is the title's name, and every title is the same media.

    Args:
        folder: the media.
        hosts: name and address of each CDN.
    """

    def __init__(self, folder: Path, hosts: Mapping[str, str] = HOSTS) -> None:
        self.hosts = dict(hosts)
        self.port = free_port()
        self._folder = folder
        self._faults: dict[str, Fault] = {}
        self._requests: list[Request] = []
        self._servers = [_Server((host, self.port), _handler(self, name)) for name, host in hosts.items()]

    def fail(self, cdn: str, fault: Fault | None) -> None:
        """Let `cdn` fail from now on, or be well again."""
        if fault is None:
            self._faults.pop(cdn, None)
        else:
            self._faults[cdn] = fault

    def fault_of(self, cdn: str) -> Fault | None:
        """Return what `cdn` does wrong now."""
        return self._faults.get(cdn)

    @property
    def requests(self) -> list[Request]:
        """All that were asked for so far."""
        return list(self._requests)

    def segments(self, cdn: str | None = None, since_s: float = 0.0) -> list[Request]:
        """Return the requests for media, of one CDN or of all, from `since_s` on."""
        return [
            each
            for each in self.requests
            if each.is_segment and each.at_s >= since_s and cdn in (None, each.cdn)
        ]

    def base_url(self, cdn: str) -> str:
        """Return the template of the titles' folders on `cdn`, as ``[delivery.pathways]`` has it."""
        return f"http://{self.hosts[cdn]}:{self.port}/{{title}}/"

    def settings(self) -> dict[str, str]:
        """Return the variables that tell a gateway of these CDNs."""
        bases = ", ".join(f'"{name}": {{"base_url": "{self.base_url(name)}"}}' for name in self.hosts)
        order = ", ".join(f'"{name}"' for name in self.hosts)
        return {
            "PLAYHEAD_DELIVERY__PATHWAYS": f"{{{bases}}}",
            "PLAYHEAD_DELIVERY__ORDER": f"[{order}]",
        }

    def remember(self, request: Request) -> None:
        """Note one request."""
        self._requests.append(request)

    def find(self, path: str) -> Path | None:
        """Return the file that `path` asks for."""
        parts = [part for part in unquote(path).split("/") if part][1:]
        found = self._folder.joinpath(*parts).resolve()
        return found if found.is_file() and found.is_relative_to(self._folder.resolve()) else None

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of players that went away: they do so whenever they change CDN."""


def _handler(cdns: LocalCdns, name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            at_s = time.time()
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            file = cdns.find(parts.path)
            fault = cdns.fault_of(name)
            if fault is not None and fault.segments_only and Path(parts.path).suffix not in SEGMENTS:
                fault = None
            status = _status(fault, found=file is not None)
            headers = {each: self.headers[each] for each in CMCD_HEADERS if each in self.headers}
            cmcd = query.get("CMCD", "")
            cdns.remember(Request(name, at_s, parts.path, status, cmcd, headers, query))
            if status == 0:
                self._drop()
            elif status != 200 or file is None:
                self._answer(status, "text/plain", b"")
            else:
                self._serve(file, fault)

        def do_OPTIONS(self) -> None:
            self._answer(204, "text/plain", b"")

        def _serve(self, file: Path, fault: Fault | None) -> None:
            body = file.read_bytes()
            if fault is not None and fault.kind is FaultKind.CORRUPT and file.suffix in SEGMENTS:
                body = bytes(each ^ 0xA5 for each in body)
            slow = fault if fault is not None and fault.kind is FaultKind.SLOW else None
            if slow is not None:
                time.sleep(slow.delay_s)
            self._answer(200, CONTENT_TYPES.get(file.suffix, "application/octet-stream"), body, slow)

        def _answer(self, status: int, content_type: str, body: bytes, slow: Fault | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header(
                "Access-Control-Allow-Headers", ", ".join((*CMCD_HEADERS, "Content-Type", "Range"))
            )
            self.send_header("Access-Control-Max-Age", "600")
            self.send_header("Timing-Allow-Origin", "*")
            self.send_header("Cache-Control", "no-store")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for at in range(0, len(body), CHUNK_BYTES):
                self.wfile.write(body[at : at + CHUNK_BYTES])
                if slow is not None:
                    time.sleep(8 * CHUNK_BYTES / (1_000 * slow.kbps))

        def _drop(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self.close_connection = True
            self.connection.close()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: requests are remembered."""

    return Handler


def _status(fault: Fault | None, *, found: bool) -> int:
    if fault is not None and fault.kind is FaultKind.STATUS:
        return fault.status
    if fault is not None and fault.kind is FaultKind.RESET:
        return 0
    return 200 if found else 404


def cdns_of(requests: Iterable[Request]) -> list[str]:
    """Return the CDNs in the order in which they were asked, each run of one told once.

    >>> seen = [Request(cdn, 0.0, "/t/v0.ts", 200) for cdn in ("cdn-a", "cdn-a", "cdn-b")]
    >>> cdns_of(seen)
    ['cdn-a', 'cdn-b']
    """
    runs: list[str] = []
    for request in requests:
        if not runs or runs[-1] != request.cdn:
            runs.append(request.cdn)
    return runs
