"""Processes that outlive their starter, and marks that survive the recycling of process numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from playhead.engine.detached import ProcessMark, spawn


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ProcessMark]:
    mark = spawn(["sleep", "60"], log=tmp_path / "log")
    yield mark
    mark.send(signal.SIGKILL)


def test_a_spawned_process_is_alive_until_it_is_ended(sleeper: ProcessMark) -> None:
    assert sleeper.alive

    sleeper.send(signal.SIGTERM)

    assert sleeper.gone_within(10)
    assert not sleeper.alive


def test_a_spawned_process_is_not_our_child_and_has_a_session_of_its_own(sleeper: ProcessMark) -> None:
    assert os.getsid(sleeper.pid) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(sleeper.pid, os.WNOHANG)


def test_a_spawned_process_outlives_the_one_that_spawned_it(tmp_path: Path) -> None:
    script = (
        "import sys, msgspec\nfrom pathlib import Path\nfrom playhead.engine.detached import spawn\n"
        "mark = spawn(['sleep', '60'], log=Path(sys.argv[1]))\n"
        "sys.stdout.buffer.write(msgspec.json.encode(mark))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log")], capture_output=True, check=True
    )

    mark = msgspec.json.decode(ran.stdout, type=ProcessMark)
    assert mark.alive
    mark.send(signal.SIGKILL)
    assert mark.gone_within(10)


def test_output_and_errors_are_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")

    mark = spawn(["sh", "-c", "sleep 0.2; echo out; echo error >&2"], log=log)

    assert mark.gone_within(10)
    assert log.read_text() == "before\nout\nerror\n"


def test_the_environment_is_added_to(tmp_path: Path) -> None:
    log = tmp_path / "log"

    mark = spawn(["sh", "-c", "sleep 0.2; echo $ADDED $PATH"], log=log, env={"ADDED": "yes"})

    assert mark.gone_within(10)
    assert log.read_text() == f"yes {os.environ['PATH']}\n"


def test_a_recycled_number_is_another_process_and_is_never_signalled(sleeper: ProcessMark) -> None:
    earlier = ProcessMark(sleeper.pid, born="an earlier process under this number")

    earlier.send(signal.SIGKILL)

    assert not earlier.alive
    assert sleeper.alive


def test_a_mark_read_back_is_the_same_process(sleeper: ProcessMark) -> None:
    read_back = msgspec.json.decode(msgspec.json.encode(sleeper), type=ProcessMark)

    assert read_back.alive


def test_a_number_nobody_has_gives_no_mark() -> None:
    beyond_the_last = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1

    assert ProcessMark.of(beyond_the_last) is None
    assert not ProcessMark(beyond_the_last, "never").alive


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    mark = ProcessMark.of(child.pid)
    while (found := ProcessMark.of(child.pid)) is not None:
        mark = found
        time.sleep(0.01)

    assert mark is None or not mark.alive
    assert child.wait() == 0
