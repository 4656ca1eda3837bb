"""What the compacted topics say now: the newest record of each key, read once from beginning to end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from playhead.log_reader import read_to_end
from topics.errors import ContractError
from topics.spec import TopicSpec

R = TypeVar("R", bound=msgspec.Struct)


def newest(client: Mapping[str, Any], prefix: str, spec: TopicSpec[R]) -> dict[str, R]:
    """Return the newest record of each key of `spec`. What breaks the contract is passed over.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.

    Raises:
        TopicMissingError, BrokerUnavailableError, BrokerRefusedError: as `read_to_end` does.
    """
    records: dict[str, R] = {}
    for message in read_to_end(client, spec.full_name(prefix)):
        take(records, spec, message)
    return records


def take(records: dict[str, R], spec: TopicSpec[R], message: Any) -> None:
    """Put the record of `message` in its place among `records`; a tombstone takes it away."""
    key = (message.key() or b"").decode(errors="replace")
    if message.value() is None:
        records.pop(key, None)
        return
    try:
        records[key] = spec.decode(message.value())
    except ContractError:
        return  # whoever wrote it was told; the one before it holds
