"""All wiring of the gateway: which parts there are, and the application that serves them.

The gateway is stateless: what it answers comes from compacted topics, what it takes goes to topics. Any
number of instances may stand behind one address. Importing this module starts nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from config import Settings
from playhead.gateway import cmcd
from playhead.gateway.alerts import Alerts
from playhead.gateway.arrived import Shortcuts
from playhead.gateway.cors import AnyOrigin
from playhead.gateway.latency import LatencyPart
from playhead.gateway.parts import Part, Surroundings
from playhead.gateway.steering import SteeringPart
from topics.errors import PlayheadError

PARTS: dict[str, Callable[[Surroundings], Part]] = {
    # players ─▶ cmcd, playback
    "cmcd": cmcd.make,
    # steering, catalogue ─▶ the order of CDNs that players go by
    "steering": SteeringPart,
    # an Alertmanager's alerts ─▶ anomalies
    "alerts": Alerts,
    # settings, incidents ─▶ the latency budget
    "latency": LatencyPart,
}
FOR_PLAYERS = ("/v1/cmcd", "/v1/beats", "/v1/steer", "/v1/play", "/v1/manifest/")
"""What the paths begin with that players ask from web pages."""


class UnknownPartError(PlayheadError):
    """A part was asked for that does not exist."""

    exit_code = 2


def build(settings: Settings, client: Mapping[str, Any], names: Sequence[str] = ()) -> FastAPI:
    """Return the application of the parts `names`, or of all of them.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.

    Raises:
        UnknownPartError: a name that is none of `PARTS`.
    """
    for name in names:
        if name not in PARTS:
            raise UnknownPartError(f"there is no part {name!r} of the gateway; there are {', '.join(PARTS)}")
    around = Surroundings(settings, client)
    return assemble({name: make(around) for name, make in PARTS.items() if not names or name in names})


def assemble(parts: Mapping[str, Part]) -> FastAPI:
    """Return the application that serves `parts`, and starts and stops them with itself."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in parts.values():
                await part.start()
                stack.push_async_callback(part.stop)
            yield

    app = FastAPI(title="Playhead gateway", lifespan=lifespan)
    for part in parts.values():
        app.include_router(part.router)
    # A part may answer some of its routes before they are looked for.
    shortcuts = {
        name: answer for part in parts.values() for name, answer in getattr(part, "shortcuts", {}).items()
    }
    if shortcuts:
        app.add_middleware(Shortcuts, table=shortcuts)
    app.add_middleware(AnyOrigin, paths=FOR_PLAYERS)  # outermost: refusals are to be read by pages as well

    @app.get("/healthz", tags=["health"])
    async def healthz() -> JSONResponse:
        """Whether the process is alive."""
        return JSONResponse({"ok": True})

    @app.get("/readyz", tags=["health"])
    async def readyz() -> JSONResponse:
        """Whether all parts can serve well; 503 with the reasons where one cannot."""
        problems = {name: part.problem for name, part in parts.items() if part.problem}
        return JSONResponse({"ok": not problems, "problems": problems}, status_code=503 if problems else 200)

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        """All metrics, for Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app
