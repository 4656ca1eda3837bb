"""Where figures were taken."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from config import Settings
from playhead.engine import broker
from playhead.engine.broker import Options
from playhead.engine.errors import EngineError
from playhead.engine.java import kafka_version

BUSY_SHARE: Final = 0.5
"""A machine of whose cores more than this share are at work has something else to do."""
LOOK_S: Final = 2.0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, what ran on it, and how busy it was before the run."""

    cores: int
    cpu: str
    memory_gb: float
    python: str
    kafka: str
    load_at_start: float
    """Cores at work, on average over the moments before the run."""
    busy: bool
    """Figures taken then are lower bounds of speed; ratios of one run still hold."""

    def __str__(self) -> str:
        busy = " (busy: figures are lower bounds)" if self.busy else ""
        return (
            f"{self.cores} cores of {self.cpu}, {self.memory_gb:.0f} GB, Python {self.python}, "
            f"Kafka {self.kafka}, load at start {self.load_at_start:.1f}{busy}"
        )


def this_machine(settings: Settings) -> Machine:
    """Return what this machine is."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = _load()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Machine(
        cores=cores,
        cpu=_cpu(),
        memory_gb=round(memory, 1),
        python=platform.python_version(),
        kafka="of its own at PLAYHEAD_BROKERS" if settings.brokers else kafka_version(),
        load_at_start=round(load, 2),
        busy=load > BUSY_SHARE * cores,
    )


def _load() -> float:
    """Return how many cores are at work now: the system's average remembers the run before this one."""
    before = core_seconds()
    if before is None:
        return os.getloadavg()[0]
    time.sleep(LOOK_S)
    after = core_seconds()
    return (after - before) / LOOK_S if after is not None else 0.0


def core_seconds() -> float | None:
    """Return how long all cores have been at work; None where the system does not tell (proc(5), `stat`)."""
    try:
        fields = Path("/proc/stat").read_text(encoding="utf-8").split(maxsplit=8)[1:8]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def kafka_pid(settings: Settings) -> int | None:
    """Return the process of the Kafka that runs on this machine, if it is one of ours."""
    if settings.brokers:
        return None
    try:
        found: Any = broker.status(Options.from_environment()).kafka.pid
    except EngineError:
        return None
    return int(found) if found else None


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
