"""A `playhead` command that serves HTTP, as a process of its own."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Self

from playhead.engine.local_server import HOST, free_port
from topics.errors import PlayheadError

READY_TIMEOUT_S = 180.0
READY_POLL_S = 0.1
STOP_TIMEOUT_S = 40.0
TAIL_CHARACTERS = 2_000


class ServedProcessError(PlayheadError):
    """The process ended, or did not become ready; the text has the end of its log."""


class ServedProcess:
    """Runs inside the ``with``, on a free port, with its data and its log in `folder`.

    Args:
        command: words after ``playhead``; a gateway or a worker.
        environment: ``PLAYHEAD_…`` variables.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        self._name = command[0]
        self._log = folder / f"{self._name}-{self.port}.log"
        self._began_s = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "playhead", *command],
                env={
                    **os.environ,
                    "PLAYHEAD_DATA_DIR": str(folder),
                    "PLAYHEAD_LOG__FORMAT": "json",
                    "PLAYHEAD_GATEWAY__PORT": str(self.port),
                    "PLAYHEAD_ENGINE__WEB_PORT": str(self.port),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://{HOST}:{self.port}"

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> float:
        """Return once `/readyz` says so, and how long after the start that was, in seconds.

        Raises:
            ServedProcessError: it ended, or is not ready in time.
        """
        while True:
            if self._process.poll() is not None:
                raise ServedProcessError(f"{self._name} ended:\n{self.log_tail()}")
            with suppress(OSError, http.client.HTTPException):  # it does not listen yet
                connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == HTTPStatus.OK:
                    return time.perf_counter() - self._began_s
            if time.perf_counter() - self._began_s > timeout_s:
                raise ServedProcessError(f"{self._name} is not ready:\n{self.log_tail()}")
            time.sleep(READY_POLL_S)

    def log_tail(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-TAIL_CHARACTERS:]

    def stop(self) -> None:
        """End it in good order."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
