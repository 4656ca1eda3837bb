"""One message to one receiver over HTTP, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx

NEVER = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Answers that speak against the message itself. A wrong key or address is put right by people, and then the
message is still to be told."""

SHOWN_ANSWER = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a message."""

    taken: bool
    final: bool
    """Whether to try it again is of no use: it was taken, or it never will be."""
    said: str
    retry_after_s: float = 0.0
    """How long the receiver asks to be left alone."""


async def post(
    client: httpx.AsyncClient, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float
) -> Answer:
    """Send `body` and return what came of it; nothing that goes wrong on the way is raised."""
    try:
        answer = await client.post(url, content=body, headers=dict(headers), timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(taken=False, final=False, said=f"{type(error).__name__}: {error}".rstrip(": "))
    said = f"{answer.status_code} {answer.reason_phrase}".strip()
    if answer.is_success:
        return Answer(taken=True, final=True, said=said)
    detail = answer.text[:SHOWN_ANSWER].strip()
    said = f"{said}: {detail}" if detail else said
    if answer.status_code in NEVER:
        return Answer(taken=False, final=True, said=said)
    return Answer(taken=False, final=False, said=said, retry_after_s=_retry_after_s(answer))


def _retry_after_s(answer: httpx.Response) -> float:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isdecimal() else 0.0
