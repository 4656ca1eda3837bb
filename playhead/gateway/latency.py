"""The latency budget over HTTP: ``GET /v1/latency-budget`` as JSON, ``/latency-budget`` as a page."""

from __future__ import annotations

import asyncio
import time
from html import escape

import msgspec
import structlog
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from models.latency_budget import Budget, budget
from playhead.gateway.parts import Surroundings
from playhead.latency_measured import Measured, measured
from topics.errors import PlayheadError

log = structlog.get_logger(__name__)

STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:left;"
    "border-bottom:1px solid #e3e6ea}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".bar{background:#2a6fb0;height:.6rem}.ok{color:#2e7d5b}.bad{color:#c0392b}"
)


class LatencyPart:
    """Implements `playhead.gateway.parts.Part`."""

    def __init__(self, around: Surroundings) -> None:
        self._settings = around.settings
        self._client = around.client
        self._was: list[Measured] = []
        self._measured_at_s: float | None = None
        self._measuring = asyncio.Lock()
        self.router = APIRouter(tags=["latency"])
        self.router.add_api_route("/v1/latency-budget", self._json)
        self.router.add_api_route("/latency-budget", self._page, response_class=HTMLResponse)

    @property
    def problem(self) -> str:
        """A budget can be told whatever happens: nothing ails it."""
        return ""

    async def start(self) -> None:
        """Begin nothing: it is asked seldom, and measures when it is."""

    async def stop(self) -> None:
        """End nothing."""

    async def _json(self, live: bool = False) -> Response:
        """The budget of the present settings, and what was measured of the incidents on Kafka."""
        found = budget(self._settings, live=live)
        told = {"budget": found, "meets_target": found.meets_target, "measured": await self._newest()}
        return Response(msgspec.json.encode(told), media_type="application/json")

    async def _page(self, live: bool = False) -> HTMLResponse:
        """The same for people."""
        return HTMLResponse(page(budget(self._settings, live=live), await self._newest()))

    async def _newest(self) -> list[Measured]:
        """Return what was measured not long ago; all who ask meanwhile share one reading."""
        async with self._measuring:
            now_s = time.monotonic()
            last_s = self._measured_at_s
            if last_s is None or now_s - last_s >= self._settings.latency.measured_for_s:
                try:
                    self._was = await asyncio.to_thread(measured, self._client, self._settings.prefix)
                except PlayheadError as error:
                    log.warning("latencies not measured", error=str(error))
                self._measured_at_s = time.monotonic()
            return self._was


def page(found: Budget, was: list[Measured]) -> str:
    """Return the budget as a page of HTML."""
    longest_s = max(stage.p99_s for stage in found.stages) or 1.0
    rows = "".join(
        f"<tr><td>{escape(stage.name)}</td><td>{escape(stage.what)}</td>"
        f'<td class="n">{stage.p50_s:.2f}</td><td class="n">{stage.p95_s:.2f}</td>'
        f'<td class="n">{stage.p99_s:.2f}</td><td><code>{escape(stage.setting)}</code></td>'
        '<td style="width:20%">'
        f'<div class="bar" style="width:{100 * stage.p99_s / longest_s:.0f}%"></div></td></tr>'
        for stage in found.stages
    )
    whole = (
        f'<tr><th>whole</th><th>viewers {escape(found.audience)}</th><td class="n">{found.p50_s:.1f}</td>'
        f'<td class="n">{found.p95_s:.1f}</td><td class="n">{found.p99_s:.1f}</td><td></td><td></td></tr>'
    )
    if found.meets_target:
        verdict = f'<p class="ok">The target, p95 {found.target_p95_s:g} s, can be met.</p>'
    else:
        items = "".join(
            f"<li>set <code>{escape(each.setting)}</code> from {each.now:g} to {each.to:g}"
            f"{'' if each.enough else ' (not enough by itself)'}</li>"
            for each in found.advice
        )
        verdict = (
            f'<p class="bad">The target, p95 {found.target_p95_s:g} s, cannot be met:</p><ul>{items}</ul>'
        )
    seen = "".join(
        f"<li>{escape(each.name)}: p50 {each.p50_s:.2f} s, p99 {each.p99_s:.2f} s, of {each.count:,}</li>"
        for each in was
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Latency budget</title>'
        f"<style>{STYLE}</style><h1>From a viewer's stall to that viewer's move</h1>{verdict}"
        "<table><tr><th>stage</th><th>what</th><th>p50, s</th><th>p95</th><th>p99</th><th>set by</th>"
        f"<th></th></tr>{rows}{whole}</table>"
        f"<h2>Measured</h2><ul>{seen or '<li>no incident yet</li>'}</ul></html>"
    )
