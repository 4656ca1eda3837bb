"""The gateway's part for players: CMCD reports and JSON beats in, `cmcd` and `playback` out.

A request is answered 204 once what it brought is in the spool: Kafka need not be there. Players survive the
rest: 429 where one address sends too much, 503 where the spool is full, both with Retry-After.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from config.cmcd import CmcdSettings
from models.cmcd.decoding import HEADERS
from playhead.engine.folders import data_folder
from playhead.gateway import cmcd_metrics as metrics
from playhead.gateway.addresses import AddressLimit, TrustedProxies
from playhead.gateway.arrived import Arrived, BodyTooLargeError
from playhead.gateway.bearer import needs_key
from playhead.gateway.cmcd_intake import MAX_NAME_CHARACTERS, BadRequestError, Caller, Intake, TooManyError
from playhead.gateway.commits import Commits
from playhead.gateway.lookups import Lookups, from_settings
from playhead.gateway.parts import Surroundings
from playhead.gateway.sender import Entry, SpoolSender, encode_entries
from playhead.gateway.spool import Spool, SpoolFullError

JSON_TYPES = frozenset({"application/json", "text/json"})

Take = Callable[[bytes, Caller], Iterable[Entry]]


def make(around: Surroundings) -> CmcdPart:
    """Return the part with the lookups that the settings name."""
    return CmcdPart(around, from_settings(around.settings.cmcd))


class CmcdPart:
    """Implements `playhead.gateway.parts.Part`.

    Args:
        around: settings and where Kafka is.
        lookups: of addresses, hosts and user agents.
        now_ms: the wall's time.
    """

    def __init__(
        self,
        around: Surroundings,
        lookups: Lookups,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._around = around
        self._settings: CmcdSettings = around.settings.cmcd
        self._now_ms = now_ms
        self._intake = Intake(self._settings, lookups, around.settings.delivery.counted_as)
        self._proxies = TrustedProxies(self._settings.trusted_proxies)
        self._limit = AddressLimit(
            self._settings.max_requests_per_s_per_address,
            self._settings.burst_per_address,
            self._settings.remembered_addresses,
        )
        self._headers = {"Cache-Control": "no-store"}
        self._turned_away = self._headers | {"Retry-After": str(self._settings.retry_after_s)}
        self._taken = Response(status_code=204, headers=self._headers)
        self._spool: Spool | None = None
        self._sender: SpoolSender | None = None
        self._commits: Commits | None = None
        self._syncing: asyncio.Task[None] | None = None
        self.router = APIRouter(tags=["cmcd"])
        self._add_routes()
        self.shortcuts = {
            ("POST", "/v1/cmcd"): self._take_report,
            ("GET", "/v1/cmcd"): self._take_request,
        }
        """What is answered before routes are looked for: the same as by them, at half the cost."""

    @property
    def problem(self) -> str:
        """Why players will be turned away soon. With Kafka away alone they are not: the spool takes all."""
        if self._spool is None or self._sender is None:
            return ""
        figures = self._settings.spool
        full = self._spool.size_bytes / figures.max_bytes
        if full < figures.problem_share:
            return ""
        return f"the spool is {full:.0%} full: {self._sender.problem or 'Kafka takes less than players send'}"

    async def start(self) -> None:
        """Open the spool and begin to drain it.

        Raises:
            SpoolInUseError: another gateway has it.
        """
        figures, settings = self._settings.spool, self._around.settings
        home = Path(settings.data_dir) if settings.data_dir else data_folder()
        folder = Path(figures.folder) if figures.folder else home / "spool" / f"{settings.prefix}cmcd"
        self._spool = Spool(folder, figures)
        self._sender = SpoolSender(self._spool, self._around.client, settings.prefix, figures)
        self._commits = Commits(
            self._spool,
            wait_s=figures.commit_wait_ms / 1000,
            synced=figures.sync == "always",
            written=self._sender.wake,
        )
        self._sender.start()
        self._tell(self._spool, self._sender)
        self._syncing = asyncio.create_task(self._sync(self._spool))

    async def stop(self) -> None:
        """Let Kafka have what it takes within seconds; the rest stays in the spool."""
        if self._spool is None or self._sender is None or self._syncing is None:
            return
        self._syncing.cancel()
        with suppress(asyncio.CancelledError):
            await self._syncing
        await asyncio.to_thread(self._sender.stop)
        self._spool.close()

    def _tell(self, spool: Spool, sender: SpoolSender) -> None:
        """Let the metrics ask, so that they are never old."""
        metrics.SPOOL_BYTES.set_function(lambda: spool.size_bytes)
        metrics.SPOOL_WAITING_BYTES.set_function(lambda: spool.waiting_bytes)
        metrics.SPOOL_SKIPPED_BYTES.set_function(lambda: spool.skipped_bytes)
        metrics.SPOOL_SENT.set_function(lambda: sender.sent_events)
        metrics.SPOOL_STUCK.set_function(lambda: bool(sender.problem))

    async def _sync(self, spool: Spool) -> None:
        """Have the disk keep what was written, now and then, where that is asked for."""
        figures = self._settings.spool
        while figures.sync == "interval":
            await asyncio.sleep(figures.sync_interval_s)
            with suppress(OSError):
                await asyncio.to_thread(spool.sync)

    # -- routes -------------------------------------------------------------------------------------------

    def _add_routes(self) -> None:
        router = self.router

        @router.post("/v1/cmcd", status_code=204, response_class=Response)
        async def report(request: Request) -> Response:
            """Take reports: events by line, the JSON form of version 1, or a request's own CMCD."""
            return await self._take_report(Arrived(request.scope, request.receive))

        @router.get("/v1/cmcd", status_code=204, response_class=Response)
        async def report_of_request(request: Request) -> Response:
            """Take the CMCD of the query or of the headers."""
            return await self._take_request(Arrived(request.scope, request.receive))

        for_programs = [needs_key(self._around.settings.gateway.keys)]

        @router.post("/v1/cmcd/log", status_code=204, response_class=Response, dependencies=for_programs)
        async def log(request: Request) -> Response:
            """Take lines of a CDN's log: {"url", "received_ms", "headers", "client_ip", "weight"}."""
            return await self._take(Arrived(request.scope, request.receive), self._log)

        @router.post("/v1/beats", status_code=204, response_class=Response)
        async def beats(request: Request) -> Response:
            """Take beats that an application made itself: one, or a list of them."""
            return await self._take(Arrived(request.scope, request.receive), self._intake.beats)

    def _log(self, body: bytes, caller: Caller) -> Iterable[Entry]:
        return self._intake.log_lines(body, caller.received_ms)

    async def _take_report(self, arrived: Arrived) -> Response:
        kind = arrived.header(b"content-type").partition(";")[0].strip().lower()

        def take(body: bytes, caller: Caller) -> Iterable[Entry]:
            if not body.strip():
                return self._of_request(arrived, caller)
            if kind in JSON_TYPES:
                return self._intake.objects(body, caller)
            return self._intake.events(body, caller)

        return await self._take(arrived, take)

    async def _take_request(self, arrived: Arrived) -> Response:
        return await self._take(arrived, lambda _, caller: self._of_request(arrived, caller))

    def _of_request(self, arrived: Arrived, caller: Caller) -> Iterable[Entry]:
        headers = {
            name: arrived.header(name.encode()) for name in HEADERS if name.encode() in arrived.headers
        }
        return self._intake.request(arrived.query.decode("latin-1"), headers, caller)

    async def _take(self, arrived: Arrived, take: Take) -> Response:
        address = self._proxies.client_of(arrived.peer, arrived.header(b"x-forwarded-for"))
        if not self._limit.admits(address):
            return self._turn_away(429)
        try:
            body = await arrived.body(self._settings.max_body_bytes)
            began_s = time.perf_counter()
            await self._keep(list(take(body, self._caller(arrived, address))))
        except BadRequestError as error:
            return self._turn_away(422, msgspec.json.encode({"problems": error.problems}))
        except (TooManyError, BodyTooLargeError):
            return self._turn_away(413)
        except SpoolFullError:
            return self._turn_away(503)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        metrics.ACKNOWLEDGE_SECONDS.observe(time.perf_counter() - began_s)
        return self._taken

    async def _keep(self, entries: list[Entry]) -> None:
        if entries:
            assert self._commits is not None, "the part has not been started"
            await self._commits.put(encode_entries(entries))

    def _turn_away(self, status: int, told: bytes = b"") -> Response:
        metrics.TURNED_AWAY.labels(str(status)).inc()
        headers = self._turned_away if status in {429, 503} else self._headers
        return Response(told, status, headers, media_type="application/json" if told else None)

    def _caller(self, arrived: Arrived, address: str) -> Caller:
        told = arrived.parameters()
        return Caller(
            address=address,
            user_agent=arrived.header(b"user-agent"),
            received_ms=self._now_ms(),
            host=told.get("host", "")[:MAX_NAME_CHARACTERS],
            receiver=told.get("receiver", "")[:MAX_NAME_CHARACTERS],
            weight=_weight(told["weight"]) if "weight" in told else 1.0,
            app_version=told.get("app_version", "")[:MAX_NAME_CHARACTERS],
        )


def _weight(text: str) -> float:
    """Return how many sessions one stands for; what is no such number is 1.

    >>> [_weight(text) for text in ("20", "", "-1", "nan", "inf", "x")]
    [20.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    try:
        weight = float(text)
    except ValueError:
        return 1.0
    return weight if 0 < weight < float("inf") else 1.0
