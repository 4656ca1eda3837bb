"""Leave for pages of any origin to ask what players ask, whatever the answer is.

Players need more than Starlette's middleware gives: the headers on requests without ``Origin`` too, for a
cache may keep the answer for a page; no ``Vary: Origin``, which would part such caches; and none of it on
the routes of programs.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.cmcd.decoding import HEADERS

NO_CONTENT = 204
ANY_ORIGIN = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After"),
    (b"timing-allow-origin", b"*"),
]
PREFLIGHT = [
    *ANY_ORIGIN,
    (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
    # Browsers of older televisions do not know the asterisk: what players send is named as well.
    (b"access-control-allow-headers", ", ".join(("*", "content-type", *HEADERS)).encode()),
    (b"access-control-max-age", b"86400"),  # no browser remembers it for longer
]


class AnyOrigin:
    """Middleware that answers preflights of some paths, and lets any page read the answers there.

    Args:
        app: what answers.
        paths: what those paths begin with.
    """

    def __init__(self, app: ASGIApp, paths: tuple[str, ...]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith(self._paths):
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": NO_CONTENT, "headers": PREFLIGHT})
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A list of its own: a response that is sent again and again keeps its headers.
                message["headers"] = [*message.get("headers", ()), *ANY_ORIGIN]
            await send(message)

        await self._app(scope, receive, send_readable)
