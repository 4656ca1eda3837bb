"""Processes that outlive the command which started them, and that are never mistaken for another."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

POLL_S = 0.05

# The shell leaves the process to init, so it neither waits for us nor becomes our zombie.
_SPAWN = 'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!'


class ProcessMark(msgspec.Struct, frozen=True):
    """A process by number and moment of birth: a recycled number is another process.

    `born` is opaque text, equal only for the same process on the same boot of the machine.
    """

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """The mark of the process now running under `pid`, or None when there is none (or a zombie)."""
        born = _born(pid)
        return None if born is None else cls(pid, born)

    @property
    def alive(self) -> bool:
        return _born(self.pid) == self.born

    def send(self, number: signal.Signals) -> None:
        """Signal this very process; nothing happens when it is gone, whoever has its number now."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def gone_within(self, timeout_s: float) -> bool:
        """Whether the process ends within `timeout_s` seconds."""
        deadline_s = time.monotonic() + timeout_s
        while self.alive:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(POLL_S)
        return True


def spawn(command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> ProcessMark:
    """Start `command` in a session of its own with its output appended to `log`.

    Raises:
        RuntimeError: the process ended before it could be marked.
    """
    shell = ["/bin/sh", "-c", _SPAWN, "sh", str(log), *command]
    started = subprocess.run(  # noqa: S603 - the command is built by the engine, not taken from input
        shell,
        check=True,
        capture_output=True,
        text=True,
        start_new_session=True,
        env=None if env is None else {**os.environ, **env},
    )
    pid = int(started.stdout)
    mark = ProcessMark.of(pid)
    if mark is None:
        raise RuntimeError(f"{command[0]} (process {pid}) ended at once; see {log}")
    return mark


def _born(pid: int) -> str | None:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.parent.parent.joinpath("self").exists():
        return _born_by_ps(pid)
    try:
        # The command name may hold spaces and brackets, so fields are counted from its closing one.
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, start_ticks = fields[0], fields[19]
    if state in "ZX" and not _threads_left(pid):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{start_ticks}"


def _threads_left(pid: int) -> bool:
    # A killed process looks dead while its other threads still end, and till then it holds its ports.
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1  # noqa: PTH208 - names only, and it may vanish
    except OSError:
        return False


def _born_by_ps(pid: int) -> str | None:
    shown = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    state, _, started = shown.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None
