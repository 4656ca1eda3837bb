"""Tells receivers of incidents: incidents ─▶ people's tools, and `deliveries` of what came of it.

What a receiver is to have been told follows from `incidents`; what it was told stands on `deliveries`. The
difference is sent, and nothing else is remembered: after a restart nothing is told twice and nothing
forgotten, but for a message that a receiver took just before this process died: that one comes again with
the same idempotency key. Of an incident that changes while a receiver is away only how it then stands is
told. Each receiver has a task of its own, so that one that is away holds no other back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

import httpx
import structlog
from mode import Service

from agents import metrics
from agents.ports import App, Publish, View
from config import Settings
from config.notify import NotifySettings, ReceiverSettings
from models import words
from playhead.notify.alertmanager import AlertmanagerChannel
from playhead.notify.channels import Channel, Message, WebhookChannel, delivery
from playhead.notify.following import OwnedIncidents
from playhead.notify.posting import Answer, post
from playhead.notify.signing import signed
from playhead.when import now_ms
from topics import DELIVERIES
from topics.deliveries import DeliveryStatus, NoticeDelivery
from topics.emission import Emission

log = structlog.get_logger(__name__)


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Tell the receivers that are set of the incidents that page."""
    if settings.notify.receivers:
        app.serve(Notifier(settings, app.client, app.view(DELIVERIES), publish))


def channel_of(name: str, receiver: ReceiverSettings, settings: NotifySettings) -> Channel:
    """Return the channel to a receiver.

    Raises:
        TemplateError: its template cannot be read.
    """
    if receiver.kind == "alertmanager":
        return AlertmanagerChannel(name, receiver, settings)
    return WebhookChannel(name, receiver, settings)


class Notifier(Service):  # type: ignore[misc]
    """Runs a task for each receiver.

    Args:
        settings: the receivers, and how often each is tried.
        client: settings of the Kafka client, with ``bootstrap.servers``.
        deliveries: what was told last.
        publish: the way out for what came of it.
    """

    def __init__(
        self,
        settings: Settings,
        client: Mapping[str, Any],
        deliveries: View[NoticeDelivery],
        publish: Publish,
    ) -> None:
        super().__init__()
        self._settings = settings.notify
        self._deliveries = deliveries
        self._publish = publish
        self._told: dict[str, NoticeDelivery] = {}
        """What this process told, which the view may not have yet."""
        self._channels = {
            name: channel_of(name, receiver, settings.notify)
            for name, receiver in settings.notify.receivers.items()
        }
        self._owned = OwnedIncidents(client, settings.prefix, self._change_soon, self._crash_soon)
        self._client = httpx.AsyncClient()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: dict[str, asyncio.Event] = {}

    async def on_start(self) -> None:
        """Begin to follow incidents, and to tell."""
        self._loop = asyncio.get_running_loop()
        self._changed = {name: asyncio.Event() for name in self._channels}
        self._owned.start()
        for name in self._channels:
            self.add_future(self._tell(name))

    async def on_stop(self) -> None:
        """Leave what is not told to whoever comes next."""
        await self._owned.stop()
        await self._client.aclose()

    def _change_soon(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._change)

    def _change(self) -> None:
        for event in self._changed.values():
            event.set()

    def _crash_soon(self, error: BaseException) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: self.add_future(self.crash(error)))

    # -- one receiver -------------------------------------------------------------------------------------

    async def _tell(self, name: str) -> None:
        """Tell a receiver whatever it is to be told, for as long as this runs."""
        channel, attempts = self._channels[name], 0
        while not self.should_stop:
            message = channel.next(self._owned.values(), self._last_told, now_ms())
            if message is None:
                await self._wait(name)
                continue
            answer = await self._send(name, channel, message)
            attempts = 0 if answer.taken else attempts + 1
            await self._note(name, channel, message, answer, max(attempts, 1))
            if not answer.final:
                await asyncio.sleep(self._pause_s(attempts, answer))

    async def _wait(self, name: str) -> None:
        event = self._changed[name]
        event.clear()
        try:
            await asyncio.wait_for(event.wait(), self._settings.look_every_s)
        except TimeoutError:
            return

    async def _send(self, name: str, channel: Channel, message: Message) -> Answer:
        receiver = self._settings.receivers[name]
        signature = signed(message.body, receiver.secret, int(time.time()))
        headers = {**receiver.headers, **message.headers, **signature}
        answer = await post(self._client, channel.url, message.body, headers, self._settings.timeout_s)
        outcome = "delivered" if answer.taken else "refused" if answer.final else "failed"
        metrics.NOTICES.labels(name, outcome).inc()
        return answer

    async def _note(
        self, name: str, channel: Channel, message: Message, answer: Answer, attempts: int
    ) -> None:
        """Tell what came of it. Of a receiver that is away the first failure is told, not each."""
        status = DeliveryStatus.FAILING
        if answer.final:
            status = DeliveryStatus.DELIVERED if answer.taken else DeliveryStatus.REFUSED
        at_ms, said = now_ms(), words.sentence(answer.said)
        if answer.taken:
            channel.sent(message, at_ms)
        else:
            log.warning("not told", receiver=name, answer=said, attempts=attempts, final=answer.final)
        new = [
            delivery(name, told, status, attempts, said, at_ms)
            for told in message.notices
            if not self._says_the_same(name, told[0].incident.incident, told[0].id, status, told[1])
        ]
        await self._publish([Emission(DELIVERIES, each) for each in new])
        self._told |= {each.delivery: each for each in new}

    def _says_the_same(
        self, name: str, incident: str, notice: str, status: DeliveryStatus, labels: dict[str, str]
    ) -> bool:
        last = self._last_told(f"{name}/{incident}")
        return last is not None and (last.notice, last.status, last.labels) == (notice, status, labels)

    def _last_told(self, key: str) -> NoticeDelivery | None:
        """Return the newer of what this process told and what the topic says; another may have told since."""
        found = [each for each in (self._told.get(key), self._deliveries.get(key)) if each is not None]
        return max(found, key=lambda each: each.time_ms, default=None)

    def _pause_s(self, attempts: int, answer: Answer) -> float:
        """Return how long to leave a receiver alone: doubled each time, and spread a little."""
        first, most = self._settings.backoff_first_s, self._settings.backoff_most_s
        doubled = min(first * 2.0 ** min(attempts - 1, 30), most)
        return max(doubled * random.uniform(0.5, 1.0), min(answer.retry_after_s, most))
