"""Sends a sample of the polls to `steering.polls`, and keeps no player waiting for it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException, Producer

from models.steering_poll import Told
from models.steering_reports import poll_record
from models.steering_state import State
from topics import STEERING_POLLS

QUEUED_AT_MOST = 10_000
FLUSH_S = 2.0


class PollLog:
    """Samples polls.

    What cannot be sent is lost: it is a sample, and a player's answer does not wait for Kafka.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        share: of the polls that are recorded.
    """

    def __init__(self, client: Mapping[str, Any], prefix: str, share: float) -> None:
        self._share = share
        self._topic = STEERING_POLLS.full_name(prefix)
        self._producer = (
            Producer(
                {
                    **client,
                    "linger.ms": 100,
                    "compression.type": "lz4",
                    "partitioner": "murmur2_random",
                    "queue.buffering.max.messages": QUEUED_AT_MOST,
                }
            )
            if share > 0
            else None
        )

    def see(self, state: State, told: Told, query: bytes, now_ms: int) -> None:
        """Record the poll, if it is of the sample."""
        if self._producer is None or random.random() >= self._share:
            return
        record = poll_record(state, told, query.decode("latin-1"), now_ms, 1 / self._share)
        key = STEERING_POLLS.key_of(record).encode()
        with suppress(BufferError, KafkaException):
            self._producer.produce(self._topic, key=key, value=STEERING_POLLS.encode(record))
            self._producer.poll(0)

    def close(self) -> None:
        """Send what is waiting, as far as the broker takes it soon."""
        if self._producer is not None:
            self._producer.flush(FLUSH_S)
