"""The state that a player carries from poll to poll in RELOAD-URI, signed, so that any process can answer.

It tells a group of viewers, never a viewer: all of a group share one URI, and a cache in front may answer.
Keys are believed in the order given and the first signs, so that they can be exchanged while players play.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

SIGNATURE_BYTES = 12
MOST_CHARACTERS = 1_500

Word = Annotated[str, msgspec.Meta(max_length=64)]


class Protocol(StrEnum):
    """How the player streams: it decides which clones it can use."""

    HLS = "hls"
    DASH = "dash"


class State(msgspec.Struct, frozen=True, array_like=True, kw_only=True, omit_defaults=True):
    """Who asks, and what was told last."""

    asset: Annotated[str, msgspec.Meta(max_length=200)] = ""
    group: Annotated[int, msgspec.Meta(ge=0)] = 0
    protocol: Protocol = Protocol.HLS
    live: bool = False
    cell: Annotated[dict[Word, Word], msgspec.Meta(max_length=12)] = {}
    said: Annotated[dict[str, int], msgspec.Meta(max_length=8)] = {}
    """Generations of the words that the last answer followed, by audience."""
    order: Annotated[list[Word], msgspec.Meta(max_length=16)] = []
    """... the order it gave ..."""
    time_ms: int = 0
    """... and the event time of the newest of those words."""


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(State)


def signed_state(state: State, keys: Sequence[bytes]) -> str:
    """Return `state` as one segment of a path; the same state makes the same text.

    >>> text = signed_state(State(asset="final", group=17), [b"new"])
    >>> read_state(text, [b"newer", b"new"]) == (State(asset="final", group=17), True)
    True
    """
    body = _ENCODER.encode(state)
    return _text(body + _signature(body, keys[0]))


def read_state(text: str, keys: Sequence[bytes]) -> tuple[State | None, bool]:
    """Return the state in `text`, and whether it is ours; nothing where there is no state in it."""
    if len(text) > MOST_CHARACTERS:
        return None, False
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        state = _DECODER.decode(data[:-SIGNATURE_BYTES])
    except (NotBase64, ValueError, RecursionError, msgspec.MsgspecError):
        return None, False
    body, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
    return state, any(hmac.compare_digest(signature, _signature(body, key)) for key in keys)


def _signature(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:SIGNATURE_BYTES]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
