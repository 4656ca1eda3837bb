"""The endpoint that players poll, as plain ASGI.

It answers far more often than all other routes together, and needs none of what a framework does for a route.
Players must get an answer they can use: never 429, never another VERSION, 410 only where the event is over,
nothing of what they sent.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from agents import metrics
from config.steering import SteeringSettings
from models.poll_rate import PollRate
from models.steering_manifest import CONTENT_TYPE
from models.steering_poll import Polls, Told
from models.steering_state import Protocol, State, read_state, signed_state

PATH = "/v1/steer"
OK, GONE = 200, 410
PLAIN_HOST = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
PLAIN_VALUE = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
MOST_QUERY_BYTES = 2_000


class SteeringEndpoint:
    """An ASGI application that answers polls."""

    def __init__(
        self,
        settings: SteeringSettings,
        polls: Polls,
        keys: list[bytes],
        *,
        cell_of: Callable[[Scope], Mapping[str, str]] = lambda scope: {},
        counted_as: Callable[[str], str] = lambda device: device,
        public_url: str = "",
        seen: Callable[[State, Told, bytes, int], None] = lambda state, told, query, now_ms: None,
    ) -> None:
        self._seen = seen
        self._cell_of = cell_of
        self._counted_as = counted_as
        self._public_url = public_url.rstrip("/")
        self._settings = settings
        self._polls = polls
        self._keys = keys
        self._rate = PollRate(settings.load_memory_s)
        self._encoder = msgspec.json.Encoder()

    def signed(self, state: State) -> str:
        """Return `state` as players carry it."""
        return signed_state(state, self._keys)

    def uri(self, state: State, scope: Scope) -> str:
        """Return where a player with `state` polls, absolute: Shaka 5.2 never polls a relative URI again.

        It is of the public address that is set, else of the address that `scope` was asked at.
        """
        return f"{self._public_url or _asked_at(scope)}{PATH}/{self.signed(state)}"

    def first_state(
        self, asset: str, viewer: str, protocol: Protocol, said: Mapping[str, str], scope: Scope
    ) -> State:
        """Return the state of a playback that begins.

        Args:
            viewer: viewers of one name are of one group; empty: of any.
            said: what the caller says of the viewer; of it what may be said of oneself is kept.
            scope: the request, for what it tells by itself where nothing is said.
        """
        known = dict(self._cell_of(scope))
        stated = {**said, "device": self._counted_as(said.get("device", ""))}
        known |= {name: stated[name] for name in self._settings.unsigned_dimensions if stated.get(name)}
        cell = {name: value for name, value in known.items() if PLAIN_VALUE.fullmatch(value)}
        group = self._polls.group_of(viewer or secrets.token_hex(8))
        return State(asset=asset, group=group, protocol=protocol, cell=cell)

    def begun(
        self,
        asset: str,
        protocol: Protocol,
        viewer: str,
        said: Mapping[str, str],
        carried: str,
        scope: Scope,
    ) -> State:
        """Return the state of a playback that begins with a manifest.

        Args:
            carried: a state from `signed`; where it is ours and of the title, it says who watches.
        """
        state, genuine = read_state(carried, self._keys)
        if state is None or not genuine or state.asset != asset:
            return self.first_state(asset, viewer, protocol, said, scope)
        return msgspec.structs.replace(state, protocol=protocol)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one poll."""
        began_s = time.perf_counter()
        state, genuine = self._state(scope)
        if self._polls.has_ended(state.asset):
            await _send(send, GONE, [(b"cache-control", b"no-store")], b"")
            return
        now_s = time.monotonic()
        self._rate.see(now_s)
        load = self._rate.per_s(now_s) / self._settings.polls_per_s_at_most
        now_ms = int(1_000 * time.time())
        told = self._polls.answer(state, genuine=genuine, now_ms=now_ms, load=load)
        manifest = msgspec.structs.replace(told.manifest, reload_uri=self.uri(told.state, scope))
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"cache-control", self._cache_control(manifest.ttl_s, shared=genuine)),
        ]
        body = self._encoder.encode(manifest)
        await _send(send, OK, headers, b"" if scope["method"] == "HEAD" else body, len(body))
        self._seen(state, told, scope["query_string"][:MOST_QUERY_BYTES], now_ms)
        metrics.STEERING_SECONDS.observe(time.perf_counter() - began_s)

    def _state(self, scope: Scope) -> tuple[State, bool]:
        """Return who asks, and whether we say so; where he does, he may say some things of himself."""
        query = scope["query_string"][:MOST_QUERY_BYTES]
        state, genuine = read_state(scope["path_params"].get("state", ""), self._keys)
        if genuine and state is not None:
            return state, True
        said = dict(parse_qsl(query.decode("latin-1")))
        if state is not None:
            # Of a key that is not ours, or no more: who asks is believed as if it were said plainly.
            said = {"asset": state.asset, "protocol": state.protocol, **state.cell, **said}
        dash = said.get("protocol") == Protocol.DASH or b"_DASH_" in query
        protocol = Protocol.DASH if dash else Protocol.HLS
        first = self.first_state(said.get("asset", "")[:200], said.get("viewer", ""), protocol, said, scope)
        if state is None:
            return first, False
        return msgspec.structs.replace(first, group=state.group % self._settings.buckets), False

    def _cache_control(self, ttl_s: int, *, shared: bool) -> bytes:
        """A cache in front may answer a whole group, and never for longer than half of what players wait."""
        most_s = min(self._settings.shared_max_age_s, ttl_s // 2)
        if not (shared and most_s and self._public_url):
            return b"no-store"
        return b"public, max-age=0, s-maxage=%d" % most_s


def _asked_at(scope: Scope) -> str:
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    return f"{scope['scheme']}://{host}" if PLAIN_HOST.fullmatch(host) else ""


async def _send(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, length: int | None = None
) -> None:
    headers = [*headers, (b"content-length", b"%d" % (len(body) if length is None else length))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
