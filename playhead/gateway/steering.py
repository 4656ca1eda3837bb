"""Steering, manifests and routing over HTTP: all that decides where a player gets its media.

``GET /v1/steer?asset=…`` is a first poll without state; ``GET /v1/steer/{state}`` is every later one, and the
first where the manifest came from the gateway. ``playhead.gateway.starts`` has how a playback begins.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from fastapi import APIRouter
from starlette.routing import Route

from models.steering_audiences import Audiences
from models.steering_poll import Polls
from playhead.engine.folders import data_folder
from playhead.engine.view import TopicView
from playhead.gateway.callers import Callers
from playhead.gateway.following import Following
from playhead.gateway.kept_records import KeptRecords
from playhead.gateway.parts import Surroundings
from playhead.gateway.poll_log import PollLog
from playhead.gateway.starts import Starts
from playhead.gateway.steering_endpoint import PATH, SteeringEndpoint
from topics import CATALOGUE, CDN_NODES, STEERING
from topics.steering import SteeringAnswer


class SteeringPart:
    """Implements `playhead.gateway.parts.Part`."""

    def __init__(self, around: Surroundings) -> None:
        settings = around.settings
        self.audiences = Audiences()
        home = Path(settings.data_dir) if settings.data_dir else data_folder()
        self._kept = KeptRecords(
            STEERING,
            home / "gateway" / f"{settings.prefix}steering.jsonl",
            settings.steering.kept_spare_lines,
        )
        self._answers = TopicView(
            STEERING, around.client, settings.prefix, changed=self._take, caught_up=self._read_to_the_end
        )
        self._titles = TopicView(CATALOGUE, around.client, settings.prefix)
        self._nodes = TopicView(CDN_NODES, around.client, settings.prefix)
        self._following = Following(
            {"steering": self._answers, "catalogue": self._titles, "cdn.nodes": self._nodes},
            settings.steering.heard_within_s,
        )
        self._from_disk = 0
        self._log = PollLog(around.client, settings.prefix, settings.steering.poll_sample)
        polls = Polls(settings, self.audiences, self._titles.get)
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
            catalogue_read=lambda: self._titles.ready,
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
        if problem and not self._answers.ready and self._from_disk:
            return f"{problem}; {self._from_disk} answers kept on disk are served"
        return problem

    async def start(self) -> None:
        """Take up what was kept on disk, and follow the topics from then on."""
        for answer in self._kept.load().values():
            self.audiences.take(answer)
        self._from_disk = len(self.audiences)
        await self._following.start()

    async def stop(self) -> None:
        """Follow no more; what is known stays on disk."""
        await self._following.stop()
        self._kept.close()
        await asyncio.to_thread(self._log.close)

    def _take(self, audience: str, answer: SteeringAnswer | None) -> None:
        if answer is None:
            self.audiences.forget(audience)
        else:
            self.audiences.take(answer)
        self._kept.add(audience, answer)

    def _read_to_the_end(self) -> None:
        """Forget what was on disk and is in the topic no more."""
        for answer in self.audiences.answers():
            if self._answers.get(answer.audience) is None:
                self.audiences.forget(answer.audience)
        self._kept.whole(self._answers.values)
