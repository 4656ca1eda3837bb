"""A `playhead worker` as a process of its own, to start, kill and start again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from playhead.engine.local_server import free_port


class WorkerProcess:
    """Runs agents in a process.

    Args:
        brokers: Kafka's address.
        prefix: of the run's topics.
        folder: for its log.
        agents: names, or all of them where none is given.
        settings: further ``PLAYHEAD_…`` variables.
    """

    def __init__(
        self,
        brokers: str,
        prefix: str,
        folder: Path,
        agents: tuple[str, ...] = (),
        **settings: str,
    ) -> None:
        self._agents = agents
        self._log = folder / f"worker-{time.monotonic_ns()}.log"
        self._environment = {
            **os.environ,
            "PLAYHEAD_BROKERS": brokers,
            "PLAYHEAD_REDIS_URL": "memory://",
            "PLAYHEAD_PREFIX": prefix,
            "PLAYHEAD_LOG__FORMAT": "json",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            error.add_note(f"the worker's log ends:\n{self.log_tail()}")

    def start(self) -> None:
        """Start, without waiting until it is ready."""
        self._port = free_port()
        command = [sys.executable, "-m", "playhead", "worker", "--no-supervise"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--agents", ",".join(self._agents)],
                env={**self._environment, "PLAYHEAD_ENGINE__WEB_PORT": str(self._port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self, timeout_s: float = 150.0) -> None:
        """Return once `/readyz` says so."""
        deadline = time.monotonic() + timeout_s
        while self.answer("/readyz")[0] != 200:
            assert self.running, f"the worker ended:\n{self.log_tail()}"
            assert time.monotonic() < deadline, f"the worker is not ready:\n{self.log_tail()}"
            time.sleep(0.1)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def answer(self, path: str) -> tuple[int, str]:
        """Return status and body of one of the health endpoints; status 0 where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have `labels`."""
        total = 0.0
        for line in self.answer("/metrics")[1].splitlines():
            head, _, value = line.rpartition(" ")
            wanted = [f'{label}="{text}"' for label, text in labels.items()]
            if head.partition("{")[0] == name and all(label in head for label in wanted):
                total += float(value)
        return total

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log_tail(self, lines: int = 30) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
