"""Steering, manifests and routing over HTTP: all that decides where a player gets its media.

``GET /v1/steer?asset=…`` is a first poll without state; ``GET /v1/steer/{state}`` is every later one, and the
first where the manifest came from the gateway. ``playhead.gateway.starts`` has how a playback begins.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.routing import Route

from config import Settings
from models.dead_cdns import DeadCdns
from models.steering_audiences import Audiences
from models.steering_poll import Polls
from playhead.engine.folders import data_folder
from playhead.gateway.callers import Callers
from playhead.gateway.following import Following
from playhead.gateway.kept_records import KeptRecords
from playhead.gateway.kept_view import KeptView
from playhead.gateway.parts import Surroundings
from playhead.gateway.poll_log import PollLog
from playhead.gateway.starts import Starts
from playhead.gateway.steering_endpoint import PATH, SteeringEndpoint
from topics import CATALOGUE, CDN_NODES, STEERING
from topics.fields import Record
from topics.spec import TopicSpec
from topics.steering import SteeringAnswer

R = TypeVar("R", bound=Record)


class SteeringPart:
    """Implements `playhead.gateway.parts.Part`."""

    def __init__(self, around: Surroundings) -> None:
        settings = around.settings
        self.audiences = Audiences()
        self._answers = KeptView(
            STEERING, around, _kept(STEERING, settings), changed=self._take, caught_up=self._read_to_the_end
        )
        self._titles = KeptView(CATALOGUE, around, _kept(CATALOGUE, settings))
        # Each node reports every few seconds, and what is a little older serves a start as well.
        self._nodes = KeptView(CDN_NODES, around, _kept(CDN_NODES, settings, appended=False))
        self._views: dict[str, KeptView[Any]] = {
            "answers": self._answers,
            "titles": self._titles,
            "node reports": self._nodes,
        }
        self._following = Following(
            {
                "steering": self._answers.topic,
                "catalogue": self._titles.topic,
                "cdn.nodes": self._nodes.topic,
            },
            settings.steering.heard_within_s,
        )
        self._log = PollLog(around.client, settings.prefix, settings.steering.poll_sample)
        self._dead = DeadCdns(settings)
        self._nodes_every_ms = 1_000 * settings.routing.nodes_every_s
        self._nodes_seen_ms = -math.inf
        polls = Polls(settings, self.audiences, self._titles.get, self._dead_of)
        keys = [key.encode() for key in settings.steering.state_keys] or [secrets.token_bytes(32)]
        self.endpoint = SteeringEndpoint(
            settings.steering,
            polls,
            keys,
            cell_of=Callers(settings.cmcd).cell_of,
            counted_as=settings.delivery.counted_as,
            public_url=settings.delivery.public_url,
            seen=self._log.see,
        )
        starts = Starts(
            settings,
            polls,
            self.endpoint,
            self._titles.get,
            self._nodes.values,
            catalogue_read=lambda: self._titles.topic.ready,
        )
        self.router = APIRouter(
            routes=[
                Route(path, self.endpoint, methods=["GET", "HEAD"], include_in_schema=False)
                for path in (PATH, f"{PATH}/{{state}}")
            ]
        )
        self.router.include_router(starts.router)

    @property
    def problem(self) -> str:
        """Why answers may be old."""
        problem = self._following.problem
        kept = ", ".join(f"{view.from_disk} {name}" for name, view in self._views.items() if view.from_disk)
        return f"{problem}; {kept} kept on disk are served" if problem and kept else problem

    async def start(self) -> None:
        """Take up what was kept on disk, and follow the topics from then on."""
        for view in self._views.values():
            await view.load()
        for answer in self._answers.values():
            self.audiences.take(answer)
        await self._following.start()

    async def stop(self) -> None:
        """Follow no more; what is known stays on disk."""
        await self._following.stop()
        for view in self._views.values():
            await asyncio.to_thread(view.close)
        await asyncio.to_thread(self._log.close)

    def _dead_of(self, group: int, now_ms: int) -> list[str]:
        if now_ms - self._nodes_seen_ms >= self._nodes_every_ms:
            self._dead.see(self._nodes.values(), now_ms)
            self._nodes_seen_ms = now_ms
        return self._dead.of(group, now_ms)

    def _take(self, audience: str, answer: SteeringAnswer | None) -> None:
        if answer is None:
            self.audiences.forget(audience)
        else:
            self.audiences.take(answer)

    def _read_to_the_end(self) -> None:
        """Forget what was on disk and is in the topic no more."""
        for answer in self.audiences.answers():
            if self._answers.get(answer.audience) is None:
                self.audiences.forget(answer.audience)


def _kept(spec: TopicSpec[R], settings: Settings, *, appended: bool = True) -> KeptRecords[R]:
    home = Path(settings.data_dir) if settings.data_dir else data_folder()
    return KeptRecords(
        spec,
        home / "gateway" / f"{spec.full_name(settings.prefix)}.jsonl",
        spare_lines=settings.steering.kept_spare_lines if appended else None,
        every_s=settings.steering.kept_every_s,
    )
