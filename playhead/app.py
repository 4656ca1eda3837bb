"""All wiring: which agents there are, in the order data meets them, and the applications that run them.

Each agent is a Faust application of its own, and so a consumer group of its own: workers may run all of them
or a chosen few, and share the partitions of those they run. Importing this module starts nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.app.base import BootStrategy
from mode import CrashingSupervisor, Service

from agents import (
    cohorts,
    experiments,
    foreign,
    incidents,
    learned,
    metrics,
    playback,
    policy,
    popularity,
    preferences,
    segments,
    sessions,
    telemetry,
    verify,
)
from agents.ports import App, Cache, LaneProcessor, Publish, View
from config import Settings
from playhead.actors import cdn, ingest
from playhead.engine.folders import data_folder
from playhead.engine.lane import Lane
from playhead.engine.view import TopicView
from playhead.notify import notifier
from playhead.publisher import Publisher
from topics.errors import PlayheadError
from topics.spec import AnySpec, TopicSpec

FINISH_TIMEOUT_S = 5.0
FINISH_POLL_S = 0.01

Attach = Callable[[App, Settings, Publish], None]

AGENTS: dict[str, Attach] = {
    # telemetry ─▶ anomalies
    "telemetry": telemetry.attach,
    # telemetry ─▶ telemetry.windows ─▶ anomalies by learned models
    "learned": learned.attach,
    # cmcd ─▶ playback
    "sessions": sessions.attach,
    # playback ─▶ cohorts.parts ─▶ cohorts, anomalies with their causes
    "playback": playback.attach,
    "cohorts": cohorts.attach,
    # ingest.segments ─▶ anomalies
    "segments": segments.attach,
    # alerts of other tools among the anomalies ─▶ spending
    "foreign": foreign.attach,
    # anomalies ─▶ incidents ─▶ people's tools, commands
    "incidents": incidents.attach,
    "notify": notifier.attach,
    "policy": policy.attach,
    # cohorts.parts ─▶ verifications, pulse ─▶ policy
    "verify": verify.attach,
    # commands ─▶ steering, ingest.selection, outcomes
    "cdn": cdn.attach,
    "ingest": ingest.attach,
    # viewing ─▶ popularity, recommendations; experiments.parts ─▶ experiment.results
    "popularity": popularity.attach,
    "preferences": preferences.attach,
    "experiments": experiments.attach,
    "experiment-results": experiments.attach_results,
}


class UnknownAgentError(PlayheadError):
    """An agent was asked for that does not exist."""

    exit_code = 2


class _Boot(BootStrategy):  # type: ignore[misc]
    """Starts views first, then Faust's own services where the agent reads through Faust, then lanes."""

    app: PlayheadApp

    def server(self) -> Iterable[Service]:
        own: Iterable[Service] = super().server() if self.app.agents else ()
        return (*self.app.views, *own, *self.app.lanes, *self.app.served)


class PlayheadApp(faust.App):  # type: ignore[misc]
    """Implements `agents.ports.App`: Faust's application, with hot lanes, views and a cache."""

    BootStrategy = _Boot

    def __init__(
        self, name: str, settings: Settings, client: Mapping[str, Any], cache: Cache, **options: Any
    ) -> None:
        home = Path(settings.data_dir) if settings.data_dir else data_folder()
        super().__init__(
            f"{settings.prefix}playhead.{name}",
            broker=[f"kafka://{address}" for address in client["bootstrap.servers"].split(",")],
            datadir=str(home / "worker" / f"{settings.prefix}{name}"),
            store=settings.engine.store,
            key_serializer="raw",
            value_serializer="raw",
            autodiscover=False,
            web_enabled=False,
            topic_disable_leader=True,
            topic_replication_factor=settings.engine.replication_factor,
            table_standby_replicas=0,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=settings.engine.session_timeout_s,
            broker_heartbeat_interval=settings.engine.session_timeout_s / 4,
            # Faust refuses to begin with a session longer than a request may take.
            broker_request_timeout=max(20.0, settings.engine.session_timeout_s),
            broker_commit_interval=1.0,
            stream_wait_empty=False,
            # An agent that fails has a record it has not taken: to go on without it would be to lose it.
            agent_supervisor=CrashingSupervisor,
            **options,
        )
        self.agent_name = name
        self.cache = cache
        self.lanes: list[Lane] = []
        self.views: list[TopicView[Any]] = []
        self.served: list[Service] = []
        self._measured: set[int] = set()
        self._settings = settings
        self.client = client

    async def on_first_start(self) -> None:
        """Make the folder of the tables; Faust makes no parents."""
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    def _new_consumer(self) -> Any:
        """Return Faust's consumer, made to go back to the committed offsets without losing records.

        After a recovery Faust lets partitions be read, seeks, and then empties the queues: what was read in
        between is emptied out with them, and passed over as read when it comes again. And it leaves the
        partitions of which nothing is committed yet where they are.
        """
        consumer = super()._new_consumer()
        seek = consumer.perform_seek

        async def perform_seek() -> None:
            consumer.stop_flow()
            await seek()
            fresh = [
                place
                for place in consumer.assignment()
                if place.topic not in self.tables.changelog_topics
                and not consumer._committed_offset.get(place)
            ]
            if fresh:
                await consumer.seek_wait(await consumer.earliest_offsets(*fresh))

        consumer.perform_seek = perform_seek
        _ask_again_within(self._settings.engine.agent_fetch_wait_ms, consumer._thread)
        return consumer

    async def _consumer_wait_empty(self, consumer: Any, _: Any) -> None:
        """Let agents finish what they have begun, before partitions are shared out anew and before the end.

        In place of Faust's own, which has no end: with the broker away a record half-way may stay so for
        ever. It is then read again by whoever comes.
        """
        deadline = time.monotonic() + FINISH_TIMEOUT_S
        while consumer.unacked and not self.crashed and time.monotonic() < deadline:
            await asyncio.sleep(FINISH_POLL_S)
        if not self.crashed:
            await consumer.commit()

    def lane(self, name: str, spec: AnySpec, make: Callable[[int, int], LaneProcessor]) -> None:
        """Run `make(partition, partitions)` over each assigned partition of `spec`."""
        self.lanes.append(
            Lane(
                name,
                spec,
                make,
                client=self.client,
                prefix=self._settings.prefix,
                engine=self._settings.engine,
            )
        )

    def view(self, spec: TopicSpec[Any]) -> View[Any]:
        """Follow the compacted topic `spec`."""
        view = TopicView(spec, self.client, self._settings.prefix)
        self.views.append(view)
        return view

    def serve(self, service: Service) -> None:
        """Run `service` beside the agents, after views have caught up."""
        self.served.append(service)

    @property
    def ready(self) -> bool:
        """Whether it knows its partitions and has recovered its tables and views."""
        recovered = not self.agents or (self.started and not self.rebalancing and self._recovered)
        return recovered and all(lane.ready for lane in self.lanes) and all(view.ready for view in self.views)

    @property
    def _recovered(self) -> bool:
        return bool(self.tables.recovery.completed.is_set())

    @property
    def failure(self) -> str | None:
        """Why it crashed, or one of its lanes or views did."""
        services: list[Any] = [self, *self.lanes, *self.views, *self.served]
        return next((repr(each.crash_reason) for each in services if each.crashed), None)

    def measure_lag(self) -> int:
        """Return how many records its lanes have not read and its agents have not committed."""
        ends = self.monitor.tp_end_offsets
        behind: dict[int, int] = {
            place.partition: max((ends.get(place) or 0) - committed, 0)
            for place, committed in self.monitor.tp_committed_offsets.items()
        }
        for partition in self._measured - behind.keys():
            metrics.forget_partition(self.agent_name, partition)
        self._measured = set(behind)
        for partition, records in behind.items():
            metrics.LAG_RECORDS.labels(self.agent_name, partition).set(records)
        return sum(behind.values()) + sum(lane.lag_records for lane in self.lanes)

    def changelogs(self) -> list[tuple[str, int]]:
        """Return name and partitions of the topics that hold the tables' changes."""
        return [(table.changelog_topic.get_topic_name(), table.partitions) for table in self.tables.values()]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The applications of one worker, and what they share."""

    apps: list[PlayheadApp]
    publisher: Publisher


def build(settings: Settings, client: Mapping[str, Any], cache: Cache, names: Sequence[str] = ()) -> Pipeline:
    """Return the applications of the agents `names`, or of all of them, ready to be started.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.

    Raises:
        UnknownAgentError: a name that is none of `AGENTS`.
    """
    for name in names:
        if name not in AGENTS:
            raise UnknownAgentError(f"there is no agent {name!r}; there are {', '.join(AGENTS)}")
    publisher = Publisher(client, settings.prefix)
    apps = []
    for name, attach in AGENTS.items():
        if names and name not in names:
            continue
        app = PlayheadApp(name, settings, client, cache)
        attach(app, settings, publisher)
        apps.append(app)
    return Pipeline(apps, publisher)


def _ask_again_within(wait_ms: int, thread: Any) -> None:
    """Make a consumer's fetches short.

    While a partition's records are being handed over, the next fetch is under way without it. Faust lets the
    broker keep such a fetch for 1.5 s where the other partitions have nothing: as long a record waits that
    comes to the same partition soon after another.
    """
    create = thread._create_worker_consumer

    def create_impatient(transport: Any) -> Any:
        consumer = create(transport)
        consumer._fetch_max_wait_ms = wait_ms
        return consumer

    thread._create_worker_consumer = create_impatient
