"""A worker in a process of its own, as `playhead worker` runs it: for the demo and for measuring."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from playhead.engine.local_server import HOST, free_port
from topics.errors import PlayheadError

POLL_S = 0.1
ANSWER_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 30.0
LOG_LINES = 15


class WorkerFailedError(PlayheadError):
    """The worker ended or did not become ready; the text ends with the end of its log."""


class WorkerProcess:
    """Runs agents; a context manager that stops them.

    Args:
        log: file for what it says.
        settings: ``PLAYHEAD_…`` variables over those of this process.
        agents: names, or all of them where none is given.
    """

    def __init__(self, log: Path, settings: Mapping[str, str], agents: Sequence[str] = ()) -> None:
        self._log = log
        self._port = free_port()
        log.parent.mkdir(parents=True, exist_ok=True)
        port = {"PLAYHEAD_ENGINE__WEB_PORT": str(self._port), "PLAYHEAD_ENGINE__WEB_HOST": HOST}
        with log.open("ab") as file:
            # A session of its own: Ctrl-C is for who started it, which stops the worker in good order.
            command = [sys.executable, "-m", "playhead", "worker", "--no-supervise", "--supervised"]
            self._process = subprocess.Popen(  # noqa: S603
                [*command, "--agents", ",".join(agents)],
                env={**os.environ, **settings, **port, "PLAYHEAD_LOG__FORMAT": "json"},
                stdin=subprocess.PIPE,  # whose end tells the worker that its master is gone
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def wait_until_ready(self, timeout_s: float, stopped: Callable[[], bool] = lambda: False) -> None:
        """Return once every agent knows its partitions and has its state, or once `stopped`.

        Raises:
            WorkerFailedError: the worker ended, or is not ready in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while self._answer("/readyz") is None and not stopped():
            if self._process.poll() is not None:
                raise WorkerFailedError(
                    f"the worker ended with code {self._process.returncode}{self._tail()}"
                )
            if time.monotonic() > deadline_s:
                raise WorkerFailedError(f"the worker is not ready after {timeout_s:g} s{self._tail()}")
            time.sleep(POLL_S)

    def records(self) -> dict[tuple[str, str], int]:
        """Return how many records each agent has read, by agent and outcome, as `agents.metrics` has it."""
        return {
            (sample.labels["agent"], sample.labels["outcome"]): int(sample.value)
            for sample in self.samples("playhead_records_total")
        }

    def samples(self, name: str) -> Iterator[Sample]:
        """Yield what it says of one of the metrics of `agents.metrics`; nothing where it does not answer."""
        for family in text_string_to_metric_families(self._answer("/metrics") or ""):
            yield from (sample for sample in family.samples if sample.name == name)

    def events(self) -> int:
        """Return how many events its agents have taken or refused."""
        return int(sum(sample.value for sample in self.samples("playhead_events_total")))

    @property
    def rss_bytes(self) -> int:
        """How much memory it has in use, of what is the machine's."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self, path: str) -> str | None:
        """Return what one of the health endpoints says, or None unless it says yes."""
        url = f"http://{HOST}:{self._port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT_S) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return None

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return f"; its log, {self._log}, ends:\n" + "\n".join(lines)
