"""Alerts of a Prometheus Alertmanager, by its webhook (version 4): ``POST /v1/alertmanager`` ─▶ anomalies.

An Alertmanager tells a group's alerts again and again: the same alert makes the same record, and whoever
reads takes it once. Alerts that Playhead itself has raised there are passed over, so that no incident feeds
itself.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from models.budget.foreign import may_page
from models.foreign_alerts import anomaly_of, rule_of
from playhead.engine.view import TopicView
from playhead.gateway.bearer import needs_key
from playhead.gateway.following import Following
from playhead.gateway.parts import Surroundings
from playhead.notify.alertmanager import OURS
from playhead.publisher import Publisher, UndeliveredError
from topics import ANOMALIES, SPENDING
from topics.emission import Emission
from topics.fields import MAX_TIME_MS

FIRING, RESOLVED = "firing", "resolved"
SAYS = ("summary", "description", "message")
"""Annotations that tell people what it is, the first that is there."""


class ForeignAlert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of a webhook."""

    status: str
    labels: dict[str, str]
    starts_at: datetime
    fingerprint: str
    annotations: dict[str, str] = {}
    ends_at: datetime | None = None


class Webhook(msgspec.Struct, frozen=True, rename="camel"):
    """What an Alertmanager posts; what else it says of the group is not needed."""

    version: str
    alerts: list[ForeignAlert]


class Alerts:
    """Takes alerts in.

    Args:
        around: where the topics are, and what the dimensions of playback are called.
    """

    def __init__(self, around: Surroundings) -> None:
        self._settings = around.settings
        self._client = around.client
        self._publisher: Publisher | None = None
        self._spending = TopicView(SPENDING, around.client, around.settings.prefix)
        # Where all alerts page it is of no account what they have spent.
        withheld = around.settings.budget.foreign_withheld
        views: dict[str, TopicView[Any]] = {"spending": self._spending} if withheld else {}
        self._following = Following(views, around.settings.steering.heard_within_s)
        self._decoder = msgspec.json.Decoder(Webhook)
        self.router = APIRouter(tags=["alerts"])
        self.router.add_api_route(
            "/v1/alertmanager",
            self.take,
            methods=["POST"],
            dependencies=[needs_key(around.settings.gateway.keys)],
            summary="Take the alerts of an Alertmanager's webhook, version 4.",
        )

    @property
    def problem(self) -> str:
        """Whether it is not known what alerts have spent; else each request says what ails the broker."""
        return self._following.problem

    async def start(self) -> None:
        """Open the way out."""
        self._publisher = Publisher(self._client, self._settings.prefix)
        await self._following.start()

    async def stop(self) -> None:
        """Close it, with all sent."""
        await self._following.stop()
        if self._publisher is not None:
            await asyncio.to_thread(self._publisher.close)

    async def take(self, request: Request) -> JSONResponse:
        """Answer once the broker has all alerts: what was not acknowledged is sent again."""
        try:
            emissions, ours = self._anomalies(await request.body())
        except msgspec.ValidationError as error:
            return _no(422, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _no(400, f"not JSON: {error}")
        assert self._publisher is not None
        try:
            await asyncio.wait_for(self._publisher(emissions), self._settings.kafka.delivery_timeout_s)
        except (TimeoutError, UndeliveredError) as error:
            return _no(503, f"Kafka has not taken them: {error or 'no answer'}; send them again")
        return JSONResponse({"taken": len(emissions), "ours": ours})

    def _anomalies(self, body: bytes) -> tuple[list[Emission], int]:
        webhook = self._decoder.decode(body)
        theirs = [each for each in enumerate(webhook.alerts) if OURS not in each[1].labels]
        emissions = [Emission(ANOMALIES, self._anomaly(index, alert)) for index, alert in theirs]
        return emissions, len(webhook.alerts) - len(theirs)

    def _anomaly(self, index: int, alert: ForeignAlert) -> Any:
        at = f"$.alerts[{index}]"
        if alert.status not in (FIRING, RESOLVED):
            raise msgspec.ValidationError(
                f"Expected `firing` or `resolved`, got {alert.status!r} - at `{at}.status`"
            )
        if not alert.fingerprint:
            raise msgspec.ValidationError(f"Expected a fingerprint, got none - at `{at}.fingerprint`")
        started_ms = _ms(alert.starts_at, f"{at}.startsAt")
        ended_ms = None
        if alert.status == RESOLVED:
            ended_ms = started_ms + 1 if alert.ends_at is None else _ms(alert.ends_at, f"{at}.endsAt")
        said = next((alert.annotations[name] for name in SAYS if alert.annotations.get(name)), "")
        budget = self._settings.budget
        return anomaly_of(
            alert.labels,
            said,
            alert.fingerprint,
            started_ms,
            ended_ms,
            self._settings.qoe.dimensions,
            pages=may_page(rule_of(alert.labels), self._spending.values(), budget, started_ms),
        )


def _ms(moment: datetime, at: str) -> int:
    if moment.tzinfo is None:
        raise msgspec.ValidationError(
            f"Expected a time with its offset, got {moment.isoformat()} - at `{at}`"
        )
    told_ms = round(moment.timestamp() * 1_000)
    if not 0 <= told_ms <= MAX_TIME_MS:
        raise msgspec.ValidationError(
            f"Expected a time from 1970 to 2100, got {moment.isoformat()} - at `{at}`"
        )
    return told_ms


def _no(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status_code=status)
