"""A playback start over HTTP: which node serves, how long it will take, and the manifests with steering.

``POST /v1/play`` tells all of it. ``GET /v1/manifest/{title}.m3u8`` and ``.mpd`` are the manifests; a player
may begin with one of them as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Annotated, NamedTuple
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from config import Settings
from models import dash_manifest, hls_manifest
from models.ladder import ladder
from models.node_choice import NodeTable, Whereabouts
from models.steering_manifest import place_of
from models.steering_poll import Polls
from models.steering_state import Protocol
from playhead.gateway.steering_endpoint import SteeringEndpoint
from topics.catalogue import Title
from topics.cdn import NodeReport
from topics.delivery import Rendition

PREFIX = "/v1/manifest"
TAGS = ["delivery"]

Text = Annotated[str, Field(max_length=200)]
Label = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9._:-]*$")]
Kbps = Annotated[float, Field(gt=0, le=1e7, description="kb/s, as measured")]
TitleName = Annotated[str, Path(max_length=200)]


class Play(BaseModel):
    """A viewer who wants to watch."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    viewer: Text = ""
    """Pseudonym: viewers of one are steered alike every time; empty: at random."""
    device: Label = ""
    isp: Text = ""
    region: Text = ""
    latitude_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude_deg: Annotated[float, Field(ge=-180, le=180)] | None = None
    connection_kbps: Kbps | None = None


class Asked(BaseModel):
    """What the address of a manifest says of who asks for it."""

    device: Label = ""
    connection_kbps: Kbps | None = None
    viewer: Text = ""
    isp: Text = ""
    region: Text = ""
    state: Annotated[str, Field(max_length=2_000)] = ""


class PlayNode(BaseModel):
    """A cache node and whose it is."""

    node: str
    cdn: str


class PlayAnswer(BaseModel):
    """How the playback is to start."""

    node: PlayNode | None
    """None while no node of the title's CDNs has reported lately: the manifest names CDNs all the same."""
    backups: list[PlayNode]
    startup_ms: float | None
    """Estimate: round trips of the start, and the first buffer at the start's bitrate."""
    order: list[str]
    """CDNs, best first, as the manifests and the first steering answer have them."""
    hls: str | None
    dash: str | None
    steering: str


class _Offer(NamedTuple):
    """What a manifest names."""

    pathways: dict[str, str]
    """Folders by CDN, best first."""
    renditions: list[Rendition]
    steering_uri: str


class Starts:
    """Answers starts.

    Args:
        polls: decides the order of CDNs.
        endpoint: signs what players come back with.
        title_of: the catalogue's record of a title.
        nodes: the newest report of each node.
    """

    def __init__(
        self,
        settings: Settings,
        polls: Polls,
        endpoint: SteeringEndpoint,
        title_of: Callable[[str], Title | None],
        nodes: Callable[[], Iterable[NodeReport]],
    ) -> None:
        self._settings = settings
        self._polls = polls
        self._endpoint = endpoint
        self._title_of = title_of
        self._nodes = nodes
        self._table: NodeTable | None = None
        self._table_at_s = 0.0
        self.router = APIRouter(tags=list(TAGS))
        self.router.add_api_route("/v1/play", self.play, methods=["POST"])
        for ending, answer in ((".m3u8", self.hls), (".mpd", self.dash)):
            path = f"{PREFIX}/{{title}}{ending}"
            self.router.add_api_route(path, answer, methods=["GET"])
            self.router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)

    async def play(self, request: Request, asked: Play, response: Response) -> PlayAnswer:
        """Tell node, backups, startup time and manifests for one viewer."""
        response.headers["Cache-Control"] = "no-store"
        said = {"isp": asked.isp, "region": asked.region, "device": asked.device}
        state = self._endpoint.first_state(asked.title, asked.viewer, Protocol.HLS, said, request.scope)
        told = self._polls.answer(state, genuine=True, now_ms=_now_ms(), load=0)
        throughput_kbps = asked.connection_kbps or self._settings.routing.unmeasured_kbps
        where = Whereabouts(
            asked.latitude_deg,
            asked.longitude_deg,
            isp=state.cell.get("isp", ""),
            region=state.cell.get("region", ""),
        )
        table = self._fresh_table()
        found = table.route(told.order, asked.title, where, throughput_kbps)
        stated = {
            "device": asked.device,
            "connection_kbps": f"{asked.connection_kbps:g}" if asked.connection_kbps else "",
            "state": self._endpoint.signed(state),
        }
        query = urlencode({name: value for name, value in stated.items() if value})
        manifest = f"{PREFIX}/{quote(asked.title, safe='')}"
        title = self._title_of(asked.title)
        delivery = title.delivery if title is not None else None
        renditions = delivery.renditions if delivery is not None else []
        as_dash = title is not None and self._span(title) is not None
        return PlayAnswer(
            node=PlayNode(node=found.node, cdn=table.cdn_of(found.node)) if found else None,
            backups=[PlayNode(node=name, cdn=table.cdn_of(name)) for name in found.backups] if found else [],
            startup_ms=round(found.startup_ms, 1) if found else None,
            order=told.order,
            hls=f"{manifest}.m3u8?{query}" if any(each.hls for each in renditions) else None,
            dash=f"{manifest}.mpd?{query}"
            if as_dash and any(each.dash_media for each in renditions)
            else None,
            steering=self._endpoint.uri(told.state, request.scope),
        )

    async def hls(self, request: Request, title: TitleName, asked: Annotated[Asked, Query()]) -> Response:
        """Return the multivariant playlist of HLS, with content steering."""
        found = self._title_of(title)
        if found is None or found.delivery is None:
            return _absent(f"there is no delivery of {title!r} in the catalogue")
        renditions = [each for each in found.delivery.renditions if each.hls]
        offer = self._offer(request, title, asked, Protocol.HLS, renditions)
        if offer is None:
            return _absent(f"{title!r} has no rendition for this device as HLS")
        text = hls_manifest.multivariant(
            offer.pathways, offer.renditions, found.delivery.audio, offer.steering_uri
        )
        return self._manifest(text, hls_manifest.CONTENT_TYPE)

    async def dash(self, request: Request, title: TitleName, asked: Annotated[Asked, Query()]) -> Response:
        """Return the MPD of DASH, with content steering."""
        found = self._title_of(title)
        if found is None or found.delivery is None:
            return _absent(f"there is no delivery of {title!r} in the catalogue")
        span = self._span(found)
        if span is None:
            lacks = "delivery.live_since_ms" if found.live else "duration_s"
            return _absent(f"{title!r} has no {lacks}, without which it is there as HLS alone")
        renditions = [each for each in found.delivery.renditions if each.dash_media]
        offer = self._offer(request, title, asked, Protocol.DASH, renditions)
        if offer is None:
            return _absent(f"{title!r} has no rendition for this device as DASH")
        text = dash_manifest.presentation(
            offer.pathways, offer.renditions, found.delivery, span, offer.steering_uri
        )
        return self._manifest(text, dash_manifest.CONTENT_TYPE)

    def _offer(
        self, request: Request, title: str, asked: Asked, protocol: Protocol, renditions: list[Rendition]
    ) -> _Offer | None:
        """Return what of a title a manifest is to name, or None where nothing fits the device."""
        said = {"isp": asked.isp, "region": asked.region, "device": asked.device}
        begun = self._endpoint.begun(title, protocol, asked.viewer, said, asked.state, request.scope)
        told = self._polls.answer(begun, genuine=True, now_ms=_now_ms(), load=0)
        device = asked.device or begun.cell.get("device", "")
        offered = ladder(renditions, self._settings.delivery, device, asked.connection_kbps)
        pathways = self._places(told.order, title)
        if not offered or not pathways:
            return None
        return _Offer(pathways, offered, self._endpoint.uri(told.state, request.scope))

    def _span(self, title: Title) -> float | dash_manifest.Live | None:
        """Return how long the title lasts, or what is to be known while it is live; None where neither is."""
        if not title.live:
            return None if title.duration_s is None else float(title.duration_s)
        if title.delivery is None or title.delivery.live_since_ms is None:
            return None
        told = self._settings.delivery
        return dash_manifest.Live(
            title.delivery.live_since_ms, _now_ms(), told.live_window_s, told.live_delay_s, told.live_update_s
        )

    def _places(self, order: Iterable[str], title: str) -> dict[str, str]:
        """Return the folders of the CDNs in `order`; clones are named by steering and not by manifests."""
        known = self._settings.delivery.pathways
        return {name: place_of(known[name], title) for name in order if name in known}

    def _manifest(self, text: str, content_type: str) -> Response:
        age_s = self._settings.delivery.manifest_max_age_s
        caching = f"public, max-age={age_s}" if age_s else "no-store"
        return Response(text, media_type=content_type, headers={"Cache-Control": caching})

    def _fresh_table(self) -> NodeTable:
        """Return the nodes as columns, made anew from time to time: a thousand reports take milliseconds."""
        now_s = time.monotonic()
        if self._table is None or now_s - self._table_at_s >= self._settings.routing.nodes_every_s:
            self._table = NodeTable(self._nodes(), self._settings, _now_ms())
            self._table_at_s = now_s
        return self._table


def _absent(why: str) -> Response:
    return JSONResponse(
        {"error": why, "do": "publish the title with its delivery to the topic catalogue"},
        status_code=404,
    )


def _now_ms() -> int:
    return int(1_000 * time.time())
