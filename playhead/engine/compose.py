"""Kafka and Redis from the project's docker-compose.yml, where a Docker engine answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from playhead.engine.errors import StartError
from playhead.engine.folders import project_folder
from playhead.engine.local_server import HOST, Report, silent

PROBE_TIMEOUT_S = 5.0
UP_TIMEOUT_S = 300.0
DEFAULT_KAFKA_PORT = 9092
DEFAULT_REDIS_PORT = 6379


def engine_answers(timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """Whether a Docker engine answers; a client alone does not count."""
    return _prints("docker", "info", "--format", "{{.ServerVersion}}", timeout_s=timeout_s)


def compose_answers(timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """Whether the Docker client has its compose plugin."""
    return _prints("docker", "compose", "version", "--short", timeout_s=timeout_s)


def compose_file() -> Path | None:
    """The project's docker-compose.yml, or None when this is not a checkout."""
    root = project_folder()
    file = None if root is None else root / "docker-compose.yml"
    return file if file is not None and file.is_file() else None


def available() -> bool:
    """Whether services can be had from Docker Compose: a file, the plugin and an engine that answers."""
    return compose_file() is not None and compose_answers() and engine_answers()


class Compose:
    """The project's Compose services, of which only Kafka and Redis are started here.

    Args:
        file: the compose file.
        kafka_port: the port on this machine for Kafka's clients.
        redis_port: the port on this machine for Redis' clients.
        report: told what is being done.
    """

    def __init__(
        self,
        file: Path,
        *,
        kafka_port: int = DEFAULT_KAFKA_PORT,
        redis_port: int = DEFAULT_REDIS_PORT,
        report: Report = silent,
    ) -> None:
        self._command = ["docker", "compose", "--file", str(file)]
        self._ports = {"PLAYHEAD_KAFKA_PORT": str(kafka_port), "PLAYHEAD_REDIS_PORT": str(redis_port)}
        self._report = report
        self.kafka = ComposeService(self, "kafka", f"{HOST}:{kafka_port}")
        self.redis = ComposeService(self, "redis", f"redis://{HOST}:{redis_port}/0")

    def down(self) -> None:
        """Stop and remove the containers; volumes stay."""
        self.run("down")

    def run(self, *arguments: str, report: str | None = None) -> str:
        """What `docker compose` prints for `arguments`.

        Raises:
            StartError: it failed; what it said is in the text.
        """
        if report is not None:
            self._report(report)
        command = [*self._command, *arguments]
        environment: Mapping[str, str] = {**os.environ, **self._ports}
        try:
            ran = subprocess.run(  # noqa: S603
                command, check=False, capture_output=True, text=True, env=environment, timeout=UP_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartError(f"`{' '.join(command)}` did not finish: {error}") from error
        if ran.returncode != 0:
            raise StartError(f"`{' '.join(command)}` failed. It says:\n{ran.stderr.strip()}")
        return ran.stdout


class ComposeService:
    """One service of a compose file."""

    origin: ClassVar[Literal["compose"]] = "compose"

    def __init__(self, compose: Compose, name: str, address: str) -> None:
        self._compose = compose
        self._name = name
        self.address = address

    def answers(self) -> bool:
        """Whether the service's container runs."""
        running = self._compose.run("ps", "--services", "--status", "running")
        return self._name in running.split()

    def start(self) -> bool:
        """Start the container and wait until it is healthy; False when it was running already."""
        was_running = self.answers()
        report = None if was_running else f"starting {self._name} with Docker Compose"
        self._compose.run("up", "--detach", "--wait", self._name, report=report)
        return not was_running

    def stop(self) -> bool:
        """Stop the container in good order; False when it was not running."""
        return self._end("stop")

    def kill(self) -> bool:
        """End the container at once; False when it was not running."""
        return self._end("kill")

    def _end(self, command: str) -> bool:
        was_running = self.answers()
        if was_running:
            self._compose.run(command, self._name)
        return was_running


def _prints(*command: str, timeout_s: float) -> bool:
    if shutil.which(command[0]) is None:
        return False
    try:
        ran = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, text=True, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0 and bool(ran.stdout.strip())
