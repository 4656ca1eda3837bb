"""What this machine has of what Playhead needs, and the line that mends what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playhead.engine import broker, compose
from playhead.engine.broker import Options, ServiceStatus
from playhead.engine.errors import EngineError
from playhead.engine.java import (
    JAVA_INSTALL,
    MAVEN_INSTALL,
    OLDEST_JAVA,
    find_java,
    find_maven,
    java_version,
    kafka_jars,
    kafka_version,
)
from playhead.engine.local_redis import REDIS_INSTALL, find_redis

OLDEST_PYTHON = (3, 11)
LEAST_FREE_GB = 2.0

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: `warn` is something Playhead does without, `fail` something it cannot."""

    name: str
    verdict: Verdict
    detail: str
    fix: str | None = None


def doctor(options: Options, docker_available: Callable[[], bool] = compose.available) -> list[Check]:
    """Look at everything that bringing up services depends on; nothing is started or changed."""
    docker = options.may_use_docker and docker_available()
    # A missing Java is no failure where Kafka comes from elsewhere.
    kafka_elsewhere = docker or bool(options.brokers)
    tools = options.data_folder / "tools"
    return [
        _python(),
        _folder(options.data_folder),
        _disk(options.data_folder),
        _docker(docker),
        _java(missing="warn" if kafka_elsewhere else "fail"),
        _jars(tools, missing="warn" if kafka_elsewhere else "fail"),
        _redis_server(tools),
        *_services(options),
    ]


def _python() -> Check:
    wanted = ".".join(map(str, OLDEST_PYTHON))
    good = sys.version_info >= OLDEST_PYTHON
    return Check(
        "Python", "ok" if good else "fail", platform.python_version(), None if good else f"Python {wanted}"
    )


def _folder(folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Check("data folder", "ok", str(folder))
    return Check(
        "data folder",
        "fail",
        f"{existing} cannot be written to",
        "set PLAYHEAD_DATA_DIR to a folder of yours",
    )


def _disk(folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free_gb = shutil.disk_usage(existing).free / 1e9
    verdict: Verdict = "ok" if free_gb >= LEAST_FREE_GB else "warn"
    return Check(
        "free disk", verdict, f"{free_gb:.1f} GB", None if verdict == "ok" else f"free {LEAST_FREE_GB:g} GB"
    )


def _docker(available: bool) -> Check:
    if available:
        return Check("Docker", "ok", "an engine answers: Kafka and Redis come from Docker Compose")
    return Check("Docker", "ok", "not used: Kafka comes from Maven Central, Redis from the system")


def _java(missing: Verdict) -> Check:
    try:
        java = find_java()
        return Check("Java", "ok", f"{java_version(java)} at {java}")
    except EngineError as error:
        detail = str(error).partition(". ")[0]
        return Check("Java", missing, f"{detail} (Java {OLDEST_JAVA} or newer runs Kafka)", JAVA_INSTALL)


def _jars(tools: Path, missing: Verdict) -> Check:
    jars = kafka_jars(tools)
    if jars.is_dir():
        return Check("Kafka's jars", "ok", str(jars))
    try:
        maven = find_maven()
    except EngineError as error:
        return Check("Kafka's jars", missing, str(error).partition(". ")[0], MAVEN_INSTALL)
    return Check("Kafka's jars", "ok", f"Kafka {kafka_version()} will be fetched with {maven} when needed")


def _redis_server(tools: Path) -> Check:
    try:
        return Check("redis-server", "ok", str(find_redis(tools).path))
    except EngineError as error:
        return Check("redis-server", "warn", str(error).partition(". ")[0], REDIS_INSTALL)


def _services(options: Options) -> list[Check]:
    try:
        status = broker.status(options)
    except EngineError as error:
        return [Check("services", "fail", str(error))]
    return [_service(status.kafka), _service(status.redis)]


def _service(status: ServiceStatus) -> Check:
    if status.state == "running":
        return Check(status.name, "ok", f"{status.origin}, answers at {status.address}")
    if status.state == "stopped":
        return Check(status.name, "warn", "not running", "playhead up")
    fix = "check the address" if status.origin == "given" else "playhead down && playhead up"
    return Check(status.name, "fail", f"{status.origin}, does not answer at {status.address}", fix)
