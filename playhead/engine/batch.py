"""A batch of one partition's records, as a lane hands it to its processor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from confluent_kafka import Message

from agents import metrics
from agents.dead_letters import dead_letter
from playhead.packing import is_packed, unpack
from topics.emission import Emission
from topics.spec import ENCODING_HEADER, AnySpec


class MessageBatch:
    """Implements `agents.ports.Batch` over confluent-kafka's messages."""

    def __init__(self, agent: str, spec: AnySpec, partition: int, messages: Sequence[Message]) -> None:
        self._agent = agent
        self._spec = spec
        self._messages = messages
        self.topic = spec.name
        self.partition = partition
        self.refused: list[Emission] = []
        self._refused_records: set[int] = set()
        self._processed = 0
        self._late = 0
        self._opened: tuple[int, list[Any]] | None = None
        """The packed record that an event was refused of last, and its events."""

    def __len__(self) -> int:
        return len(self._messages)

    @cached_property
    def keys(self) -> list[bytes | None]:
        """The records' keys."""
        return list(map(Message.key, self._messages))

    @cached_property
    def values(self) -> list[bytes | None]:
        """The records' values."""
        return list(map(Message.value, self._messages))

    @cached_property
    def offsets(self) -> list[int]:
        """The records' offsets, growing."""
        return list(map(Message.offset, self._messages))

    @cached_property
    def times_ms(self) -> list[int]:
        """The broker's times."""
        return [time_ms for _, time_ms in map(Message.timestamp, self._messages)]

    @cached_property
    def packed(self) -> list[bool]:
        """Whether each record carries many events."""
        headers = list(map(Message.headers, self._messages)) if self._spec.packed is not None else [None]
        if headers.count(None) == len(headers):
            return [False] * len(self._messages)
        return list(map(is_packed, headers))

    def refuse(self, index: int, reason: str, packed_index: int | None = None) -> None:
        """Send record `index`, or one event of it, to the dead letters."""
        message = self._messages[index]
        key, value, headers = message.key(), message.value(), message.headers() or []
        if packed_index is None:
            self._refused_records.add(index)
        else:
            # The event alone: a record of thousands must not be copied for each one that it loses.
            event = self._events_of(index)[packed_index]
            key, value = self._spec.key_of(event).encode(), self._spec.encode(event)
            headers = [header for header in headers if header[0] != ENCODING_HEADER]
        self.refused.append(
            dead_letter(
                agent=self._agent,
                topic=self._spec.name,
                partition=self.partition,
                offset=message.offset(),
                time_ms=message.timestamp()[1],
                key=key,
                value=value,
                headers=headers,
                reason=reason,
                packed_index=packed_index,
            )
        )

    def _events_of(self, index: int) -> list[Any]:
        if self._opened is None or self._opened[0] != index:
            self._opened = index, unpack(self._spec, self._messages[index].value())
        return self._opened[1]

    def tally(self, *, processed: int, late: int = 0) -> None:
        """Count the events inside the records, by what became of them."""
        self._processed += processed
        self._late += late

    def report(self) -> None:
        """Put what became of the batch into the metrics, once it is published."""
        dead = len(self._refused_records)
        metrics.RECORDS.labels(self._agent, "dead").inc(dead)
        metrics.RECORDS.labels(self._agent, "processed").inc(len(self) - dead)
        metrics.EVENTS.labels(self._agent, "processed").inc(self._processed)
        metrics.EVENTS.labels(self._agent, "late").inc(self._late)
        metrics.EVENTS.labels(self._agent, "dead").inc(max(len(self.refused) - self._late, 0))
