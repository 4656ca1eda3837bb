"""Java and Maven on this machine, and Kafka's jars fetched with them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from playhead.engine.errors import ToolError
from playhead.engine.local_server import Report, folder_lock, silent

OLDEST_JAVA = 17
JAVA_INSTALL = "apt-get install -y default-jre-headless"
MAVEN_INSTALL = "apt-get install -y maven"
_INSTEAD = "Or run Docker, or set PLAYHEAD_BROKERS to a Kafka you already have"


def kafka_resource(name: str) -> Traversable:
    """A file that ships beside this module for Kafka."""
    return resources.files("playhead.engine") / "kafka" / name


def kafka_version() -> str:
    """The version of Apache Kafka that the shipped pom pins."""
    found = re.search(r"<kafka\.version>(.+?)</", kafka_resource("pom.xml").read_text(encoding="utf-8"))
    assert found is not None, "pom.xml names kafka.version"
    return found[1]


def find_java() -> Path:
    """The `java` to run Kafka with: JAVA_HOME's when set, else the one on the PATH.

    Raises:
        ToolError: there is none, or it is older than Java 17, which Kafka 4 needs.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        where = f"JAVA_HOME={home}" if home else "the PATH"
        raise ToolError(
            f"Kafka needs Java {OLDEST_JAVA} or newer and there is no java on {where}. "
            f"Install it with `{JAVA_INSTALL}`. {_INSTEAD}"
        )
    version = java_version(Path(java))
    if version < OLDEST_JAVA:
        raise ToolError(
            f"Kafka needs Java {OLDEST_JAVA} or newer and {java} is Java {version}. "
            f"Install a newer one with `{JAVA_INSTALL}`. {_INSTEAD}"
        )
    return Path(java)


def java_version(java: Path) -> int:
    """The feature release of `java`: 17 for 17.0.15, 8 for 1.8.0.

    Raises:
        ToolError: it does not run or does not say its version.
    """
    try:
        shown = subprocess.run(  # noqa: S603
            [java, "-version"], check=False, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{java} does not run: {error}") from error
    found = re.search(r'version "(?:1\.)?(\d+)', shown.stderr + shown.stdout)
    if found is None:
        raise ToolError(
            f"`{java} -version` names no version; it says: {(shown.stderr or shown.stdout).strip()}"
        )
    return int(found[1])


def find_maven() -> Path:
    """The `mvn` on the PATH.

    Raises:
        ToolError: there is none.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise ToolError(
            "Kafka's jars are fetched with Maven and there is no mvn on the PATH. "
            f"Install it with `{MAVEN_INSTALL}`. {_INSTEAD}"
        )
    return Path(maven)


def kafka_jars(tools: Path) -> Path:
    """The folder under `tools` for the jars that the shipped pom pins; another pom, another folder."""
    digest = hashlib.sha256(kafka_resource("pom.xml").read_bytes()).hexdigest()[:8]
    return tools / f"kafka-{kafka_version()}-{digest}"


def fetch_kafka(tools: Path, report: Report = silent) -> Path:
    """The folder with Kafka's jars, fetched from Maven Central the first time.

    Raises:
        DataFolderError: `tools` cannot be written to.
        ToolError: Java or Maven is missing or too old, or the fetch failed (no network, most often).
    """
    jars = kafka_jars(tools)
    if jars.is_dir():
        return jars
    find_java()
    maven = find_maven()
    with folder_lock(tools, report, waiting_for="Kafka's jars"):
        if jars.is_dir():
            return jars
        report(f"fetching Apache Kafka {kafka_version()} from Maven Central into {jars}")
        partial = jars.with_name(jars.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        pom = tools / "pom.xml"
        pom.write_bytes(kafka_resource("pom.xml").read_bytes())
        command = [str(maven), "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom)]
        fetched = subprocess.run(  # noqa: S603
            [*command, "dependency:copy-dependencies", f"-DoutputDirectory={partial}"],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if fetched.returncode != 0:
            said = (fetched.stdout + fetched.stderr).strip().splitlines()
            raise ToolError("Maven could not fetch Kafka's jars. It says:\n" + "\n".join(said[:12]))
        partial.replace(jars)
        return jars
