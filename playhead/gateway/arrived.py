"""A request as the server hands it over, without what a framework makes of it first.

Reports of players are small and come in great number: finding a route, making headers and solving
dependencies costs more than reading them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

Shortcut = tuple[str, str]
"""Method and path."""


class BodyTooLargeError(Exception):
    """The body exceeds its bound."""


class Arrived:
    """One request of HTTP."""

    __slots__ = ("_receive", "headers", "peer", "query")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        """Names in lower case."""
        self.query: bytes = scope["query_string"]
        self.peer: str = scope["client"][0] if scope.get("client") else ""

    def header(self, name: bytes) -> str:
        """Return a header's value, which players write in UTF-8, or "" where it is missing."""
        return self.headers.get(name, b"").decode(errors="replace")

    def parameters(self) -> Mapping[str, str]:
        """Return the query's parameters."""
        return dict(parse_qsl(self.query.decode("latin-1"))) if self.query else {}

    async def body(self, most: int) -> bytes:
        """Return the whole body.

        Raises:
            BodyTooLargeError: it exceeds `most` bytes.
            ClientDisconnect: the client went away before its end.
        """
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > most:
            raise BodyTooLargeError
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message.get("body", b"")
            size += len(part)
            if size > most:
                raise BodyTooLargeError
            parts.append(part)
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Shortcuts:
    """Middleware that answers some requests before any route is looked for.

    Args:
        app: what answers all others.
        table: what answers these.
    """

    def __init__(
        self, app: ASGIApp, table: Mapping[Shortcut, Callable[[Arrived], Awaitable[ASGIApp]]]
    ) -> None:
        self._app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = self._table.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
        else:
            response = await answer(Arrived(scope, receive))
            await response(scope, receive, send)
