"""`playhead bench steering`: how fast players are answered, and how soon an alert changes their answers.

Everything is real: the audiences and the sites come from Kafka, the gateway is a process of its own, and so
are the crowd that polls it and the agents that make of an alert an incident, a command and an answer.
"""

from __future__ import annotations

import http.client
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from config import Settings
from models.steering_order import bucket, group_of
from playhead.bench.poller import Polled
from playhead.brokers import client_config, producer_config
from playhead.engine.local_server import HOST
from playhead.lab.served_process import ServedProcess
from playhead.log_reader import read_to_end
from playhead.topics_admin import TopicsAdmin, wanted
from topics import ALL, ANOMALIES, CDN_NODES, COMMANDS, OUTCOMES, POLICIES, STEERING
from topics.anomalies import Anomaly, AnomalyKind, Cause, Phase, Severity
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind
from topics.errors import PlayheadError
from topics.fields import Record, cell_key
from topics.policies import Policy
from topics.spec import AnySpec
from topics.steering import SteeringAnswer

AGENTS = "incidents,policy,cdn"
CONNECTIONS = 64
CROWD = 2_000
REGIONS, DEVICES = 40, 5
LEASE_S = 3_600
MOVED_S_AGO = 60
FIRST_SHARE = 0.01
OF_CDN = 1e-4
"""Which part of a CDN's viewers an audience of an alert is: there is to be room elsewhere for all of them."""

CHANGE_TIMEOUT_S = 30.0
ADMIN_TIMEOUT_S = 30.0
POLL_S = 0.005
SPARE_S = 60.0

Report = Callable[[str], None]


class SteeringBenchError(PlayheadError):
    """One of the processes did not do its part."""


class Change(msgspec.Struct, frozen=True):
    """From a record published to an answer over HTTP that follows from it."""

    records: int
    p50_ms: float
    p99_ms: float
    most_ms: float


class SteeringResult(msgspec.Struct, frozen=True):
    """All figures of one run."""

    cohorts: int
    sites: int
    load_s: float
    """From the gateway's start to all cohorts read."""
    answers: Polled
    command_to_answer: Change
    alert_to_answer: Change
    cpus: int
    python: str


def run(
    settings: Settings,
    *,
    cohorts: int,
    sites: int,
    rate: float,
    seconds: float,
    commands: int,
    report: Report,
) -> SteeringResult:
    """Measure and return all figures.

    Args:
        cohorts: audiences that are told something.
        sites: cache nodes that report.
        rate: polls a second, for `seconds`.
        commands: how many are published, one after the other, each to an audience of its own; then as many
            alerts.

    Raises:
        SteeringBenchError: a process ended or did not answer in time; the text has the end of its log.
    """
    first, second, third = settings.delivery.order[:3]
    prefix = f"bench-{int(time.time())}."
    away = settings.model_copy(update={"prefix": prefix})
    admin = TopicsAdmin(client_config(away), away.engine.replication_factor)
    admin.create(wanted(ALL, prefix))
    try:
        with TemporaryDirectory(prefix="playhead-bench-") as folder, ExitStack() as stack:
            report(f"publishing {cohorts:,} cohorts and {sites:,} sites")
            _publish(away, STEERING, _cohorts(cohorts, [second, third, first]))
            _publish(away, CDN_NODES, _sites(sites, settings.delivery.order))
            worker = stack.enter_context(
                _process(away, Path(folder), "worker", "--no-supervise", "--agents", AGENTS)
            )
            gateway = stack.enter_context(_process(away, Path(folder), "gateway", "--parts", "steering"))
            worker.wait_until_ready()
            report("waiting until the gateway has read them")
            load_s = gateway.wait_until_ready()
            report(f"{rate:,.0f} polls/s for {seconds:.0f} s")
            answers = _poll(gateway, rate, seconds, _crowd(cohorts, second, first))
            report(f"{commands} commands")
            order = [third, second, first]
            obeyed = _change(away, gateway, commands, order, COMMANDS, _command)
            report(f"{commands} alerts")
            # What the CDNs have room for is believed while it is new.
            _publish(away, POLICIES, [_policy()])
            _publish(away, CDN_NODES, _sites(sites, settings.delivery.order))
            alerted = _change(away, gateway, commands, order, ANOMALIES, _alert)
    finally:
        _delete(away)
    return SteeringResult(
        cohorts,
        sites,
        load_s,
        answers,
        obeyed,
        alerted,
        os.cpu_count() or 1,
        sys.version.partition(" ")[0],
    )


def _process(settings: Settings, folder: Path, *command: str) -> ServedProcess:
    environment = {
        "PLAYHEAD_PREFIX": settings.prefix,
        "PLAYHEAD_BROKERS": str(client_config(settings)["bootstrap.servers"]),
        "PLAYHEAD_REDIS_URL": "memory://",
    }
    return ServedProcess(command, environment, folder)


def _cell(number: int) -> dict[str, str]:
    isp, place = divmod(number, REGIONS * DEVICES)
    return {
        "isp": str(1_000 + isp),
        "region": f"region-{place // DEVICES}",
        "device": f"device-{place % DEVICES}",
    }


def _cohorts(count: int, order: list[str]) -> Iterator[SteeringAnswer]:
    """Yield a word on each cohort: all of every other one have been moved, of the rest nobody."""
    now_ms = int(1_000 * time.time())
    # Long enough ago to have arrived: else all room would be kept for them.
    moved_ms = now_ms - 1_000 * MOVED_S_AGO
    for number in range(count):
        cell = _cell(number)
        yield SteeringAnswer(
            time_ms=moved_ms,
            audience=cell_key(cell),
            cell=cell,
            pathway_priority=order if number % 2 else [],
            away_from=order[-1] if number % 2 else "",
            ttl_s=10,
            generation=1,
            command_id=f"moved-{number}" if number % 2 else "",
            expires_ms=now_ms + 1_000 * LEASE_S if number % 2 else None,
        )


def _sites(count: int, cdns: tuple[str, ...]) -> Iterator[NodeReport]:
    now_ms = int(1_000 * time.time())
    for number in range(count):
        yield NodeReport(
            time_ms=now_ms,
            node=f"node-{number}",
            cdn=cdns[number % len(cdns)],
            site=f"site-{number}",
            capacity_gbps=100.0,
            load=0.4,
        )


def _crowd(cohorts: int, moved_to: str, default: str) -> list[tuple[str, str]]:
    """Return viewers spread over all cohorts: the path of their first poll, and what they are to be told."""
    step = max(cohorts // CROWD, 1)
    numbers = range(0, cohorts - cohorts % step, step)
    # Every second viewer one further, so that both the moved and the others ask.
    picked = [min(number + place % 2, cohorts - 1) for place, number in enumerate(numbers)]
    return [(_path(number), moved_to if number % 2 else default) for number in picked]


def _path(number: int) -> str:
    stated = "&".join(f"{name}={value}" for name, value in _cell(number).items())
    return f"/v1/steer?asset=title-{number % 1_000}&viewer=v{number}&{stated}"


def _poll(gateway: ServedProcess, rate: float, seconds: float, crowd: list[tuple[str, str]]) -> Polled:
    arguments = [HOST, str(gateway.port), str(rate), str(seconds), str(CONNECTIONS)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "playhead.bench.poller", *arguments],
        input="\n".join("\t".join(viewer) for viewer in crowd).encode(),
        capture_output=True,
        timeout=seconds + SPARE_S,
        check=False,
    )
    if done.returncode:
        raise SteeringBenchError(f"the crowd failed:\n{done.stderr.decode(errors='replace')[-2_000:]}")
    return msgspec.json.decode(done.stdout, type=Polled)


def _change(
    settings: Settings,
    gateway: ServedProcess,
    count: int,
    order: list[str],
    spec: AnySpec,
    records: Callable[[dict[str, str], list[str]], Iterable[Record]],
) -> Change:
    """Publish the first record on each audience, poll until that is sent elsewhere; publish the rest."""
    producer = Producer(producer_config(settings, **{"linger.ms": 0}))
    connection = http.client.HTTPConnection(HOST, gateway.port, timeout=CHANGE_TIMEOUT_S)
    took_ms = []
    for number in range(count):
        cell = {"isp": f"{spec.name}-{number}"}
        viewer = _moved_first(cell_key(cell), settings.steering.buckets)
        path = _followed(connection, f"/v1/steer?asset=title&viewer={viewer}&isp={cell['isp']}", order[-1])
        began_s = time.perf_counter()
        told = iter(records(cell, order))
        _send(producer, settings, spec, next(told))
        producer.flush(CHANGE_TIMEOUT_S)
        while _order(connection, path)[0][0] == order[-1]:
            if time.perf_counter() - began_s > CHANGE_TIMEOUT_S:
                raise SteeringBenchError(
                    f"{cell_key(cell)} is still sent to {order[-1]}: {_last_outcome(settings)}"
                )
            time.sleep(POLL_S)
        took_ms.append(1_000 * (time.perf_counter() - began_s))
        for record in told:
            _send(producer, settings, spec, record)
    producer.flush(CHANGE_TIMEOUT_S)
    p50_ms, p99_ms = np.percentile(took_ms, (50, 99))
    return Change(count, float(p50_ms), float(p99_ms), max(took_ms))


def _last_outcome(settings: Settings) -> str:
    told = read_to_end(client_config(settings), OUTCOMES.full_name(settings.prefix))
    outcomes = [OUTCOMES.decode(each.value()) for each in told]
    newest = max(outcomes, key=lambda each: each.time_ms, default=None)
    return newest.reason if newest is not None else "no agent has told an outcome"


def _moved_first(audience: str, groups: int) -> str:
    """Return a viewer who is of the first to be moved: what share that is, is not measured here."""
    names = (f"v{number}" for number in itertools.count())
    return next(name for name in names if bucket(str(group_of(name, groups)), audience) < FIRST_SHARE)


def _command(cell: dict[str, str], order: list[str]) -> Iterator[Command]:
    now_ms = int(1_000 * time.time())
    yield Command(
        time_ms=now_ms,
        id=f"bench-{cell_key(cell)}-{now_ms}",
        kind=CommandKind.STEER,
        target=cell_key(cell),
        generation=now_ms,
        owner="bench",
        reason="to see how soon it is obeyed",
        expires_ms=now_ms + 1_000 * LEASE_S,
        audience=cell,
        away_from=order[-1],
        pathway_priority=order,
    )


def _policy() -> Policy:
    return Policy(
        time_ms=int(1_000 * time.time()),
        policy="bench",
        allows=CommandKind.STEER,
        dry_run=False,
        lease_s=LEASE_S,
    )


def _alert(cell: dict[str, str], order: list[str]) -> Iterator[Anomaly]:
    """Yield trouble of an audience on its CDN, and its end: many at once would be taken for the CDN's."""
    blamed = {"cdn": order[-1], **cell}
    cause = Cause(
        cell=blamed, score=0.9, excess_viewers=900, explained=0.9, contrast="only there", of_cdn=OF_CDN
    )
    for phase in (Phase.START, Phase.END):
        now_ms = int(1_000 * time.time())
        yield Anomaly(
            id=f"bench-{cell_key(cell)}-{phase}",
            time_ms=now_ms,
            subject=cell_key(blamed),
            series=f"{cell_key(blamed)}/stalled_ratio",
            phase=phase,
            kind=AnomalyKind.STREAMING_QUALITY_DROP,
            severity=Severity.CRITICAL,
            score=0.99,
            confidence=0.99,
            metric="stalled_ratio",
            value=0.3,
            baseline=0.01,
            cell=blamed,
            causes=[cause] if phase is Phase.START else [],
            impact_viewers=900,
        )


def _followed(connection: http.client.HTTPConnection, path: str, first: str) -> str:
    """Poll for the first time, and return where to poll next."""
    order, reload_uri = _order(connection, path)
    if order[0] != first:
        raise SteeringBenchError(f"an audience without a command is told {order}, {first} was to come first")
    return reload_uri


def _order(connection: http.client.HTTPConnection, path: str) -> tuple[list[str], str]:
    connection.request("GET", path)
    answer = msgspec.json.decode(connection.getresponse().read())
    return answer["PATHWAY-PRIORITY"], answer["RELOAD-URI"]


def _publish(settings: Settings, spec: AnySpec, records: Iterable[Record]) -> None:
    producer = Producer(
        producer_config(settings, **{"linger.ms": 20, "queue.buffering.max.messages": 500_000})
    )
    for record in records:
        _send(producer, settings, spec, record)
        producer.poll(0)
    if producer.flush(SPARE_S):
        raise SteeringBenchError(f"the broker did not take all records of {spec.name}")


def _send(producer: Producer, settings: Settings, spec: AnySpec, record: Record) -> None:
    producer.produce(
        spec.full_name(settings.prefix), key=spec.key_of(record).encode(), value=spec.encode(record)
    )


def _delete(settings: Settings) -> None:
    """Remove every topic of the run, the actor's own included."""
    admin = AdminClient(client_config(settings))
    names = [name for name in admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics if settings.prefix in name]
    for future in admin.delete_topics(names).values():
        try:
            future.result(ADMIN_TIMEOUT_S)
        except KafkaException as error:
            raise SteeringBenchError(f"a topic of the run could not be removed: {error.args[0]}") from error
