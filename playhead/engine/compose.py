"""Kafka and Redis from the project's docker-compose.yml, where a Docker engine answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from playhead.engine.errors import DataFolderError, StartError
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


class ComposePorts(msgspec.Struct, frozen=True):
    """The ports on this machine under which composed services are found."""

    kafka: int = DEFAULT_KAFKA_PORT
    redis: int = DEFAULT_REDIS_PORT


_PORTS = msgspec.json.Decoder(ComposePorts)


def remember(folder: Path, ports: ComposePorts) -> None:
    """Note in the data folder that Compose is used, so that later commands need not ask Docker."""
    _record(folder).write_bytes(msgspec.json.encode(ports))


def remembered(folder: Path) -> ComposePorts | None:
    """The ports in use, or None when Compose is not.

    Raises:
        DataFolderError: the note cannot be read.
    """
    try:
        return _PORTS.decode(_record(folder).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise DataFolderError(f"{_record(folder)}: {error}. Delete this file and start again") from error


def forget(folder: Path) -> None:
    """Note that Compose is not used any more."""
    _record(folder).unlink(missing_ok=True)


class Compose:
    """The project's Compose services, of which only Kafka and Redis are started here.

    Args:
        ports: where they are found on this machine.
        report: told what is being done.

    Raises:
        StartError: there is no docker-compose.yml, for this is not a checkout.
    """

    def __init__(self, ports: ComposePorts, report: Report = silent) -> None:
        file = compose_file()
        if file is None:
            raise StartError("Docker Compose was used here, but there is no docker-compose.yml any more")
        self._command = ["docker", "compose", "--file", str(file)]
        self._environment = {"PLAYHEAD_KAFKA_PORT": str(ports.kafka), "PLAYHEAD_REDIS_PORT": str(ports.redis)}
        self._report = report
        self.kafka = ComposeService(self, "kafka", f"{HOST}:{ports.kafka}")
        self.redis = ComposeService(self, "redis", f"redis://{HOST}:{ports.redis}/0")

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
        environment = {**os.environ, **self._environment}
        try:
            ran = subprocess.run(  # noqa: S603
                command, check=False, capture_output=True, text=True, env=environment, timeout=UP_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartError(f"`{' '.join(command)}` did not finish: {error}") from error
        if ran.returncode != 0:
            raise StartError(
                f"`{' '.join(command)}` failed; PLAYHEAD_DOCKER=no does without Docker. "
                f"It says:\n{ran.stderr.strip()}"
            )
        return ran.stdout


class ComposeService:
    """One service of a compose file."""

    origin: ClassVar[Literal["compose"]] = "compose"

    def __init__(self, compose: Compose, name: str, address: str) -> None:
        self._compose = compose
        self._name = name
        self.address = address

    def answers(self) -> bool:
        """Whether the service's container runs; it does not where Docker is gone."""
        try:
            running = self._compose.run("ps", "--services", "--status", "running")
        except StartError:
            return False
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


def _record(folder: Path) -> Path:
    return folder / "compose.json"


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
