"""Two million events, twenty killed workers, a broker that goes away twice: nothing lost, nothing doubled.

The same input runs twice, undisturbed and disturbed. Afterwards what people and actors were told is compared
record by record: anomalies and commands by id and content, incidents by their last state, windows of cohorts
by their sums. And every event that came in was judged once, or is a dead letter: the lane's own count of
judged samples is part of its state, so a sample lost or taken twice would show in it.

What goes by the wall clock is left out. Partitions are never called idle: all windows close by event time.
What lapses while nothing is told of an incident is not looked for: whether one pages that was soon over would
depend on how long word of its end took to come. Moves of viewers stay proposals, since moves in earnest live
on leases of the wall clock; the pipeline switch is in earnest.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from delivery_input import MINUTE_MS, Input, Wire, headers_of, make_input
from worker_process import WorkerProcess

from playhead.log_reader import read_to_end
from playhead.topics_admin import TopicsAdmin, wanted
from topics import (
    ALL,
    ANOMALIES,
    BY_NAME,
    COHORT_PARTS,
    COHORTS,
    COMMANDS,
    DEAD_LETTERS,
    INCIDENTS,
    PLAYBACK,
    SEGMENTS,
    SPENDING,
    TELEMETRY,
)
from topics.commands import CommandKind
from topics.incidents import IncidentState
from topics.spec import AnySpec

EVENTS = int(os.environ.get("DELIVERY_EVENTS", "2000000"))
SLICES = 24
KILLS = 20
LANES = ("telemetry", "playback", "cohorts")
KEYED = ("segments", "incidents", "policy", "cdn", "ingest")
CREW = (LANES, LANES, LANES, KEYED, KEYED)
"""What each of the workers runs."""
JOINS = {4: LANES, 13: KEYED}
LEAVES = {9, 18}
OUTAGES = {7: "stop", 16: "kill"}
WAIT_FOR_WORK_S = 30.0
READS: dict[str, AnySpec] = {
    "telemetry": TELEMETRY,
    "playback": PLAYBACK,
    "cohorts": COHORT_PARTS,
    "segments": SEGMENTS,
    "incidents": ANOMALIES,
    "policy": INCIDENTS,
    "cdn": COMMANDS,
    "ingest": COMMANDS,
}
AGENTS = (*LANES, *KEYED)
SETTINGS = {
    "PLAYHEAD_ENGINE__IDLE_AFTER_S": "3600",
    "PLAYHEAD_INCIDENTS__LOOK_EVERY_S": "3600",
    "PLAYHEAD_ENGINE__SESSION_TIMEOUT_S": "3",  # the dead are missed sooner: less time at the gate
}
CALM = {"PLAYHEAD_ENGINE__SESSION_TIMEOUT_S": "20"}
"""Of the run that nobody disturbs: a machine that is busy for seconds must not disturb it either."""
TIMEOUT_S = 240.0
WHERE_IT_RAN = ("origin_ms", "evidence")
"""Fields that tell the way a record took, not what it says."""

Told = dict[str, dict[str, Any]]


class Run:
    """One run of the input under a prefix of its own."""

    def __init__(self, brokers: str, prefix: str, given: Input) -> None:
        self.prefix = prefix
        self.given = given
        self.client = {"bootstrap.servers": brokers, "log_level": 0}
        TopicsAdmin(self.client).create(wanted(ALL, prefix))
        self._producer = Producer(
            {
                **self.client,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 20,
                "compression.type": "lz4",
                "message.timeout.ms": 0,
                "queue.buffering.max.messages": 2_000_000,
                "reconnect.backoff.max.ms": 500,
            }
        )
        self.send(given.before)
        self.flush()

    def send(self, wires: list[Wire]) -> None:
        produce, names = (
            self._producer.produce,
            {spec: spec.full_name(self.prefix) for spec in READS.values()},
        )
        for wire in wires:
            name = names.get(wire.spec) or wire.spec.full_name(self.prefix)
            produce(
                name, wire.value, wire.key, wire.partition, timestamp=wire.time_ms, headers=headers_of(wire)
            )
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(60) == 0

    def values(self, spec: AnySpec) -> Iterator[bytes]:
        return (message.value() for message in read_to_end(self.client, spec.full_name(self.prefix)))

    def told(self) -> Told:
        """Return what was told, by topic and id; of incidents the last state, by incident."""
        told = {spec.name: self._by_id(spec) for spec in (ANOMALIES, COMMANDS, COHORTS)}
        told[INCIDENTS.name] = {}
        for incident in map(INCIDENTS.decode, self.values(INCIDENTS)):
            told[INCIDENTS.name][incident.incident] = _content(incident)
        return told

    def _by_id(self, spec: AnySpec) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for record in map(spec.decode, self.values(spec)):
            content = _content(record)
            assert found.setdefault(record.id, content) == content, f"{record.id} was told in two ways"
        return found

    def written(self, spec: AnySpec) -> int:
        return sum(1 for _ in self.values(spec))

    def said_again(self) -> int:
        """Return how many records were written more than once: what replays after kills have cost."""
        repeated = 0
        for spec in (ANOMALIES, INCIDENTS, COMMANDS, COHORTS, COHORT_PARTS, DEAD_LETTERS):
            ids = [spec.decode(value).id for value in self.values(spec)]
            repeated += len(ids) - len(set(ids))
        return repeated

    def dead(self) -> dict[str, str]:
        """Return the topic of each dead letter, by id."""
        letters = map(DEAD_LETTERS.decode, self.values(DEAD_LETTERS))
        return {letter.id: letter.topic for letter in letters}

    def behind(self) -> int:
        """Return how many records the agents have not committed."""
        return sum(self._behind(agent, spec) for agent, spec in READS.items())

    def _behind(self, agent: str, spec: AnySpec) -> int:
        consumer = Consumer({**self.client, "group.id": f"{self.prefix}playhead.{agent}"})
        try:
            name = spec.full_name(self.prefix)
            places = consumer.committed([TopicPartition(name, n) for n in range(spec.partitions)], 10)
            ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
            return sum(end - max(place.offset, 0) for place, end in zip(places, ends, strict=True))
        finally:
            consumer.close()

    def finish(self, tend: Callable[[], None] = lambda: None) -> None:
        """Close all windows, wait until everything is committed, and then let the lane tell its ledger.

        Args:
            tend: called meanwhile, again and again.
        """
        self.send(self.given.closing)
        self.flush()
        self.wait_until_committed(tend)
        self.send(self.given.ledger)
        self.flush()
        self.wait_until_committed(tend)

    def wait_until_committed(self, tend: Callable[[], None]) -> None:
        """Return once nobody is behind, twice in a row: what one agent commits another has yet to read."""
        deadline, still = time.monotonic() + TIMEOUT_S, 0
        while still < 2:
            tend()
            try:
                behind = self.behind()
            except KafkaException:
                behind = -1
            still = still + 1 if behind == 0 else 0
            assert time.monotonic() < deadline, f"{behind} records are not committed"
            time.sleep(0.5)

    def judged(self) -> int:
        """Return how many samples the lane has judged, by the ledgers it told last."""
        ledgers = map(SPENDING.decode, self.values(SPENDING))
        newest = {each.detector: each for each in ledgers if each.detector.startswith("telemetry/")}
        return sum(each.tests for each in newest.values())


def _content(record: Any) -> Any:
    fields = msgspec.to_builtins(record)
    for name in WHERE_IT_RAN:
        fields.pop(name, None)
    return fields


@pytest.fixture(scope="module")
def given() -> Input:
    start_ms = int(time.time()) // 60 * MINUTE_MS - 30 * MINUTE_MS
    return make_input(EVENTS, SLICES, start_ms)


@pytest.mark.timeout(900)
def test_killed_workers_and_a_lost_broker_change_nothing_that_is_told(
    fault_kafka: Any, given: Input, tmp_path: Path
) -> None:
    began = time.monotonic()
    calm = undisturbed(fault_kafka, given, tmp_path)
    calm_s = time.monotonic() - began
    expected = calm.told()
    assert_everything_happened(expected)

    began = time.monotonic()
    storm = Run(fault_kafka.brokers, "storm.", given)
    disturbances = Disturbances(fault_kafka, storm, tmp_path)
    disturbances.run()
    storm_s = time.monotonic() - began
    found = storm.told()

    report(calm, storm, expected, found, disturbances, calm_s, storm_s)
    for topic, records in expected.items():
        assert found[topic] == records, topic
    dead = storm.dead()
    assert dead == calm.dead()
    assert len(dead) == given.dead
    dead_samples = sum(topic == TELEMETRY.name for topic in dead.values())
    assert storm.judged() + dead_samples == given.events[TELEMETRY.name]
    assert disturbances.kills == KILLS
    assert disturbances.kills_at_work > KILLS // 2, "most kills hit nobody who worked: they prove nothing"
    assert storm.said_again() > 0, "no kill made anybody say anything again: they prove nothing"


def undisturbed(kafka: Any, given: Input, folder: Path) -> Run:
    """Run the input through one worker that nobody touches; each of its counts must be exact."""
    run = Run(kafka.brokers, "calm.", given)
    with WorkerProcess(kafka.brokers, run.prefix, folder, AGENTS, **{**SETTINGS, **CALM}) as worker:
        worker.wait_until_ready(TIMEOUT_S)
        for records in given.slices:
            run.send(records)
        run.flush()
        run.finish()
        for spec in (TELEMETRY, PLAYBACK):
            counts = {
                outcome: worker.metric("playhead_events_total", agent=spec.name, outcome=outcome)
                for outcome in ("processed", "late", "dead")
            }
            assert sum(counts.values()) == given.events[spec.name], (spec.name, counts)
    for spec in (ANOMALIES, INCIDENTS, COMMANDS, DEAD_LETTERS):
        ids = [spec.decode(value).id for value in run.values(spec)]
        assert len(ids) == len(set(ids)), f"{spec.name} told something twice"
    return run


def assert_everything_happened(told: Told) -> None:
    """The comparison would be empty without anomalies, incidents that end, and commands of both kinds."""
    assert len(told[ANOMALIES.name]) > 200
    states = [incident["state"] for incident in told[INCIDENTS.name].values()]
    assert states.count(IncidentState.RESOLVED) > 50
    kinds = {command["kind"] for command in told[COMMANDS.name].values()}
    assert {CommandKind.STEER, CommandKind.FAIL_OVER} <= kinds


class Disturbances:
    """Feeds the input to a few workers while it kills, adds and removes them and takes the broker away.

    A kill is to hurt: it comes at a random moment of the half second after a worker has begun to take a new
    slice in, long before the checkpoint that would make it harmless.
    """

    def __init__(self, kafka: Any, run: Run, folder: Path) -> None:
        self._kafka = kafka
        self._run = run
        self._folder = folder
        self._rng = random.Random(11)
        self._workers: list[WorkerProcess] = []
        self.kills = 0
        self.kills_at_work = 0
        """Kills of workers that were taking records in."""
        self.joins = 0
        self.leaves = 0
        self.outages = 0

    def run(self) -> None:
        try:
            for agents in CREW:
                self._start(agents)
            for worker in self._workers:
                worker.wait_until_ready(TIMEOUT_S)
            for number, records in enumerate(self._run.given.slices):
                taken = self._taken()
                self._run.send(records)
                self._disturb(number, taken)
            self._run.finish(self._tend)
        finally:
            for worker in self._workers:
                worker.stop()

    def _disturb(self, number: int, taken: dict[WorkerProcess, float]) -> None:
        if number in JOINS:
            self._start(JOINS[number])
            self.joins += 1
        if number in LEAVES:
            self._workers.pop(self._rng.randrange(len(self._workers))).stop()
            self.leaves += 1
        if number in OUTAGES:
            self._kafka.stop() if OUTAGES[number] == "stop" else self._kafka.kill()
            time.sleep(self._rng.uniform(0.5, 1.5))
            self._kafka.start()
            self.outages += 1
        elif self.kills < KILLS:
            self._kill(taken)
        self._tend()

    def _tend(self) -> None:
        """Do what a supervisor does for a worker that ends by itself, such as one without a broker."""
        for worker in self._workers:
            if not worker.running:
                worker.start()

    def _kill(self, taken: dict[WorkerProcess, float]) -> None:
        """Kill a worker that has taken more in than it had before, or any where none has."""
        deadline = time.monotonic() + WAIT_FOR_WORK_S
        at_work: list[WorkerProcess] = []
        while not at_work and time.monotonic() < deadline:
            time.sleep(0.05)
            now = self._taken()
            at_work = [worker for worker in self._workers if now[worker] > taken.get(worker, 0.0)]
        self.kills_at_work += bool(at_work)
        worker = self._rng.choice(at_work or self._workers)
        time.sleep(self._rng.uniform(0.0, 0.5))
        worker.kill()
        self.kills += 1
        worker.start()

    def _taken(self) -> dict[WorkerProcess, float]:
        """Return how many records each worker has taken since its start."""
        return {worker: worker.metric("playhead_records_total") for worker in self._workers}

    def _start(self, agents: tuple[str, ...]) -> None:
        brokers = self._run.client["bootstrap.servers"]
        worker = WorkerProcess(brokers, self._run.prefix, self._folder, agents, **SETTINGS)
        worker.start()
        self._workers.append(worker)


def report(
    calm: Run, storm: Run, expected: Told, found: Told, faults: Disturbances, calm_s: float, storm_s: float
) -> None:
    """Print the comparison for people."""
    events = calm.given.events
    print("\n" + ", ".join(f"{count:,} events of {topic}" for topic, count in events.items()))
    print(f"undisturbed {calm_s:.0f} s, disturbed {storm_s:.0f} s")
    print(
        f"{faults.kills} workers killed ({faults.kills_at_work} of them at work), {faults.joins} joined, "
        f"{faults.leaves} left, broker away {faults.outages} times"
    )
    print(f"{'':12}{'undisturbed':>14}{'disturbed':>14}{'the same':>14}{'written':>10}")
    for topic in expected:
        same = sum(found[topic].get(key) == content for key, content in expected[topic].items())
        written = storm.written(BY_NAME[topic])
        print(f"{topic:12}{len(expected[topic]):14,}{len(found[topic]):14,}{same:14,}{written:10,}")
    dead = calm.dead(), storm.dead()
    same = len(dead[0].keys() & dead[1].keys())
    print(f"{'dead':12}{len(dead[0]):14,}{len(dead[1]):14,}{same:14,}{storm.written(DEAD_LETTERS):10,}")
    print(f"{'judged':12}{calm.judged():14,}{storm.judged():14,}")
    print(f"{storm.said_again()} records were written again, with the ids they had")
