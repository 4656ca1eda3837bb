"""Which contestants there are: how each is started, and what may be asked of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from playhead.bench.errors import BenchError
from playhead.bench.others import kafka_streams_command, quix_command

Report = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """A contestant.

    Args:
        command_of: Makes it ready where it is not, and returns its command; the task is to follow.
        share_of_events: How much of a backlog a slower one is given, so that a run takes seconds with each.
        most_per_s: The rate that two processes of it keep up with while they also take over from a third.
        tells: Whether it tells episodes.
        reads_committed: Whether it reads only what is committed.
        threads: Whether several of it are threads of one process.
        packed: What its command has to be told before it meets packed records.
    """

    command_of: Callable[[Report], list[str]]
    share_of_events: float = 1.0
    most_per_s: float = float("inf")
    tells: bool = True
    reads_committed: bool = True
    threads: bool = False
    packed: tuple[str, ...] = ()


def _own(name: str, _: Report) -> list[str]:
    return [sys.executable, "-m", "playhead.bench.contestants", name]


PROGRAMS: Final[Mapping[str, Program]] = {
    "lane": Program(partial(_own, "lane")),
    "faust": Program(partial(_own, "faust"), share_of_events=0.02, reads_committed=False),
    "faust-table": Program(
        partial(_own, "faust-table"), share_of_events=0.01, most_per_s=1_000.0, reads_committed=False
    ),
    "quix": Program(quix_command, share_of_events=0.05, most_per_s=10_000.0, packed=("--packed",)),
    "kafka-streams": Program(kafka_streams_command, share_of_events=0.25, threads=True),
    "ceiling": Program(partial(_own, "ceiling"), tells=False),
    "ceiling-decode": Program(partial(_own, "ceiling-decode"), tells=False),
}
"""By name. Each may be followed by `-N`: N processes that share the partitions."""


def split_name(contestant: str) -> tuple[str, int]:
    """Return name and number of processes: ``lane-2`` is two of `lane`.

    Raises:
        BenchError: there is no such contestant.
    """
    name, _, number = contestant.rpartition("-")
    found = (name, int(number)) if number.isdigit() and name else (contestant, 1)
    if found[0] not in PROGRAMS or found[1] < 1:
        raise BenchError(
            f"contestant {contestant!r}: there are {', '.join(PROGRAMS)}, each with -N for N processes"
        )
    return found


def one_of(contestant: str) -> Program:
    """Return what a contestant is, where how many of it there are is not for the caller to say.

    Raises:
        BenchError: there is no such contestant, or it asks for several processes.
    """
    name, processes = split_name(contestant)
    if processes > 1:
        raise BenchError(f"contestant {contestant!r}: give its name alone, {name}")
    return PROGRAMS[name]


def program_of(contestant: str) -> Program:
    """Return what a contestant is, however many processes of it there are.

    Raises:
        BenchError: there is no such contestant.
    """
    return PROGRAMS[split_name(contestant)[0]]
