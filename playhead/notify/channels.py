"""What is to be told to a receiver next, by what it was told last. Nothing here waits or sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.notify import NotifySettings, ReceiverSettings
from models.notices import Notice, concerns, notice_of
from playhead.notify.fields import fields_of
from playhead.notify.signing import IDEMPOTENCY
from playhead.notify.templates import load_template
from topics.deliveries import DeliveryStatus, NoticeDelivery, delivery_key
from topics.fields import derive_id
from topics.incidents import Incident

Told = Callable[[str], NoticeDelivery | None]
"""Returns what was told last, by ``receiver/incident``."""


@dataclass(frozen=True, slots=True)
class Message:
    """A body ready to be posted, and the notices that are told by it."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    notices: list[tuple[Notice, dict[str, str]]] = field(default_factory=list)
    """With the labels an Alertmanager knows each by."""


class Channel(Protocol):
    """One receiver."""

    @property
    def url(self) -> str:
        """Where messages are posted."""

    def next(self, incidents: Iterable[Incident], told: Told, now_ms: int) -> Message | None:
        """Return what is to be told now; told again until `sent` says that it was."""

    def sent(self, message: Message, now_ms: int) -> None:
        """The receiver has taken `message`."""


class WebhookChannel:
    """Tells one notice a message, in the shape of a template.

    Args:
        name: the receiver's.
        receiver: its settings.
        settings: links, and what is history.

    Raises:
        TemplateError: the template cannot be read.
    """

    def __init__(self, name: str, receiver: ReceiverSettings, settings: NotifySettings) -> None:
        self.url = receiver.url
        self._name = name
        self._receiver = receiver
        self._settings = settings
        self._template = load_template(receiver.template)

    def next(self, incidents: Iterable[Incident], told: Told, now_ms: int) -> Message | None:
        """Return the oldest notice that is still to be told."""
        for incident in sorted(incidents, key=lambda each: (each.time_ms, each.incident)):
            notice = due(incident, self._name, self._receiver, told, now_ms, self._settings.max_age_s)
            if notice is not None:
                return self.message(notice)
        return None

    def message(self, notice: Notice) -> Message:
        """Return `notice` as it is posted.

        Raises:
            TemplateError: the template names a field that there is not.
        """
        filled = self._template.fill(fields_of(notice, self._receiver, self._settings))
        headers = {"Content-Type": "application/json", IDEMPOTENCY: notice.id}
        return Message(encoded(filled), headers, [(notice, {})])

    def sent(self, message: Message, now_ms: int) -> None:
        """Nothing is remembered here: what was told is on `deliveries`."""


def due(
    incident: Incident,
    name: str,
    receiver: ReceiverSettings,
    told: Told,
    now_ms: int,
    max_age_s: float,
) -> Notice | None:
    """Return what `receiver` is still to be told of `incident`, or None where that is nothing."""
    notice = notice_of(incident, name) if concerns(incident, receiver) else None
    if notice is None:
        return None
    last = told(delivery_key(name, incident.incident))
    if last is None:
        return notice if now_ms - incident.time_ms <= 1_000 * max_age_s else None
    settled = last.status is not DeliveryStatus.FAILING
    return None if settled and last.notice == notice.id else notice


def delivery(
    name: str,
    told: tuple[Notice, dict[str, str]],
    status: DeliveryStatus,
    attempts: int,
    answer: str,
    now_ms: int,
) -> NoticeDelivery:
    """Return the record of what came of telling a notice."""
    notice, labels = told
    return NoticeDelivery(
        id=derive_id("delivery", notice.id, status, attempts, now_ms),
        time_ms=now_ms,
        delivery=delivery_key(name, notice.incident.incident),
        receiver=name,
        incident=notice.incident.incident,
        notice=notice.id,
        kind=notice.kind,
        status=status,
        attempts=attempts,
        answer=answer,
        labels=labels,
    )


def encoded(value: Any) -> bytes:
    """Return the JSON of `value`, with a line's end: people read it too."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
