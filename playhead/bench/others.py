"""The contestants that are no part of Playhead's environment, made ready on first use and cached."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from playhead.bench.errors import ContestantMissingError
from playhead.engine.errors import EngineError
from playhead.engine.folders import tools_folder
from playhead.engine.java import find_java, find_maven
from playhead.engine.local_server import folder_lock

Report = Callable[[str], None]

REQUIREMENTS: Final = "quix_requirements.txt"
PROGRAM: Final = "quix_program.py"
JAVA_HEAP: Final = "-Xmx1g"
INSTALL_TIMEOUT_S: Final = 300.0


def quix_command(report: Report) -> list[str]:
    """Return the command of the Quix Streams program; its environment is made first where it is missing.

    Raises:
        ContestantMissingError: there is no uv, or the packages cannot be had.
    """
    requirements = _file(REQUIREMENTS)
    version = re.search(r"^quixstreams==(\S+)", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None, "the requirements name quixstreams"
    folder = _cached(
        f"quix-{version[1]}-{_digest(requirements)}",
        lambda partial: _install_quix(requirements, partial),
        f"installing Quix Streams {version[1]} into an environment of its own",
        report,
    )
    return [str(folder / "bin" / "python"), str(_file(PROGRAM))]


def kafka_streams_command(report: Report) -> list[str]:
    """Return the command of the Kafka Streams program, compiled first where it is not yet.

    Raises:
        ContestantMissingError: there is no Java or Maven, or the jars cannot be had.
    """
    pom, source = _file("kafka_streams") / "pom.xml", _file("kafka_streams") / "Scoring.java"
    try:
        java = find_java()
        jars = _cached(
            f"kafka-streams-{_digest(pom)}",
            lambda partial: _fetch_jars(pom, partial),
            "fetching Kafka Streams from Maven Central",
            report,
        )
        classes = _cached(
            f"kafka-streams-program-{_digest(pom, source)}",
            lambda partial: _compile(java, jars, source, partial),
            "compiling the Kafka Streams program",
            report,
        )
    except EngineError as error:
        raise ContestantMissingError(f"kafka-streams: {error}") from error
    path = f"{classes}:{jars}/*"
    return [str(java), JAVA_HEAP, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", path, "Scoring"]


def _file(name: str) -> Path:
    return Path(str(resources.files("playhead.bench") / name))


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def _cached(name: str, make: Callable[[Path], None], note: str, report: Report) -> Path:
    """Return the folder `name` of the tools, filled by `make` the first time."""
    tools = tools_folder()
    folder = tools / name
    # An environment cannot be made elsewhere and moved, so a mark says that the folder is whole.
    whole = folder / ".whole"
    if whole.exists():
        return folder
    with folder_lock(tools, report, waiting_for=name):
        if not whole.exists():
            report(note)
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            whole.touch()
    return folder


def _install_quix(requirements: Path, folder: Path) -> None:
    own = tools_folder() / "uv" / "bin" / "uv"
    uv = shutil.which("uv") or (str(own) if own.exists() else None)
    if uv is None:
        raise ContestantMissingError(
            f"quix: uv makes its environment, and there is none on the PATH nor at {own}: run `make setup`"
        )
    # A virtual environment knows its own path, so it is made where it stays.
    _run("quix", [uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    python = str(folder / "bin" / "python")
    install = ["pip", "install", "--quiet", "--require-hashes", "--python", python, "-r", str(requirements)]
    _run("quix", [uv, *install])


def _fetch_jars(pom: Path, folder: Path) -> None:
    folder.mkdir()
    own_pom = folder / "pom.xml"
    own_pom.write_bytes(pom.read_bytes())
    maven = [str(find_maven()), "--batch-mode", "--quiet", "--strict-checksums", "--file", str(own_pom)]
    _run("kafka-streams", [*maven, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"])


def _compile(java: Path, jars: Path, source: Path, folder: Path) -> None:
    """Compile with Eclipse's compiler, which is a jar like the others: a machine may have no JDK."""
    folder.mkdir()
    compiler = next(jars.glob("ecj-*.jar"))
    path = ":".join(str(jar) for jar in sorted(jars.glob("*.jar")))
    options = ["-source", "17", "-target", "17", "-proc:none", "-nowarn", "-cp", path, "-d", str(folder)]
    _run("kafka-streams", [str(java), "-jar", str(compiler), *options, str(source)])


def _run(name: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603
            command,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=INSTALL_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContestantMissingError(f"{name}: {error}") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise ContestantMissingError(
            f"{name} cannot be had here. {command[0]} says:\n" + "\n".join(said[:12])
        )
