"""How a worker is: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever starts and stops it."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from config import Settings
from playhead.app import PlayheadApp


class HealthServer:
    """Serves the worker's state over HTTP.

    `/healthz` answers 200 while no agent has crashed; `/readyz` answers 200 once every agent knows its
    partitions, has recovered its state, and is not further behind than `engine.ready_lag_records`.
    """

    def __init__(self, settings: Settings, apps: Sequence[PlayheadApp]) -> None:
        self._settings = settings
        self._apps = apps
        application = web.Application()
        application.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._health),
                web.get("/readyz", self._readiness),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self) -> int:
        """Listen, and return the port."""
        await self._runner.setup()
        engine = self._settings.engine
        site = web.TCPSite(self._runner, engine.web_host, engine.web_port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _health(self, _: web.Request) -> web.Response:
        return self._answer({app.agent_name: app.failure is None for app in self._apps})

    async def _readiness(self, _: web.Request) -> web.Response:
        most = self._settings.engine.ready_lag_records
        return self._answer({app.agent_name: app.ready and app.measure_lag() <= most for app in self._apps})

    def _answer(self, agents: dict[str, bool]) -> web.Response:
        body = orjson.dumps({"ok": all(agents.values()), "agents": agents})
        return web.Response(
            body=body, status=200 if all(agents.values()) else 503, content_type="application/json"
        )
