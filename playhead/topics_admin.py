"""Topics on the broker: made from their contracts, and held against them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from playhead.brokers import BrokerRefusedError, BrokerUnavailableError, first_answer_s, kafka_errors
from topics.spec import AnySpec

POLL_S = 0.05
NOBODY_IN_SERVICE = "brokers are currently fenced"
"""What a controller says then; it has the same code as for more copies than there are brokers."""

LIMIT = "max.message.bytes"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it is to be on the broker; changelogs and others without a contract are stated like this."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = 0
    """The largest value the topic must take."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the broker's topic is not as wanted, and what to do about it."""

    topic: str
    what: str
    """``missing``, ``partitions``, or the name of a topic setting of Kafka's."""
    wanted: str
    found: str
    remedy: str

    @property
    def settable(self) -> bool:
        """Whether setting it anew on the broker mends it."""
        return self.what not in ("missing", "partitions")

    def __str__(self) -> str:
        if self.what == "missing":
            return f"{self.topic}: is missing; {self.remedy}"
        return f"{self.topic}: {self.what} is {self.found}, the contract says {self.wanted}; {self.remedy}"


def wanted(specs: Iterable[AnySpec], prefix: str) -> list[Wanted]:
    """Return what `specs` want of the broker in the run of `prefix`."""
    return [
        Wanted(spec.full_name(prefix), spec.partitions, spec.broker_config(), spec.max_bytes)
        for spec in specs
    ]


class TopicsAdmin:
    """Makes topics and compares them with what is wanted.

    Every method raises BrokerUnavailableError where the broker does not answer, and BrokerRefusedError where
    it answers with an error.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        replication_factor: copies of each partition.
    """

    def __init__(self, client: Mapping[str, Any], replication_factor: int = 1) -> None:
        self._brokers = str(client["bootstrap.servers"])
        self._admin = AdminClient(dict(client))
        self._replication_factor = replication_factor
        self._first_answer_s = first_answer_s(client)
        self._timeout_s = float(client.get("socket.timeout.ms", 30_000)) / 1000

    def create(self, topics: Sequence[Wanted]) -> list[str]:
        """Make those of `topics` that are not there, wait until clients see them, and return their names.

        Topics that are there stay as they are: `check` tells how they differ.
        """
        there = self._topics()
        new = [topic for topic in topics if topic.name not in there]
        waiting, deadline_s = self._make(new), time.monotonic() + self._timeout_s
        while waiting:
            if time.monotonic() > deadline_s:
                raise BrokerUnavailableError(
                    f"Kafka at {self._brokers} had no broker in service for {self._timeout_s:g} s: see "
                    "`playhead status`"
                )
            time.sleep(POLL_S)
            waiting = self._make(waiting)
        self.wait_until_visible(topics)
        return [topic.name for topic in new]

    def _make(self, topics: Sequence[Wanted]) -> list[Wanted]:
        """Make topics, and return those that no broker was in service for: it has just begun, or was busy."""
        if not topics:
            return []
        futures = self._admin.create_topics(
            [
                NewTopic(
                    topic.name,
                    num_partitions=topic.partitions,
                    replication_factor=self._replication_factor,
                    config=dict(topic.config),
                )
                for topic in topics
            ],
            request_timeout=self._timeout_s,
        )
        return [topic for topic in topics if not self._made(topic.name, futures[topic.name])]

    def wait_until_visible(self, topics: Sequence[Wanted]) -> None:
        """Return once every partition of `topics` has a leader that clients are told of.

        A topic just made is not yet known everywhere; whoever consumes it at once is told that there is none.
        """
        deadline_s = time.monotonic() + self._timeout_s
        while unseen := self._unseen(topics):
            if time.monotonic() > deadline_s:
                raise BrokerUnavailableError(
                    f"Kafka at {self._brokers} shows no leader after {self._timeout_s:g} s for "
                    f"{', '.join(unseen)}: see `playhead topics check`"
                )
            time.sleep(POLL_S)

    def check(self, topics: Sequence[Wanted]) -> list[Difference]:
        """Return how the broker's topics differ from `topics`."""
        there = self._topics()
        found = [topic for topic in topics if topic.name in there]
        settings = self._settings([topic.name for topic in found])
        differences = [
            Difference(topic.name, "missing", "there", "missing", "run `playhead topics create`")
            for topic in topics
            if topic.name not in there
        ]
        for topic in found:
            differences += _partitions(topic, there[topic.name])
            differences += _config(topic, settings[topic.name])
        return differences

    def align(self, topics: Sequence[Wanted]) -> list[Difference]:
        """Set cleanup, retention and size on the broker as `topics` want them; return what that mended."""
        mended = self._settable(topics)
        resources: dict[str, ConfigResource] = {}
        for difference in mended:
            name = difference.topic
            resource = resources.setdefault(name, ConfigResource(ResourceType.TOPIC, name))
            resource.add_incremental_config(
                ConfigEntry(difference.what, difference.wanted, incremental_operation=AlterConfigOpType.SET)
            )
        if resources:
            futures = self._admin.incremental_alter_configs(
                list(resources.values()), request_timeout=self._timeout_s
            )
            with kafka_errors(self._brokers):
                for future in futures.values():
                    future.result()
        # The broker says yes before it goes by the new settings.
        deadline_s = time.monotonic() + self._timeout_s
        while mended and self._settable(topics):
            if time.monotonic() > deadline_s:
                raise BrokerUnavailableError(
                    f"Kafka at {self._brokers} took the settings of {', '.join(resources)} but does not show "
                    f"them after {self._timeout_s:g} s: see `playhead topics check`"
                )
            time.sleep(POLL_S)
        return mended

    def _settable(self, topics: Sequence[Wanted]) -> list[Difference]:
        return [difference for difference in self.check(topics) if difference.settable]

    def _topics(self) -> dict[str, TopicMetadata]:
        with kafka_errors(self._brokers):
            topics: dict[str, TopicMetadata] = self._admin.list_topics(timeout=self._first_answer_s).topics
        return topics

    def _made(self, name: str, future: Future[None]) -> bool:
        try:
            with kafka_errors(self._brokers):
                future.result()
        except BrokerRefusedError as error:
            if error.code == KafkaError.INVALID_REPLICATION_FACTOR and NOBODY_IN_SERVICE in str(error):
                return False
            # Somebody else may have made it at the same moment.
            if error.code != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerRefusedError(f"{name} could not be made. {error}", error.code) from error
        return True

    def _unseen(self, topics: Sequence[Wanted]) -> list[str]:
        there = self._topics()
        return [
            topic.name
            for topic in topics
            if (found := there.get(topic.name)) is None
            or found.error is not None
            or not found.partitions
            or any(partition.leader < 0 for partition in found.partitions.values())
        ]

    def _settings(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        futures = self._admin.describe_configs(
            [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=self._timeout_s
        )
        with kafka_errors(self._brokers):
            return {
                resource.name: {name: entry.value for name, entry in future.result().items()}
                for resource, future in futures.items()
            }


def _partitions(topic: Wanted, found: TopicMetadata) -> list[Difference]:
    count = len(found.partitions)
    if count == topic.partitions:
        return []
    remedy = (
        "keys would move if it were changed: choose another prefix, or delete the topic and create it anew"
    )
    return [Difference(topic.name, "partitions", str(topic.partitions), str(count), remedy)]


def _config(topic: Wanted, found: Mapping[str, str]) -> list[Difference]:
    remedy = "run `playhead topics create --align`"
    differences = [
        Difference(topic.name, name, value, found.get(name, "not set"), remedy)
        for name, value in topic.config.items()
        if name != LIMIT and found.get(name) != value
    ]
    limit = int(found.get(LIMIT, 0))
    if limit < topic.max_bytes:
        asked = topic.config.get(LIMIT, str(topic.max_bytes))
        differences.append(Difference(topic.name, LIMIT, asked, str(limit), remedy))
    return differences
