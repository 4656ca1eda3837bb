"""`playhead bench steering`: how fast players are answered, and how soon a command changes their answers.

Everything is real: the audiences and the sites come from Kafka, the gateway is a process of its own, and so
are the crowd that polls it and the actor that obeys commands.
"""

from __future__ import annotations

import http.client
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
from playhead.bench.poller import Polled
from playhead.brokers import client_config, producer_config
from playhead.engine.local_server import HOST
from playhead.lab.served_process import ServedProcess
from playhead.topics_admin import TopicsAdmin, wanted
from topics import CATALOGUE, CDN_NODES, COMMANDS, DEAD_LETTERS, OUTCOMES, STEERING, STEERING_POLLS
from topics.cdn import NodeReport
from topics.commands import Command, CommandKind
from topics.errors import PlayheadError
from topics.fields import Record, cell_key
from topics.spec import AnySpec
from topics.steering import SteeringAnswer

TOPICS = (STEERING, STEERING_POLLS, CATALOGUE, CDN_NODES, COMMANDS, OUTCOMES, DEAD_LETTERS)
CONNECTIONS = 64
CROWD = 2_000
REGIONS, DEVICES = 40, 5
LEASE_S = 3_600
CHANGE_TIMEOUT_S = 30.0
ADMIN_TIMEOUT_S = 30.0
POLL_S = 0.005
SPARE_S = 60.0

Report = Callable[[str], None]


class SteeringBenchError(PlayheadError):
    """One of the processes did not do its part."""


class Change(msgspec.Struct, frozen=True):
    """From a command published to an answer over HTTP that obeys it."""

    commands: int
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
    change: Change
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
        commands: how many are published, one after the other, each to an audience of its own.

    Raises:
        SteeringBenchError: a process ended or did not answer in time; the text has the end of its log.
    """
    first, second, third = settings.delivery.order[:3]
    prefix = f"bench-{int(time.time())}."
    away = settings.model_copy(update={"prefix": prefix})
    admin = TopicsAdmin(client_config(away), away.engine.replication_factor)
    admin.create(wanted(TOPICS, prefix))
    try:
        with TemporaryDirectory(prefix="playhead-bench-") as folder, ExitStack() as stack:
            report(f"publishing {cohorts:,} cohorts and {sites:,} sites")
            _publish(away, STEERING, _cohorts(cohorts, [second, third, first]))
            _publish(away, CDN_NODES, _sites(sites, settings.delivery.order))
            worker = stack.enter_context(
                _process(away, Path(folder), "worker", "--no-supervise", "--agents", "cdn")
            )
            gateway = stack.enter_context(_process(away, Path(folder), "gateway", "--parts", "steering"))
            worker.wait_until_ready()
            report("waiting until the gateway has read them")
            load_s = gateway.wait_until_ready()
            report(f"{rate:,.0f} polls/s for {seconds:.0f} s")
            answers = _poll(gateway, rate, seconds, _crowd(cohorts, second, first))
            report(f"{commands} commands")
            change = _change(away, gateway, commands, [third, second, first])
    finally:
        _delete(away)
    return SteeringResult(
        cohorts, sites, load_s, answers, change, os.cpu_count() or 1, sys.version.partition(" ")[0]
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
    """Yield a word on each cohort: all of every other one are moved, of the rest nobody."""
    now_ms = int(1_000 * time.time())
    for number in range(count):
        cell = _cell(number)
        yield SteeringAnswer(
            time_ms=now_ms,
            audience=cell_key(cell),
            cell=cell,
            pathway_priority=order if number % 2 else [],
            away_from=order[-1] if number % 2 else "",
            ttl_s=10,
            generation=1,
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


def _change(settings: Settings, gateway: ServedProcess, count: int, order: list[str]) -> Change:
    """Publish commands one by one, and poll after each until its audience is told so."""
    producer = Producer(producer_config(settings, **{"linger.ms": 0}))
    connection = http.client.HTTPConnection(HOST, gateway.port, timeout=CHANGE_TIMEOUT_S)
    took_ms = []
    for number in range(count):
        cell = {"isp": f"commanded-{number}"}
        path = f"/v1/steer?asset=title&viewer=v{number}&isp=commanded-{number}"
        now_ms = int(1_000 * time.time())
        command = Command(
            time_ms=now_ms,
            id=f"bench-{settings.prefix}{number}",
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
        path = _followed(connection, path, order[-1])
        began_s = time.perf_counter()
        _send(producer, settings, COMMANDS, command)
        producer.flush(CHANGE_TIMEOUT_S)
        while _order(connection, path)[0] != order:
            if time.perf_counter() - began_s > CHANGE_TIMEOUT_S:
                raise SteeringBenchError(
                    f"{command.target} was not told of its command:\n{gateway.log_tail()}"
                )
            time.sleep(POLL_S)
        took_ms.append(1_000 * (time.perf_counter() - began_s))
    p50_ms, p99_ms = np.percentile(took_ms, (50, 99))
    return Change(count, float(p50_ms), float(p99_ms), max(took_ms))


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
