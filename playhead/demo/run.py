"""One run of the demo: topics of its own, a worker with all agents, recordings fed, the loop followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from config import Settings
from playhead.brokers import client_config, kafka_errors, producer_config
from playhead.bulk_sender import BulkSender
from playhead.cache import MEMORY_URL
from playhead.clock import WallClock
from playhead.demo.data import Incident, Series
from playhead.demo.drawing import Frame
from playhead.demo.feed import ChannelSource, Feeder, Schedule, Span
from playhead.demo.gauge import COUNT_EVERY_S, Gauge
from playhead.demo.leash import Leash
from playhead.demo.narrate import narrate
from playhead.demo.programme import Programme, plan
from playhead.demo.score import Count, Result, score
from playhead.demo.screen import Screen
from playhead.demo.story import FOLLOWED, Story, Told
from playhead.demo.traffic import Nodes, actions, reference_data, samples, segments
from playhead.demo.viewers import Answers, Origin
from playhead.engine.broker import Services
from playhead.log_reader import time_ms
from playhead.tail import Tail
from playhead.topics_admin import TopicsAdmin, wanted
from playhead.worker_process import WorkerProcess
from topics import ALL, PLAYBACK, SEGMENTS, TELEMETRY, VIEWING
from topics.errors import PlayheadError
from topics.spec import AnySpec
from topics.steering import SteeringAnswer

READERS = {
    PLAYBACK.name: "playback",
    TELEMETRY.name: "telemetry",
    SEGMENTS.name: "segments",
    VIEWING.name: "preferences",
}
"""The agent whose counts tell what became of a topic's events."""

ABOUT = (
    "Recordings are replayed as they are, but for viewers whose players obey the steering. After its "
    "recording a channel goes on in simulation, drawn from its own minutes. Nodes, segments and actions are "
    "made up."
)

READ_WAIT_S = 0.05
READ_MOST = 1_000


class StoppedError(PlayheadError):
    """The demo was stopped before its end."""

    exit_code = 130


class NotFedError(PlayheadError):
    """The broker did not take what was fed."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Recordings:
    """What is replayed."""

    incidents: Sequence[Incident]
    series: Sequence[Series]


class Run:
    """One run.

    Args:
        settings: with the prefix of the run's topics.
        services: Kafka and Redis, which are up.
        folder: for the worker's log.
        stopped: asked all the time; once true the run ends.
    """

    def __init__(
        self,
        settings: Settings,
        recordings: Recordings,
        services: Services,
        folder: Path,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings.model_copy(update={"brokers": services.brokers})
        self._demo = settings.demo
        self._services = services
        self._folder = folder
        self._stopped = stopped
        self._recordings = recordings
        self._services_of_series = frozenset(each.service for each in recordings.series)
        self._story = Story()
        self._answers = Answers()

    def go(self, screen: Screen, *, keep: bool = False, until_s: float | None = None) -> Result:
        """Run it, show it on `screen`, and return what it has shown.

        Args:
            keep: whether the topics stay.
            until_s: when feeding is to be over, on the monotonic clock; on a machine so busy that little time
                is left by then, fewer incidents are replayed.

        Raises:
            StoppedError: it was stopped before its end.
            WorkerFailedError: the agents did not start.
            NotFedError: the broker did not take all that was fed.
        """
        prefix = self._settings.prefix
        screen.say(ABOUT)
        with self._topics(keep=keep):
            sender = BulkSender(producer_config(self._settings), screen.say, linger_ms=5)
            for emission in reference_data(int(time.time() * 1_000), self._demo):
                spec, record = emission
                sender.send(spec.full_name(prefix), spec.encode(record), emission.key.encode())
            sender.flush()
            log = self._folder / f"{prefix}worker.log"
            screen.say(f"topics {prefix}* are made; starting a worker with all agents, log {log}")
            with WorkerProcess(log, self.worker_settings()) as worker:
                worker.wait_until_ready(self._demo.ready_timeout_s, self._stopped)
                on = self._programme(None if until_s is None else until_s - time.monotonic(), screen)
                return self._follow(on, screen, sender, worker)

    def _programme(self, within_s: float | None, screen: Screen) -> Programme:
        incidents = self._recordings.incidents
        on = plan(incidents, int(time.time() * 1_000), self._answers, self._demo, within_s)
        if len(on.channels) < len(incidents):
            shown = f"the first {len(on.channels)} of {len(incidents)} incidents"
            screen.say(f"this machine is busy: {shown} are replayed, so that the demo ends in time")
        return on

    def _follow(self, on: Programme, screen: Screen, sender: BulkSender, worker: WorkerProcess) -> Result:
        """Feed in a thread, and show what comes of it until all is quiet."""
        ending = Event()
        rate_per_s = sum(on.beats) / on.feed_s
        leash = Leash(self._demo.most_behind_s * rate_per_s, self._demo.settle_s, WallClock())
        feeder = self._feeder(on, sender, leash)
        counted_s = 0.0
        names = {spec.full_name(self._settings.prefix): spec for spec in FOLLOWED}
        gauge = Gauge()
        with (
            Tail(client_config(self._settings), list(names), "beginning", screen.say) as tail,
            ThreadPoolExecutor(1) as thread,
        ):
            feeding = thread.submit(feeder.run, lambda: ending.is_set() or self._stopped())
            try:
                while not self._stopped():
                    for told in _in_order(tail.read(READ_MOST, READ_WAIT_S), names):
                        self._take(told, on.span, screen)
                        gauge.told()
                    screen.show(self._frame(on, feeder, gauge))
                    if not feeding.done() and time.monotonic() - counted_s >= COUNT_EVERY_S:
                        beats = self._counts(feeder, worker)[PLAYBACK.name]
                        leash.see(beats.sent, beats.processed + beats.dead)
                        counted_s = time.monotonic()
                    if feeding.done():
                        feeding.result()
                        if self._is_over(gauge, feeder, worker):
                            return self._result(on, feeder, sender, worker)
            finally:
                ending.set()
        raise StoppedError("stopped before the end")

    def _feeder(self, on: Programme, sender: BulkSender, leash: Leash) -> Feeder:
        return Feeder(
            [
                Nodes(on.channels, on.span, self._demo),
                *map(ChannelSource, on.channels),
                Schedule(samples(self._recordings.series, on.span)),
                Schedule(segments(on.span, self._demo)),
                Schedule(actions(on.span, self._demo)),
            ],
            on.pace,
            sender,
            WallClock(),
            prefix=self._settings.prefix,
            feed_s=on.feed_s,
            tick_s=self._demo.tick_ms / 1_000,
            waits=lambda: leash.holds,
        )

    def _take(self, told: Told, span: Span, screen: Screen) -> None:
        self._story.take(told)
        if isinstance(told.record, SteeringAnswer):
            self._answers.take(told.record)
        line = narrate(told, self._services_of_series)
        if line is not None:
            screen.tell(line, span)

    def _frame(self, on: Programme, feeder: Feeder, gauge: Gauge) -> Frame:
        gauge.see(sum(feeder.sent.values()))
        return Frame(
            span=on.span,
            event_ms=feeder.event_ms,
            elapsed_s=gauge.elapsed_s,
            sent=dict(feeder.sent),
            rates=list(gauge.rates),
            anomalies=len(self._story.anomalies),
            dead=self._story.dead.total(),
            channels=on.channels,
            loops=self._story.loops(),
        )

    def _is_over(self, gauge: Gauge, feeder: Feeder, worker: WorkerProcess) -> bool:
        """Whether all that was fed is processed and nothing more is told; or nothing moves any more."""
        left = gauge.left(lambda: sum(count.lost for count in self._counts(feeder, worker).values()))
        if gauge.stuck_s > self._demo.settle_s:
            return True
        return not left and min(gauge.quiet_s, gauge.stuck_s) >= self._demo.quiet_s

    def _counts(self, feeder: Feeder, worker: WorkerProcess) -> dict[str, Count]:
        records = worker.records()
        return {
            topic: Count(
                sent=feeder.sent[topic],
                processed=records.get((agent, "processed"), 0),
                dead=records.get((agent, "dead"), 0),
            )
            for topic, agent in READERS.items()
        }

    def _result(self, on: Programme, feeder: Feeder, sender: BulkSender, worker: WorkerProcess) -> Result:
        if sender.failed:
            raise NotFedError(f"Kafka did not take {sender.failed:,} records: {'; '.join(sender.failures)}")
        beats = {
            origin.name.lower(): sum(channel.sent[origin] for channel in on.channels) for origin in Origin
        }
        counts = self._counts(feeder, worker)
        series = self._recordings.series
        return score(self._story, on.labels, series, on.span, counts, beats, feeder.took_s)

    def worker_settings(self) -> dict[str, str]:
        """Return the settings of the worker that differ from those around it."""
        return {
            "PLAYHEAD_BROKERS": self._services.brokers,
            "PLAYHEAD_REDIS_URL": self._services.redis_url or MEMORY_URL,
            "PLAYHEAD_PREFIX": self._settings.prefix,
            "PLAYHEAD_POLICY__RENEW_BEFORE_S": str(self._demo.renew_before_s),
        }

    @contextmanager
    def _topics(self, *, keep: bool) -> Iterator[None]:
        """Make the run's topics, and delete all that carry its prefix when it is over."""
        client = client_config(self._settings)
        engine = self._settings.engine
        TopicsAdmin(client, engine.replication_factor).create(wanted(ALL, self._settings.prefix))
        try:
            yield
        finally:
            if not keep:
                delete_topics(client, self._settings.prefix, self._settings.kafka.request_timeout_s)


def _in_order(messages: Sequence[Message], names: Mapping[str, AnySpec]) -> list[Told]:
    """Return what is told by the broker's time; at one time, causes before their effects."""
    told = []
    for message in messages:
        spec = names[message.topic()]
        told.append(Told(spec, spec.decode(message.value()), time_ms(message)))
    return sorted(told, key=lambda each: (each.broker_ms, FOLLOWED.index(each.spec)))


def delete_topics(client: Mapping[str, Any], prefix: str, timeout_s: float) -> None:
    """Delete every topic and consumer group whose name begins with `prefix`."""
    admin = AdminClient(dict(client))
    with kafka_errors(str(client["bootstrap.servers"])):
        topics = [name for name in admin.list_topics(timeout=timeout_s).topics if name.startswith(prefix)]
        groups = [
            group.group_id
            for group in admin.list_consumer_groups(request_timeout=timeout_s).result().valid
            if group.group_id.startswith(prefix)
        ]
        futures = {
            **(admin.delete_topics(topics, request_timeout=timeout_s) if topics else {}),
            **(admin.delete_consumer_groups(groups, request_timeout=timeout_s) if groups else {}),
        }
        for future in futures.values():
            future.result()
