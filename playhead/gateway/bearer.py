"""Keys of the routes that programs call and players do not (RFC 6750)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from fastapi import Depends, HTTPException, Request

SCHEME = "Bearer "


def needs_key(keys: Sequence[str]) -> Any:
    """Return a route's dependency: one of `keys` as a bearer token; without keys everybody may call.

    Example:
        >>> from starlette.requests import Request
        >>> def asked(*headers: tuple[bytes, bytes]) -> Request:
        ...     return Request({"type": "http", "headers": list(headers)})
        >>> check = needs_key(["old", "new"]).dependency
        >>> check(asked((b"authorization", b"Bearer new")))
        >>> check(asked((b"authorization", b"Bearer wrong")))
        Traceback (most recent call last):
        ...
        fastapi.exceptions.HTTPException: 401: this route asks for a key of gateway.keys: ...
    """
    wanted = [key.encode() for key in keys]

    def check(request: Request) -> None:
        if not wanted:
            return
        given = request.headers.get("authorization", "")
        token = given.removeprefix(SCHEME).encode() if given.startswith(SCHEME) else b""
        # Each is compared, in the same time whatever is given: how near a guess was is not told.
        if not any([hmac.compare_digest(token, key) for key in wanted]):  # noqa: C419
            raise HTTPException(
                401,
                "this route asks for a key of gateway.keys: send `Authorization: Bearer KEY`",
                {"WWW-Authenticate": "Bearer"},
            )

    return Depends(check)
