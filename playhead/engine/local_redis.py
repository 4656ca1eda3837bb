"""A Redis of this machine's own redis-server, in memory only: what it holds can be made again."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from playhead.engine.errors import ToolError
from playhead.engine.folders import tools_folder
from playhead.engine.local_server import HOST, LocalServer, Report, silent

REDIS_INSTALL = "apt-get install -y redis-server"
# Valkey is the same server under the name that some systems ship it by.
_PROGRAMS = ("redis-server", "valkey-server")


@dataclass(frozen=True)
class RedisProgram:
    """A redis-server and the shared libraries to run it with, when they are not the system's."""

    path: Path
    libraries: tuple[Path, ...] = ()

    @property
    def environment(self) -> Mapping[str, str]:
        """What to add to the environment so that the program finds its libraries."""
        return {"LD_LIBRARY_PATH": ":".join(map(str, self.libraries))} if self.libraries else {}


def find_redis(tools: Path) -> RedisProgram:
    """The system's redis-server, else the one that `make setup` unpacked under `tools`.

    Raises:
        ToolError: there is neither.
    """
    for program in _PROGRAMS:
        if found := shutil.which(program):
            return RedisProgram(Path(found))
    unpacked = tools / "redis"
    for program in _PROGRAMS:
        if (path := unpacked / "usr" / "bin" / program).exists():
            folders = [*unpacked.glob("usr/lib/*-linux-*"), *unpacked.glob("lib/*-linux-*")]
            return RedisProgram(path, tuple(sorted(folders)))
    raise ToolError(
        f"there is no redis-server on the PATH. Install it with `{REDIS_INSTALL}`. "
        "Or run Docker, or set PLAYHEAD_REDIS_URL to a Redis you already have"
    )


class LocalRedis(LocalServer):
    """A Redis that keeps nothing on disk, with its log and state in one folder.

    Args:
        folder: log and state; made when missing.
        port: the port for clients, or None to keep the last one or choose a free one.
        tools: where `make setup` unpacks a redis-server that the system lacks.
        report: told what is being done.
        ready_timeout_s: how long it may take until it answers.
        stop_timeout_s: how long it may take to end by itself before it is killed.
    """

    name: ClassVar[str] = "Redis"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        tools: Path | None = None,
        report: Report = silent,
        ready_timeout_s: float = 10.0,
        stop_timeout_s: float = 10.0,
    ) -> None:
        super().__init__(
            folder, port, report=report, ready_timeout_s=ready_timeout_s, stop_timeout_s=stop_timeout_s
        )
        self._tools = tools_folder() if tools is None else tools

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def address(self) -> str:
        """The same as `url`."""
        return self.url

    def _prepare(self, ports: Mapping[str, int]) -> tuple[Sequence[str], Mapping[str, str]]:
        program = find_redis(self._tools)
        command = [str(program.path), "--port", str(ports["client"]), "--bind", HOST]
        in_memory = ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        return [*command, *in_memory], program.environment

    def _answers(self, port: int) -> bool:
        try:
            with socket.create_connection((HOST, port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
