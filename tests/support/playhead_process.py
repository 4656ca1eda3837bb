"""A `playhead` command as a process of its own: to feed, watch, interrupt and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from eventually import eventually


class PlayheadProcess:
    """Runs ``playhead`` with `arguments`; standard input is a pipe, output is gathered as it comes.

    Args:
        arguments: of the command.
        environment: ``PLAYHEAD_…`` variables.
        folder: where it runs.
    """

    def __init__(self, *arguments: str, environment: Mapping[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "playhead", *arguments],
            env={**os.environ, "PLAYHEAD_LOG__FORMAT": "json", **environment},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._told: dict[str, list[bytes]] = {"out": [], "error": []}
        self._readers = [
            threading.Thread(target=self._gather, args=("out", self._process.stdout), daemon=True),
            threading.Thread(target=self._gather, args=("error", self._process.stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def output(self) -> str:
        """What it said so far."""
        return b"".join(self._told["out"]).decode()

    @property
    def error(self) -> str:
        """What it noted so far."""
        return b"".join(self._told["error"]).decode()

    def feed(self, data: bytes, *, end: bool = False) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()
        if end:
            self._process.stdin.close()

    def wait_for_output(self, text: str) -> None:
        """Return once it has said `text`."""
        eventually(lambda: text in self.output, f"{text!r} in its output; its notes: {self.error}")

    def interrupt(self) -> int:
        """Send Ctrl-C and return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def wait(self, timeout_s: float = 60.0) -> int:
        """Return the exit code, once all it said is gathered."""
        code = self._process.wait(timeout_s)
        for reader in self._readers:
            reader.join(timeout_s)
        return code

    def _gather(self, where: str, stream: object) -> None:
        for line in stream:  # type: ignore[attr-defined]
            self._told[where].append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        if error is not None:
            error.add_note(f"it said:\n{self.output}\nand noted:\n{self.error}")
