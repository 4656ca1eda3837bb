"""A batch of one partition's records, as a lane hands it to its processor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from confluent_kafka import Message

from agents import metrics
from agents.dead_letters import dead_letter
from topics.emission import Emission
from topics.spec import ENCODING_HEADER, PACKED, AnySpec


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

    def __len__(self) -> int:
        return len(self._messages)

    @cached_property
    def keys(self) -> list[bytes | None]:
        """The records' keys."""
        return [message.key() for message in self._messages]

    @cached_property
    def values(self) -> list[bytes | None]:
        """The records' values."""
        return [message.value() for message in self._messages]

    @cached_property
    def offsets(self) -> list[int]:
        """The records' offsets, growing."""
        return [message.offset() for message in self._messages]

    @cached_property
    def times_ms(self) -> list[int]:
        """The broker's times."""
        return [message.timestamp()[1] for message in self._messages]

    @cached_property
    def packed(self) -> list[bool]:
        """Whether each record carries many events."""
        if self._spec.packed is None:
            return [False] * len(self._messages)
        return [_is_packed(message) for message in self._messages]

    def refuse(self, index: int, reason: str, packed_index: int | None = None) -> None:
        """Send record `index`, or one event of it, to the dead letters."""
        message = self._messages[index]
        if packed_index is None:
            self._refused_records.add(index)
        self.refused.append(
            dead_letter(
                agent=self._agent,
                topic=self._spec.name,
                partition=self.partition,
                offset=message.offset(),
                time_ms=message.timestamp()[1],
                key=message.key(),
                value=message.value(),
                headers=message.headers() or (),
                reason=reason,
                packed_index=packed_index,
            )
        )

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
        metrics.EVENTS.labels(self._agent, "dead").inc(len(self.refused) - self._late)


def _is_packed(message: Message) -> bool:
    headers = message.headers()
    return bool(headers) and any(
        name == ENCODING_HEADER and value == PACKED.encode() for name, value in headers
    )
