"""The supervisor of a worker: it starts again what dies, and ends with it or with itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import eventually

SUPERVISOR = """
import sys
from config import load
from playhead.worker import supervise
settings = load({}).settings
limits = {"restart_limit": 3, "restart_window_s": float(sys.argv[1])}
engine = settings.engine.model_copy(update=limits)
sys.exit(supervise(sys.argv[2:], settings.model_copy(update={"engine": engine})))
"""
CHILD = """
import os, sys
folder, *codes = sys.argv[1:]
with open(os.path.join(folder, "starts"), "a") as file:
    file.write(f"{os.getpid()}\\n")
    count = file.tell()
with open(os.path.join(folder, "starts")) as file:
    turn = len(file.readlines()) - 1
sys.exit(int(codes[min(turn, len(codes) - 1)]))
"""
STAYING = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open(os.path.join(sys.argv[1], "starts"), "a") as file:
    file.write(f"{os.getpid()}\\n")
while sys.stdin.buffer.read(1):
    pass
"""

Supervisor = subprocess.Popen[str]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Supervisor]]:
    """Supervisors, ended with the test."""
    processes: list[Supervisor] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def supervise(started: list[Supervisor], *child: str, window_s: float = 60.0) -> Supervisor:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(window_s), sys.executable, "-c", *child],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started.append(process)
    return process


def children(folder: Path) -> list[int]:
    file = folder / "starts"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process_id}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("code", [0, 2, 3])
def test_what_another_start_would_not_change_ends_it(
    started: list[Supervisor], tmp_path: Path, code: int
) -> None:
    assert supervise(started, CHILD, str(tmp_path), str(code)).wait(60) == code
    assert len(children(tmp_path)) == 1


def test_what_dies_is_started_again(started: list[Supervisor], tmp_path: Path) -> None:
    assert supervise(started, CHILD, str(tmp_path), "1", "1", "0").wait(60) == 0
    assert len(children(tmp_path)) == 3


def test_what_keeps_dying_is_left_dead(started: list[Supervisor], tmp_path: Path) -> None:
    process = supervise(started, CHILD, str(tmp_path), "1")

    output, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert len(children(tmp_path)) == 3
    assert "worker keeps dying, giving up" in output


def test_deaths_far_apart_are_forgiven(started: list[Supervisor], tmp_path: Path) -> None:
    # No two deaths fall within a window of no length.
    process = supervise(started, CHILD, str(tmp_path), "1", "1", "1", "1", "1", "0", window_s=0.000_001)

    assert process.wait(60) == 0
    assert len(children(tmp_path)) == 6


def test_a_killed_child_is_started_again(started: list[Supervisor], tmp_path: Path) -> None:
    supervise(started, STAYING, str(tmp_path))
    (first,) = eventually(lambda: children(tmp_path), "the child")

    os.kill(first, signal.SIGKILL)

    eventually(lambda: len(children(tmp_path)) == 2, "another child")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both(started: list[Supervisor], tmp_path: Path, number: signal.Signals) -> None:
    process = supervise(started, STAYING, str(tmp_path))
    (child,) = eventually(lambda: children(tmp_path), "the child")

    process.send_signal(number)

    assert process.wait(60) in {0, 1}
    assert not alive(child)
    assert len(children(tmp_path)) == 1


def test_the_child_ends_when_its_supervisor_is_killed(started: list[Supervisor], tmp_path: Path) -> None:
    process = supervise(started, STAYING, str(tmp_path))
    (child,) = eventually(lambda: children(tmp_path), "the child")

    process.kill()

    eventually(lambda: not alive(child), "the child's end")
