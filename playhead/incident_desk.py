"""What a person does at the desk: see the incidents, say what is to become of them, see what came of it.

PlayheadError
└── DeskError          what was asked for is not there, or is not clear; exit code 2
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, TypeVar

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from playhead.brokers import broker_error, kafka_errors
from playhead.log_reader import read_to_end
from playhead.newest import newest
from topics import COMMANDS, DELIVERIES, INCIDENTS, OPERATOR_ACTIONS, OUTCOMES, SILENCES, ContractError
from topics.commands import Command, Outcome
from topics.deliveries import NoticeDelivery
from topics.errors import PlayheadError
from topics.fields import Cell, Record
from topics.incidents import Incident, IncidentState
from topics.operator import OperatorAction, OperatorVerb
from topics.silences import Silence
from topics.spec import AnySpec

T = TypeVar("T")

LOOK_AGAIN_S = 0.2


class DeskError(PlayheadError):
    """What was asked for is not there, or is not clear."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Story:
    """All that the topics know of one incident."""

    incident: Incident
    parts: list[Incident]
    """Incidents that are parts of it."""
    commands: list[Command]
    outcomes: list[Outcome]
    actions: list[OperatorAction]
    silences: list[Silence]
    """Those about this incident alone, and the one that holds for it now."""
    deliveries: list[NoticeDelivery]
    """What each receiver was told last."""


class Desk:
    """Reads the incidents, and writes what people do about them.

    Args:
        client: settings of a Kafka client, with ``bootstrap.servers``.
        producer: settings of a producer whose keys land where Faust looks for them.
        prefix: of all topics of this run.
    """

    def __init__(self, client: Mapping[str, Any], producer: Mapping[str, Any], prefix: str) -> None:
        self._client = client
        self._producer = producer
        self._prefix = prefix

    # -- reading ------------------------------------------------------------------------------------------

    def incidents(self) -> dict[str, Incident]:
        """Return every incident, by id."""
        return newest(self._client, self._prefix, INCIDENTS)

    def silences(self) -> dict[str, Silence]:
        """Return every silence, by id."""
        return newest(self._client, self._prefix, SILENCES)

    def incident(self, beginning: str) -> Incident:
        """Return the incident whose id begins with `beginning`.

        Raises:
            DeskError: there is none, or several.
        """
        return named(self.incidents(), beginning, "incident", "playhead incidents --all")

    def silence(self, beginning: str) -> Silence:
        """Return the silence whose id begins with `beginning`.

        Raises:
            DeskError: there is none, or several.
        """
        return named(self.silences(), beginning, "silence", "playhead incidents silences --all")

    def story(self, beginning: str) -> Story:
        """Return all that is known of the incident whose id begins with `beginning`.

        Raises:
            DeskError: there is none, or several.
        """
        incidents = self.incidents()
        incident = named(incidents, beginning, "incident", "playhead incidents --all")
        about = incident.incident
        silences = [
            each
            for each in self.silences().values()
            if each.match.get("incident") == about or each.silence == incident.silenced_by
        ]
        return Story(
            incident,
            [each for each in incidents.values() if each.parent == about],
            self._about(COMMANDS, about),
            self._about(OUTCOMES, about),
            self._about(OPERATOR_ACTIONS, about),
            silences,
            [each for each in self._deliveries() if each.incident == about],
        )

    def _deliveries(self) -> Iterable[NoticeDelivery]:
        return newest(self._client, self._prefix, DELIVERIES).values()

    def _about(self, spec: AnySpec, incident: str) -> list[Any]:
        found = []
        for message in read_to_end(self._client, spec.full_name(self._prefix)):
            # Most records are of other incidents: those are not decoded.
            if message.value() is None or incident.encode() not in message.value():
                continue
            try:
                record = spec.decode(message.value())
            except ContractError:
                continue
            if record.incident == incident:
                found.append(record)
        return sorted(found, key=lambda each: each.time_ms)

    # -- writing ------------------------------------------------------------------------------------------

    def act(
        self, incident: Incident, verb: OperatorVerb, by: str, now_ms: int, **more: Any
    ) -> OperatorAction:
        """Write what `by` does about `incident`, and return it once the broker has it.

        Raises:
            BrokerUnavailableError, BrokerRefusedError: the broker has it not.
        """
        action = OperatorAction(
            id=uuid.uuid4().hex,
            time_ms=now_ms,
            incident=incident.incident,
            subject=incident.subject,
            verb=verb,
            by=by,
            **more,
        )
        self._write(OPERATOR_ACTIONS, action)
        return action

    def hush(self, match: Cell, by: str, now_ms: int, **more: Any) -> Silence:
        """Write a silence, and return it once the broker has it.

        Raises:
            BrokerUnavailableError, BrokerRefusedError: the broker has it not.
        """
        silence = uuid.uuid4().hex[:24]
        record = Silence(id=silence, silence=silence, time_ms=now_ms, match=match, by=by, **more)
        self._write(SILENCES, record)
        return record

    def unhush(self, silence: Silence, by: str) -> Silence:
        """Take `silence` back, and return it as it is then.

        Raises:
            DeskError: it was taken back before.
        """
        if not silence.enabled:
            raise DeskError(f"silence {silence.silence} was taken back already by {silence.ended_by}")
        ended = msgspec.structs.replace(silence, enabled=False, ended_by=by)
        self._write(SILENCES, ended)
        return ended

    def _write(self, spec: AnySpec, record: Record) -> None:
        brokers = str(self._producer["bootstrap.servers"])
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error)

        with kafka_errors(brokers):
            producer = Producer(dict(self._producer))
            producer.produce(
                spec.full_name(self._prefix),
                key=spec.key_of(record).encode(),
                value=spec.encode(record),
                on_delivery=delivered,
            )
            producer.flush()
        if failed:
            raise broker_error(brokers, failed[0])

    def await_change(
        self, incident: Incident, reached: Callable[[Incident], bool], timeout_s: float
    ) -> Incident | None:
        """Return the incident once `reached` is true of it, or None where that takes too long."""
        deadline = monotonic() + timeout_s
        while monotonic() < deadline:
            now = self.incidents().get(incident.incident)
            if now is not None and reached(now):
                return now
            sleep(LOOK_AGAIN_S)
        return None


def named(records: Mapping[str, T], beginning: str, what: str, command: str) -> T:
    """Return the record whose key begins with `beginning`; a whole key before others that go on.

    Raises:
        DeskError: there is none, or several.
    """
    if beginning in records:
        return records[beginning]
    found = sorted(key for key in records if beginning and key.startswith(beginning))
    if not found:
        raise DeskError(f"there is no {what} {beginning!r}: `{command}` lists them")
    if len(found) > 1:
        raise DeskError(f"{beginning!r} begins {len(found)} {what}s, {', '.join(found[:5])}: say more of it")
    return records[found[0]]


def in_order(incidents: Iterable[Incident]) -> list[Incident]:
    """Return incidents as people want to see them: what pages and is worst first, parts under their whole."""
    ranked = sorted(incidents, key=_urgency)
    there = {each.incident for each in ranked}
    parts: dict[str, list[Incident]] = {}
    for each in ranked:
        if each.parent in there:
            parts.setdefault(each.parent, []).append(each)
    ordered: list[Incident] = []
    for each in ranked:
        if each.parent not in there:
            ordered += [each, *parts.get(each.incident, [])]
    return ordered


def _urgency(incident: Incident) -> tuple[bool, bool, int, float, int]:
    return (
        incident.state is IncidentState.RESOLVED,
        not incident.paging,
        -incident.severity,
        -incident.impact_viewers,
        -incident.time_ms,
    )
