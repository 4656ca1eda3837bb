"""`playhead bench cmcd`: how many reports one core takes, beside a plain FastAPI endpoint.

Both are asked the same by the same load on the same broker in the same run, taking turns. Cost is the CPU
time of the server's process, so that the load's own and the broker's are not counted, until Kafka has all.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient

from config import Settings
from playhead.bench.cmcd_load import Load
from playhead.brokers import client_config
from playhead.engine.local_server import free_port
from playhead.log_reader import read_to_end
from playhead.packing import is_packed, unpack
from playhead.topics_admin import TopicsAdmin, wanted
from topics import CMCD, DEAD_LETTERS, PLAYBACK
from topics.errors import PlayheadError

PLAIN, GATEWAY = "plain FastAPI", "playhead gateway"
TOPICS = (CMCD, PLAYBACK, DEAD_LETTERS)
ADMIN_TIMEOUT_S = 30.0
START_S = 60.0
DRAIN_S = 120.0
POLL_S = 0.05
WARM_UP_S = 1.0

Report = Callable[[str], None]


class BenchError(PlayheadError):
    """A contestant did not do its job."""


class Ingestion(msgspec.Struct, frozen=True):
    """What one contestant took, as medians over the rounds."""

    contestant: str
    records_per_request: int
    records: int
    """Acknowledged in all rounds; each was found in the topic."""
    records_per_s: float
    records_per_cpu_s: float
    """... of the server's process: the rate of one core."""
    ratio: float
    """Of the rate per core, to the plain endpoint of the same run."""
    p50_ms: float
    p99_ms: float


class IngestionResult(msgspec.Struct, frozen=True):
    """All figures of one run, with how they were taken."""

    cores: int
    connections: int
    seconds: float
    rounds: int
    contestants: list[Ingestion]


class _Turn(msgspec.Struct, frozen=True):
    load: Load
    cpu_s: float


def run(
    settings: Settings,
    *,
    seconds: float,
    rounds: int,
    connections: int,
    batches: list[int],
    report: Report,
) -> IngestionResult:
    """Return what both contestants took.

    Raises:
        BenchError: one of them did not start, refused a request, or did not deliver all it acknowledged.
        NoBrokerError: there is no Kafka.
    """
    client = client_config(settings)
    turns: dict[tuple[str, int], list[_Turn]] = {}
    for batch in batches:
        for number in range(rounds):
            for name in (PLAIN, GATEWAY) if number % 2 == 0 else (GATEWAY, PLAIN):
                report(f"{name}, {batch} to a request, round {number + 1} of {rounds}")
                turn = _take_turn(client, name, connections=connections, batch=batch, seconds=seconds)
                turns.setdefault((name, batch), []).append(turn)
    return IngestionResult(
        cores=os.cpu_count() or 1,
        connections=connections,
        seconds=seconds,
        rounds=rounds,
        contestants=[
            _summary(name, batch, turns[name, batch], turns[PLAIN, batch])
            for batch in batches
            for name in (PLAIN, GATEWAY)
        ],
    )


def _summary(name: str, batch: int, turns: list[_Turn], plain: list[_Turn]) -> Ingestion:
    rate = _rate_of_a_core(turns)
    return Ingestion(
        contestant=name,
        records_per_request=batch,
        records=sum(turn.load.records for turn in turns),
        records_per_s=statistics.median(turn.load.records / turn.load.seconds for turn in turns),
        records_per_cpu_s=rate,
        ratio=rate / _rate_of_a_core(plain),
        p50_ms=statistics.median(turn.load.p50_ms for turn in turns),
        p99_ms=statistics.median(turn.load.p99_ms for turn in turns),
    )


def _rate_of_a_core(turns: list[_Turn]) -> float:
    return statistics.median(turn.load.records / turn.cpu_s for turn in turns)


def _take_turn(
    client: Mapping[str, Any], name: str, *, connections: int, batch: int, seconds: float
) -> _Turn:
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    TopicsAdmin(client).create(wanted(TOPICS, prefix))
    try:
        with tempfile.TemporaryDirectory() as folder, _serving(client, name, prefix, Path(folder)) as server:
            _load(server.port, connections, batch, WARM_UP_S)
            warm = server.drained()
            load = _load(server.port, connections, batch, seconds)
            turn = _Turn(load, server.drained() - warm)
        found = _count(client, CMCD.full_name(prefix))
    finally:
        names = [spec.full_name(prefix) for spec in TOPICS]
        admin = AdminClient(dict(client))
        for future in admin.delete_topics(names).values():
            future.result(ADMIN_TIMEOUT_S)
    if load.refused or found < load.records:
        raise BenchError(
            f"{name}: {load.refused} requests refused; {load.records} records acknowledged,"
            f" {found} in the topic"
        )
    return turn


class _Server:
    def __init__(self, process: subprocess.Popen[bytes], port: int, name: str) -> None:
        self._process = process
        self._name = name
        self.port = port

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + START_S
        while self._ask("/healthz") is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self._name} does not answer")
            time.sleep(POLL_S)

    def drained(self) -> float:
        """Return the CPU seconds spent once Kafka has all that was acknowledged."""
        deadline = time.monotonic() + DRAIN_S
        while self._name == GATEWAY and self._waiting_bytes():
            if time.monotonic() > deadline:
                raise BenchError(f"{self._name}: the spool is not drained")
            time.sleep(POLL_S)
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _waiting_bytes(self) -> float:
        for told in (self._ask("/metrics") or "").splitlines():
            if told.startswith("playhead_spool_waiting_bytes "):
                return float(told.split()[1])
        return 1.0

    def _ask(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None


@contextmanager
def _serving(client: Mapping[str, Any], name: str, prefix: str, folder: Path) -> Iterator[_Server]:
    port = free_port()
    command = (
        ["playhead.bench.cmcd_plain", "--port", str(port)]
        if name == PLAIN
        else ["playhead", "gateway", "--parts", "cmcd", "--port", str(port)]
    )
    environment = {
        **os.environ,
        "PLAYHEAD_BROKERS": client["bootstrap.servers"],
        "PLAYHEAD_PREFIX": prefix,
        "PLAYHEAD_CMCD__SPOOL__FOLDER": str(folder / "spool"),
        "PLAYHEAD_LOG__LEVEL": "error",
    }
    process = subprocess.Popen([sys.executable, "-m", *command], env=environment)  # noqa: S603
    try:
        server = _Server(process, port, name)
        server.wait_until_up()
        yield server
    finally:
        process.terminate()
        process.wait()


def _load(port: int, connections: int, batch: int, seconds: float) -> Load:
    command = ["--port", port, "--connections", connections, "--batch", batch, "--seconds", seconds]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "playhead.bench.cmcd_load", *map(str, command)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Load)


def _count(client: Mapping[str, Any], topic: str) -> int:
    return sum(
        len(unpack(CMCD, message.value())) if is_packed(message.headers()) else 1
        for message in read_to_end(dict(client), topic)
    )
