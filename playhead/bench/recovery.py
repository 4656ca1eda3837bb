"""`playhead bench recovery`: how long the series of a killed process go unwatched, beside the others.

Two processes of a contestant share the partitions of `telemetry` under load. One is killed (``kill -9``);
the group misses it after `engine.session_timeout_s`, the other takes its partitions over, finds their state
in its own way, goes on from what was committed and catches up. Outliers all over the series make it say
something all the time, so that the first word on a series of the dead process can be timed, and the last that
came late.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException

from config import Settings
from playhead.bench.errors import BenchError
from playhead.bench.generator import Plan as Stream
from playhead.bench.job import Shape, now_ms, send_backlog
from playhead.bench.live import start_generator
from playhead.bench.machine import this_machine
from playhead.bench.programs import Report, one_of
from playhead.bench.recovery_results import Recovery, RecoveryResult
from playhead.bench.running import Member, Running, run_topics
from playhead.brokers import client_config
from playhead.log_reader import read_to_end, spans_of
from playhead.packing import partition_of
from topics import ANOMALIES, TELEMETRY
from topics.errors import PlayheadError

CONTESTANTS: Final = ("lane", "faust-table", "quix", "kafka-streams")
"""Those whose state survives the process that has it."""

CYCLE: Final = 97
"""One sample in so many is an outlier."""

STEADY_S: Final = 6.0
"""Load before a kill, some checkpoints long; and so long must all have been told in time once caught up."""

SETTLE_S: Final = 3.0
"""From when the partitions are shared out until the first events come."""

LONGEST_S: Final = 3_600.0
"""What the load is told to last, unless it is told to end."""

TAKE_OVER_TIMEOUT_S: Final = 60.0
CATCH_UP_TIMEOUT_S: Final = 120.0
BEHIND_MS: Final = 1_000
"""A word that comes later than so long after its cause is one of a process that has not caught up."""

POLL_S: Final = 0.25
READ_S: Final = 1.0


class Plan(NamedTuple):
    """What a run measures."""

    series: int
    """Of both processes together."""
    rate_per_s: float
    """Of the load, for those that keep up with it."""
    kills: int
    """Of each contestant."""
    contestants: Sequence[str] = CONTESTANTS

    @property
    def steps(self) -> int:
        """Kills, of all contestants."""
        return self.kills * len(self.contestants)


class Word(NamedTuple):
    """An anomaly as it was told."""

    id: str
    partition: int
    """Of `telemetry`."""
    told_ms: int
    origin_ms: int


def run(
    settings: Settings, plan: Plan, command: str, report: Report, step: Callable[[], None]
) -> RecoveryResult:
    """Measure and return all kills. What a contestant does not manage is told, and harms no other's figures.

    Args:
        command: how this was called, to be kept with the figures.
        report: told what is being done.
        step: called after each kill.

    Raises:
        BenchError: there is no such contestant.
    """
    began, clock = datetime.now(UTC), time.monotonic()
    machine = this_machine(settings)
    for name in plan.contestants:
        one_of(name)
    kills: list[Recovery] = []
    missing: dict[str, str] = {}
    for name in plan.contestants:
        try:
            kills += _kills_of(settings, plan, name, report, step)
        except (PlayheadError, KafkaException) as error:
            report(f"{name}: {error}")
            missing[name] = str(error)
    return RecoveryResult(
        command=command,
        began=began.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
        machine=machine,
        series=plan.series,
        session_timeout_s=settings.engine.session_timeout_s,
        kills=kills,
        missing=missing,
    )


def judge(
    before: set[str], after: Sequence[Word], partitions: set[int], killed_ms: int
) -> tuple[float, float, int] | None:
    """Return first new output and caught up, both in seconds since the kill, and the number of new outputs.

    None stands for nothing new of `partitions`.

    Args:
        before: ids told before the kill: what is said again is no news.

    >>> words = [Word("a", 0, 2_000, 900), Word("b", 0, 7_000, 2_500), Word("c", 0, 8_000, 7_900),
    ...          Word("d", 1, 2_000, 1_900)]
    >>> judge({"a"}, words, {0}, killed_ms=1_000)
    (6.0, 6.0, 2)
    """
    news = [word for word in after if word.partition in partitions and word.id not in before]
    if not news:
        return None
    first_ms = min(word.told_ms for word in news)
    late_ms = max(
        (word.told_ms for word in news if word.told_ms - word.origin_ms > BEHIND_MS), default=first_ms
    )
    return (first_ms - killed_ms) / 1000, (late_ms - killed_ms) / 1000, len(news)


def _kills_of(
    settings: Settings, plan: Plan, name: str, report: Report, step: Callable[[], None]
) -> list[Recovery]:
    """Kill one of two processes of a contestant under load, again and again."""
    partitions = TELEMETRY.partitions
    rate = min(plan.rate_per_s, one_of(name).most_per_s)
    shape = Shape(series=plan.series, cycle=CYCLE)
    stream = Stream(
        rate_per_s=rate,
        seconds=LONGEST_S,
        series=shape.series,
        cycle=shape.cycle,
        partitions=partitions,
        first=shape.series,
        until_told=True,
    )
    found = []
    with (
        run_topics(settings, partitions) as live,
        tempfile.TemporaryFile() as errors,
        Running(live, name, report) as running,
    ):
        running.add()
        running.wait_until_shared(partitions)
        # Faust passes over what comes while it looks for the state of partitions that it was just given.
        time.sleep(SETTLE_S)
        report(f"two processes of {name} learn {shape.series:,} series")
        send_backlog(client_config(live), live.prefix, shape, shape.series, partitions)
        running.wait_for(shape.series)
        generator = start_generator(live, stream, errors)
        try:
            for number in range(plan.kills):
                report(f"{name}: kill {number + 1} of {plan.kills}, at {rate:,.0f} events/s")
                time.sleep(STEADY_S)
                found.append(_kill_one(live, running, shape.series, rate))
                step()
                if generator.poll() is not None:
                    raise BenchError(f"{name}: the load ended by itself")
                if number + 1 < plan.kills:
                    running.add_and_wait()
                    running.wait_until_shared(partitions)
        finally:
            generator.kill()
    return found


def _kill_one(live: Settings, running: Running, series: int, rate: float) -> Recovery:
    """Kill the process that has most to lose, and see what becomes of its partitions."""
    name, partitions = running.contestant, TELEMETRY.partitions
    owned: dict[Member, set[int]] = {member: running.owned_by(member) for member in running.members}
    victim = max(owned, key=lambda member: len(owned[member]))
    lost = owned[victim]
    if not lost:
        raise BenchError(f"{name}: no process has a partition before the kill")
    ends = {span.partition: span.end for span in spans_of(client_config(live), _anomalies(live))}
    killed_ms = now_ms()
    running.drop(victim, kill=True)
    before = {word.id for word in _words(live)}
    _wait(
        lambda: lost <= set().union(*map(running.owned_by, running.members)),
        TAKE_OVER_TIMEOUT_S,
        f"{name}: nobody took over partitions {sorted(lost)}",
    )
    taken_over_s = (now_ms() - killed_ms) / 1000
    first_s, caught_up_s, outputs = _caught_up(live, running, before, ends, lost, killed_ms)
    return Recovery(
        contestant=name,
        rate_per_s=rate,
        series=round(series * len(lost) / partitions),
        partitions=sorted(lost),
        taken_over_s=taken_over_s,
        first_output_s=first_s,
        caught_up_s=caught_up_s,
        outputs=outputs,
    )


def _caught_up(
    live: Settings,
    running: Running,
    before: set[str],
    ends: Mapping[int, int],
    lost: set[int],
    killed_ms: int,
) -> tuple[float, float, int]:
    """Return what `judge` finds once nothing has come late for a while."""
    deadline = time.monotonic() + CATCH_UP_TIMEOUT_S
    while True:
        time.sleep(READ_S)
        for member in running.members:
            member.check()
        now_s = (now_ms() - killed_ms) / 1000
        judged = judge(before, list(_words(live, ends)), lost, killed_ms)
        if judged is not None and now_s - judged[1] >= STEADY_S:
            return judged
        if time.monotonic() > deadline:
            raise BenchError(
                f"{running.contestant}: not caught up {now_s:.0f} s after the kill; "
                + ("nothing was told" if judged is None else f"the first word came after {judged[0]:.1f} s")
            )


def _anomalies(live: Settings) -> str:
    return ANOMALIES.full_name(live.prefix)


def _words(live: Settings, start: Any = "beginning") -> Iterator[Word]:
    for message in read_to_end(client_config(live), _anomalies(live), start):
        anomaly = ANOMALIES.decode(message.value())
        if anomaly.origin_ms is not None:
            partition = partition_of(anomaly.series.encode(), TELEMETRY.partitions)
            yield Word(anomaly.id, partition, message.timestamp()[1], anomaly.origin_ms)


def _wait(reached: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            raise BenchError(f"{otherwise} within {timeout_s:g} s")
        time.sleep(POLL_S)
