"""Kafka and Redis from the project's docker-compose.yml, where a Docker engine answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

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
        self._file = file
        self._ports = {"PLAYHEAD_KAFKA_PORT": str(kafka_port), "PLAYHEAD_REDIS_PORT": str(redis_port)}
        self._report = report
        self.brokers = f"{HOST}:{kafka_port}"
        self.redis_url = f"redis://{HOST}:{redis_port}/0"

    def up(self, *services: str) -> None:
        """Start `services` and wait until they are healthy; quick when they are already.

        Raises:
            StartError: Compose failed; what it said is in the text.
        """
        self._report(f"starting {' and '.join(services)} with Docker Compose")
        self._run("up", "--detach", "--wait", *services)

    def down(self) -> None:
        """Stop and remove the containers; volumes stay."""
        self._run("down")

    def stop(self, service: str) -> None:
        """Stop one service's container in good order."""
        self._run("stop", service)

    def kill(self, service: str) -> None:
        """End one service's container at once."""
        self._run("kill", service)

    def running(self, service: str) -> bool:
        """Whether the service's container runs."""
        return service in self._run("ps", "--services", "--status", "running").split()

    def _run(self, *arguments: str) -> str:
        command = ["docker", "compose", "--file", str(self._file), *arguments]
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
