"""A playback start over HTTP: which node serves, how long it will take, and the manifests with steering.

``POST /v1/play`` tells all of it. ``GET /v1/manifest/{title}.m3u8`` and ``.mpd`` are the manifests; a player
may begin with one of them as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple
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
from topics.delivery import Delivery, Rendition

PREFIX = "/v1/manifest"
TAGS = ["delivery"]
NOT_FOUND, UNREAD = 404, 503
NOT_READ = "the catalogue is not read to its end yet"

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
    missing: dict[Protocol, str]
    """Why there is no manifest, by `hls` and `dash`; empty where there are both."""
    steering: str


class Absence(BaseModel):
    """Why there is nothing to be played, and what is to be done about it."""

    error: str
    do: str


class _Offer(NamedTuple):
    """What a manifest names."""

    pathways: dict[str, str]
    """Folders by CDN, best first."""
    renditions: list[Rendition]
    delivery: Delivery
    span: float | dash_manifest.Live | None
    """How long it lasts, as DASH is to know it; None: as HLS."""


class Starts:
    """Answers starts.

    Args:
        polls: decides the order of CDNs.
        endpoint: signs what players come back with.
        title_of: the catalogue's record of a title.
        nodes: the newest report of each node.
        catalogue_read: whether all of it has been read; until then a title may be there all the same.
    """

    def __init__(
        self,
        settings: Settings,
        polls: Polls,
        endpoint: SteeringEndpoint,
        title_of: Callable[[str], Title | None],
        nodes: Callable[[], Iterable[NodeReport]],
        catalogue_read: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._polls = polls
        self._endpoint = endpoint
        self._title_of = title_of
        self._nodes = nodes
        self._catalogue_read = catalogue_read
        self._table: NodeTable | None = None
        self._table_at_s = 0.0
        self.router = APIRouter(tags=list(TAGS))
        absent: dict[int | str, dict[str, Any]] = {
            NOT_FOUND: {"model": Absence, "description": "The title, or this manifest of it, is not there"}
        }
        unread: dict[int | str, dict[str, Any]] = {
            UNREAD: {"model": Absence, "description": "The catalogue is not read yet: ask again"}
        }
        self.router.add_api_route(
            "/v1/play", self.play, methods=["POST"], response_model=PlayAnswer, responses=absent
        )
        for ending, answer in ((".m3u8", self.hls), (".mpd", self.dash)):
            path = f"{PREFIX}/{{title:path}}{ending}"  # titles may have slashes
            self.router.add_api_route(path, answer, methods=["GET"], responses=absent | unread)
            self.router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)

    async def play(self, request: Request, asked: Play, response: Response) -> PlayAnswer | Response:
        """Tell node, backups, startup time and manifests for one viewer."""
        if self._catalogue_read() and self._title_of(asked.title) is None:
            return _absent(_unknown(asked.title))
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
        device = asked.device or state.cell.get("device", "")
        offers = {
            protocol: self._offer(asked.title, protocol, device, asked.connection_kbps, told.order)
            for protocol in Protocol
        }
        missing = {protocol: offer for protocol, offer in offers.items() if isinstance(offer, str)}
        return PlayAnswer(
            node=PlayNode(node=found.node, cdn=table.cdn_of(found.node)) if found else None,
            backups=[PlayNode(node=name, cdn=table.cdn_of(name)) for name in found.backups] if found else [],
            startup_ms=round(found.startup_ms, 1) if found else None,
            order=told.order,
            hls=None if Protocol.HLS in missing else f"{manifest}.m3u8?{query}",
            dash=None if Protocol.DASH in missing else f"{manifest}.mpd?{query}",
            missing=missing,
            steering=self._endpoint.uri(told.state, request.scope),
        )

    async def hls(self, request: Request, title: TitleName, asked: Annotated[Asked, Query()]) -> Response:
        """Return the multivariant playlist of HLS, with content steering."""
        return self._manifest(request, title, asked, Protocol.HLS)

    async def dash(self, request: Request, title: TitleName, asked: Annotated[Asked, Query()]) -> Response:
        """Return the MPD of DASH, with content steering."""
        return self._manifest(request, title, asked, Protocol.DASH)

    def _manifest(self, request: Request, title: str, asked: Asked, protocol: Protocol) -> Response:
        said = {"isp": asked.isp, "region": asked.region, "device": asked.device}
        begun = self._endpoint.begun(title, protocol, asked.viewer, said, asked.state, request.scope)
        told = self._polls.answer(begun, genuine=True, now_ms=_now_ms(), load=0)
        device = asked.device or begun.cell.get("device", "")
        offer = self._offer(title, protocol, device, asked.connection_kbps, told.order)
        if isinstance(offer, str):
            return _absent(offer)
        pathways, renditions, delivery, span = offer
        steering_uri = self._endpoint.uri(told.state, request.scope)
        if span is None:
            content_type = hls_manifest.CONTENT_TYPE
            text = hls_manifest.multivariant(pathways, renditions, delivery.audio, steering_uri)
        else:
            content_type = dash_manifest.CONTENT_TYPE
            text = dash_manifest.presentation(pathways, renditions, delivery, span, steering_uri)
        age_s = self._settings.delivery.manifest_max_age_s
        caching = f"public, max-age={age_s}" if age_s else "no-store"
        return Response(text, media_type=content_type, headers={"Cache-Control": caching})

    def _offer(
        self, name: str, protocol: Protocol, device: str, connection_kbps: float | None, order: Iterable[str]
    ) -> _Offer | str:
        """Return what the manifest of a title is to name, or why there is none."""
        read = self._catalogue_read()  # asked before: the title may come with what is read last
        title = self._title_of(name)
        if title is None:
            return _unknown(name) if read else NOT_READ
        if title.delivery is None:
            return f"there is no delivery of {name!r} in the catalogue"
        as_dash = protocol is Protocol.DASH
        span = self._span(title) if as_dash else None
        if as_dash and span is None:
            lacks = "delivery.live_since_ms" if title.live else "duration_s"
            return f"{name!r} has no {lacks}, without which it is there as HLS alone"
        there = [each for each in title.delivery.renditions if (each.dash_media if as_dash else each.hls)]
        audio_kbps = max((each.bitrate_kbps for each in title.delivery.audio), default=0.0)
        offered = ladder(there, self._settings.delivery, device, connection_kbps, audio_kbps)
        if not offered:
            return f"{name!r} has no rendition for this device as {protocol.name}"
        pathways = self._places(order, name)
        if not pathways:
            return f"{name!r} is on clones alone, which manifests do not name"
        return _Offer(pathways, offered, title.delivery, span)

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

    def _fresh_table(self) -> NodeTable:
        """Return the nodes as columns, made anew from time to time: a thousand reports take milliseconds."""
        now_s = time.monotonic()
        if self._table is None or now_s - self._table_at_s >= self._settings.routing.nodes_every_s:
            self._table = NodeTable(self._nodes(), self._settings, _now_ms())
            self._table_at_s = now_s
        return self._table


def _unknown(title: str) -> str:
    return f"there is no title {title!r} in the catalogue"


def _absent(why: str) -> Response:
    status, do = NOT_FOUND, "publish the title with its delivery to the topic catalogue"
    if why == NOT_READ:
        status, do = UNREAD, "ask again: the title may be there"
    return JSONResponse({"error": why, "do": do}, status_code=status, headers={"Cache-Control": "no-store"})


def _now_ms() -> int:
    return int(1_000 * time.time())
