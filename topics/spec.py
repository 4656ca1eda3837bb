"""What is true of a topic: its name, key, partitions, retention and the type of its values.

A `TopicSpec` knows no app and no broker, so that agents, gateway, tools and tests share the same constant.
Values are JSON (RFC 8259) on the wire: any Kafka tool can read them. Decoding is strict on the fields a
contract names and silent about fields it does not, so that contracts evolve by addition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from topics.errors import ContractError

T = TypeVar("T", bound=msgspec.Struct)

ENCODING_HEADER = "playhead-encoding"
"""Kafka header that names a value encoding other than one JSON record, such as ``packed``."""

PACKED = "packed"
"""A JSON record that carries many events as columns."""

MAX_RECORD_BYTES = 1_000_000
"""Larger values are refused before decoding; it is the broker's own default limit for a record."""


class Cleanup(StrEnum):
    """How Kafka forgets: by age, or by keeping the newest value of each key."""

    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class TopicSpec(Generic[T]):
    """The contract of one stream.

    Example:
        >>> from topics import TELEMETRY
        >>> sample = TELEMETRY.decode(
        ...     b'{"time_ms": 1, "service": "payment", "metric": "error_rate", "value": 0.2, "new": 1}')
        >>> TELEMETRY.key_of(sample)
        'payment/error_rate'
        >>> TELEMETRY.decode(b'{"time_ms": 1, "service": "payment", "metric": "error_rate", "value": "x"}')
        Traceback (most recent call last):
        ...
        topics.errors.ContractError: telemetry: Expected `float`, got `str` - at `$.value`
    """

    name: str
    key: str
    """What the key means, in a word or two."""
    value: type[T]
    key_of: Callable[[T], str]
    describes: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: int = 4
    cleanup: Cleanup = Cleanup.DELETE
    retention_hours: int = 24 * 7
    packed: type[msgspec.Struct] | None = None
    """The record that carries many events, where the topic has one."""
    internal: bool = False
    """True where the records are Playhead's own book-keeping and no one else's business."""
    binary: bool = False
    """MessagePack in place of JSON, for what no person reads."""
    max_bytes: int = MAX_RECORD_BYTES
    _decoder: msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        codec = msgspec.msgpack if self.binary else msgspec.json
        object.__setattr__(self, "_decoder", codec.Decoder(self.value))

    def decode(self, data: bytes | None) -> T:
        """Return the record in `data`.

        Raises:
            ContractError: `data` is absent, too large, no JSON, or lacks or mistypes a field.
        """
        if data is None:
            raise ContractError(self.name, "the value is empty (a tombstone), a record was expected")
        if len(data) > self.max_bytes:
            raise ContractError(self.name, f"{len(data)} bytes exceed the limit of {self.max_bytes}")
        try:
            return self._decoder.decode(data)
        except UnicodeDecodeError as error:
            raise ContractError(self.name, f"a text is no UTF-8: {error.object[:40]!r}") from error
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ContractError(self.name, str(error)) from error

    def encode(self, record: T) -> bytes:
        """Return the bytes of `record`."""
        return msgspec.msgpack.encode(record) if self.binary else msgspec.json.encode(record)

    def full_name(self, prefix: str) -> str:
        """Return the topic's name in a run: all topics of a run share a prefix."""
        return f"{prefix}{self.name}"

    def broker_config(self) -> dict[str, str]:
        """Return the topic settings asked of the broker, in Kafka's words."""
        config: dict[str, str] = {"cleanup.policy": self.cleanup.value}
        if self.cleanup is Cleanup.DELETE:
            config["retention.ms"] = str(self.retention_hours * 3_600_000)
        if self.max_bytes > MAX_RECORD_BYTES:
            config["max.message.bytes"] = str(self.max_bytes)
        return config


AnySpec = TopicSpec[Any]
