"""Runs contestants: topics of their own, processes, what they say, and the figures that follow."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
import numpy as np
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from config import Settings
from playhead.bench.errors import BenchError
from playhead.bench.programs import PROGRAMS, Report, split_name
from playhead.bench.task import Progress, task_of
from playhead.brokers import client_config
from playhead.log_reader import read_to_end, spans_of
from playhead.topics_admin import TopicsAdmin, Wanted
from topics import ANOMALIES, DEAD_LETTERS, LANE_STATE, SPENDING, TELEMETRY
from topics.anomalies import Phase

QUIET_TIMEOUT_S: Final = 90.0
"""A contestant that says nothing for so long has failed."""

STOP_TIMEOUT_S: Final = 40.0
ADMIN_TIMEOUT_S: Final = 30.0
WATCH_S: Final = 0.02
GROUP_POLL_S: Final = 0.2
SETTLED_S: Final = 3.0
"""Longer than any pause but that after a kill, which is waited for apart."""

STREAMS_CACHE_MB: Final = 64
"""Of the state store of Kafka Streams, which leaves it to the user."""


class Measured(NamedTuple):
    """How fast a run was, over the time in which all its processes had work."""

    events: int
    """In all."""
    seconds: float
    events_per_s: float
    cpu_us_per_event: float
    rss_mb: float


@contextmanager
def run_topics(settings: Settings, partitions: int) -> Iterator[Settings]:
    """Make the topics of a run and yield settings with its prefix; all that has it goes afterwards."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    mine = settings.model_copy(update={"prefix": prefix})
    client = client_config(mine)
    # An alert's time is the broker's, when it has it: that is what latency ends with.
    alerts = {**ANOMALIES.broker_config(), "message.timestamp.type": "LogAppendTime"}
    wanted = [Wanted(TELEMETRY.full_name(prefix), partitions, TELEMETRY.broker_config())]
    wanted.append(Wanted(ANOMALIES.full_name(prefix), ANOMALIES.partitions, alerts))
    for spec in (LANE_STATE, DEAD_LETTERS, SPENDING):
        wanted.append(Wanted(spec.full_name(prefix), spec.partitions, spec.broker_config(), spec.max_bytes))
    TopicsAdmin(client, settings.engine.replication_factor).create(wanted)
    try:
        yield mine
    finally:
        _delete(client, prefix)


def _delete(client: Mapping[str, Any], prefix: str) -> None:
    admin = AdminClient(dict(client))
    topics = [name for name in admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics if prefix in name]
    for future in admin.delete_topics(topics).values():
        with suppress(KafkaException):
            future.result(ADMIN_TIMEOUT_S)
    forget_groups(client, prefix)


def forget_groups(client: Mapping[str, Any], prefix: str) -> None:
    """Delete the consumer groups of a run, so that the next contestant reads from the beginning."""
    admin = AdminClient(dict(client))
    listed = admin.list_consumer_groups(request_timeout=ADMIN_TIMEOUT_S).result().valid
    groups = [each.group_id for each in listed if each.group_id.startswith(prefix)]
    if groups:
        for future in admin.delete_consumer_groups(groups).values():
            with suppress(KafkaException):  # a member that was killed has not timed out yet
                future.result(ADMIN_TIMEOUT_S)


class Running:
    """The processes of one contestant; leaving the ``with`` ends them.

    Args:
        settings: with the prefix of the run.
        contestant: its name, perhaps with a number of processes.
        packed: whether it will meet packed records only.
    """

    def __init__(self, settings: Settings, contestant: str, report: Report, *, packed: bool = False) -> None:
        self.contestant = contestant
        self._settings = settings
        self._client = client_config(settings)
        self._folder = tempfile.TemporaryDirectory(prefix="playhead-bench-")
        name, count = split_name(contestant)
        program = PROGRAMS[name]
        self._command = [*program.command_of(report), *(program.packed if packed else ())]
        self._group = f"{settings.prefix}{name}-{uuid.uuid4().hex[:6]}"
        self._threads = count if program.threads else 1
        self.members: list[Member] = []
        for _ in range(1 if program.threads else count):
            self.add()

    def add(self) -> Member:
        """Start one more process."""
        name = f"{self.contestant}-{uuid.uuid4().hex[:8]}"
        folder = Path(self._folder.name) / name
        folder.mkdir()
        task = task_of(
            self._settings,
            self._client,
            group=self._group,
            client_id=name,
            state_dir=str(folder / "state"),
            threads=self._threads,
            cache_mb=STREAMS_CACHE_MB,
        )
        environment = {
            **os.environ,
            "PLAYHEAD_PREFIX": self._settings.prefix,
            "PLAYHEAD_BROKERS": str(self._client["bootstrap.servers"]),
        }
        member = Member(name, [*self._command, msgspec.json.encode(task).decode()], environment, folder)
        self.members.append(member)
        return member

    def add_and_wait(self) -> Member:
        """Start one more process and return it once it has taken events.

        Raises:
            BenchError: it ended, or takes none.
        """
        member = self.add()
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while not member.events:
            member.check()
            if time.monotonic() > deadline:
                raise BenchError(f"{self.contestant}: one more process took nothing\n{member.errors}")
            time.sleep(WATCH_S)
        return member

    def drop(self, member: Member, *, kill: bool = False) -> None:
        """End one process, by its own means or not."""
        self.members.remove(member)
        member.stop(kill=kill)

    def settle(self) -> None:
        """Return once nobody has taken anything for a while."""
        taken, since = self.events, time.monotonic()
        while time.monotonic() - since < SETTLED_S:
            time.sleep(WATCH_S)
            if self.events != taken:
                taken, since = self.events, time.monotonic()

    @property
    def events(self) -> int:
        """What was taken so far, by all."""
        return sum(member.events for member in self.members)

    def wait_until_shared(self, partitions: int) -> None:
        """Return once the members of the group share the partitions evenly.

        Raises:
            BenchError: they do not come to that.
        """
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while not _shared(list(self.partitions().values()), self._threads * len(self.members), partitions):
            for member in self.members:
                member.check()
            if time.monotonic() > deadline:
                raise BenchError(
                    f"{self.contestant}: the partitions are not shared\n{self.members[0].errors}"
                )
            time.sleep(GROUP_POLL_S)

    def owned_by(self, member: Member) -> set[int]:
        """Return the partitions of `telemetry` that one process has."""
        return set().union(*(own for name, own in self.partitions().items() if name.startswith(member.name)))

    def partitions(self) -> dict[str, set[int]]:
        """Return the partitions of `telemetry` by client of the group; nothing while they are shared out."""
        admin = AdminClient(self._client)
        listed = admin.list_consumer_groups(request_timeout=ADMIN_TIMEOUT_S).result().valid
        groups = [each.group_id for each in listed if each.group_id.startswith(self._settings.prefix)]
        topic = TELEMETRY.full_name(self._settings.prefix)
        found: dict[str, set[int]] = {}
        for future in admin.describe_consumer_groups(groups).values() if groups else ():
            group = future.result(ADMIN_TIMEOUT_S)
            for each in group.members if group.state == ConsumerGroupState.STABLE else ():
                places = each.assignment.topic_partitions
                found[each.client_id] = {place.partition for place in places if place.topic == topic}
        return found

    def wait_for(self, events: int, *, tell: Callable[[int], None] = lambda _: None) -> None:
        """Return once so many events were taken.

        Raises:
            BenchError: a process ended, or none says anything for long.
        """
        taken, since = self.events, time.monotonic()
        while taken < events:
            time.sleep(WATCH_S)
            for member in self.members:
                member.check()
            now, last = time.monotonic(), taken
            taken = self.events
            if taken > last:
                since = now
                tell(taken)
            elif now - since > QUIET_TIMEOUT_S:
                raise BenchError(
                    f"{self.contestant} took {taken:,} of {events:,} events and then nothing for "
                    f"{QUIET_TIMEOUT_S:.0f} s\n{self.members[0].errors}"
                )

    def measured(self, since_s: float = 0.0) -> Measured:
        """Return the figures of what was said since a moment of the monotonic clock."""
        return measure([member.said for member in self.members], since_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.ask_to_stop()
        for member in self.members:
            member.stop()
        self._folder.cleanup()


def _shared(owned: Sequence[set[int]], members: int, partitions: int) -> bool:
    """Return whether so many members have all partitions between them, and each its part.

    >>> _shared([{0, 1}, {2, 3}], 2, 4), _shared([{0, 1}, set()], 2, 4), _shared([{0, 1, 2}, {3}], 2, 4)
    (True, False, False)
    """
    counts = [len(each) for each in owned]
    return len(counts) == members and sum(counts) == partitions and min(counts) >= partitions // members


class Member:
    """One process of a contestant."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        """The group knows it by a name that begins so."""
        self.said: list[Progress] = []
        self._errors = folder / "errors"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def events(self) -> int:
        """What it took so far."""
        return self.said[-1].events if self.said else 0

    @property
    def errors(self) -> str:
        """The end of what it wrote to standard error."""
        return self._errors.read_text(encoding="utf-8", errors="replace")[-2000:]

    @property
    def rss_bytes(self) -> int:
        """How much memory it has in use, of what is the machine's."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            BenchError: it has ended.
        """
        if self._process.poll() is not None:
            raise BenchError(f"{self.name} ended with {self._process.returncode}:\n{self.errors}")

    def ask_to_stop(self) -> None:
        """Let it end by itself."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def stop(self, *, kill: bool = False) -> None:
        """Return once it has ended; one that does not is killed, or at once where asked for."""
        if kill:
            self._process.kill()
        self.ask_to_stop()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        decoder = msgspec.json.Decoder(Progress)
        for line in self._process.stdout:
            with suppress(msgspec.MsgspecError):  # a library's own chatter
                self.said.append(decoder.decode(line))


def measure(said: Sequence[Sequence[Progress]], since_s: float = 0.0) -> Measured:
    """Return how fast processes were together, from the first events of the last to start to the end of the
    first that had no more.

    What one of several does before the others have their partitions, or after they have emptied theirs, says
    nothing of what they do together. One that had no partition at all is left out, and so is all that was
    said before `since_s`.

    >>> steps = [Progress(float(second), 100 * second, 0.5 * second, 50.0) for second in range(1, 6)]
    >>> measure([steps]).events_per_s
    100.0
    >>> measure([steps], since_s=3.5).events
    200
    """
    working = [[each for each in one if each.events > 0 and each.clock_s > since_s] for one in said]
    before = sum(max((each.events for each in one if each.clock_s <= since_s), default=0) for one in said)
    working = [one for one in working if len(one) > 1]
    if not working:
        raise BenchError("nobody took events in more than one step: the backlog is too small to measure")
    begin = max(one[0].clock_s for one in working)
    end = min(one[-1].clock_s for one in working)
    if end <= begin:
        raise BenchError("one process had emptied its partitions before another began: give more events")
    events = cpu_s = 0.0
    for one in working:
        clock = [each.clock_s for each in one]
        for at, sign in ((end, 1), (begin, -1)):
            events += sign * float(np.interp(at, clock, [each.events for each in one]))
            cpu_s += sign * float(np.interp(at, clock, [each.cpu_s for each in one]))
    return Measured(
        events=sum(one[-1].events for one in said if one) - before,
        seconds=end - begin,
        events_per_s=events / (end - begin),
        cpu_us_per_event=1e6 * cpu_s / events,
        rss_mb=sum(one[-1].rss_mb for one in said if one),
    )


class Alerts:
    """The anomalies that a contestant told since this was made."""

    def __init__(self, settings: Settings) -> None:
        self._client = client_config(settings)
        self._topic = ANOMALIES.full_name(settings.prefix)
        self._from = {span.partition: span.end for span in spans_of(self._client, self._topic)}

    def starts(self) -> list[tuple[float, float, int]]:
        """Return of each episode its origin, its time at the broker (both ms) and its cause's partition."""
        found: dict[str, tuple[float, float, int]] = {}
        for message in read_to_end(self._client, self._topic, start=self._from):
            anomaly = ANOMALIES.decode(message.value())
            if anomaly.phase is Phase.START:
                cause = anomaly.evidence.partition if anomaly.evidence is not None else -1
                alerted = float(message.timestamp()[1])
                found.setdefault(anomaly.id, (float(anomaly.origin_ms or 0), alerted, cause))
        return list(found.values())
