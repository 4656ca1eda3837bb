"""What a local Kafka and a local Redis share: a folder, a lock, remembered ports, a detached process."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from playhead.engine.detached import POLL_S, ProcessMark, spawn
from playhead.engine.errors import DataFolderError, PortError, StartError

Report = Callable[[str], None]
"""Where progress is told, one line at a time."""

HOST = "127.0.0.1"
LOG_TAIL_LINES = 20
START_ATTEMPTS = 3
PORT_ATTEMPTS = 100
# Below the ports that systems hand to clients: a client that keeps calling a stopped server from such a
# port can, by chance, call from the very port it calls, connect to itself, and so keep the server out.
FREE_PORTS = range(20_000, 32_768)


def silent(_: str) -> None:
    """A `Report` that says nothing."""


class ServerState(msgspec.Struct, frozen=True):
    """What a server's folder remembers between commands: its ports by purpose, and its process if any."""

    ports: dict[str, int] = {}
    process: ProcessMark | None = None


_STATES = msgspec.json.Decoder(ServerState)


class LocalServer(ABC):
    """A server on this machine that lives in one folder and survives the command that started it.

    Commands that run at the same time take turns through a lock file, so `start` from two of them
    starts one process. A port is chosen free once and kept; one given by number is insisted on.

    Args:
        folder: where configuration, data, log and state live; made when missing.
        port: the port for clients, or None to keep the last one or choose a free one.
        report: told what is being done.
        ready_timeout_s: how long the server may take until it answers.
        stop_timeout_s: how long it may take to end by itself before it is killed.
    """

    origin: ClassVar[Literal["local"]] = "local"
    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]] = ("client",)

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        report: Report = silent,
        ready_timeout_s: float = 60.0,
        stop_timeout_s: float = 30.0,
    ) -> None:
        self.folder = folder.absolute()
        self._port = port
        self._report = report
        self._ready_timeout_s = ready_timeout_s
        self._stop_timeout_s = stop_timeout_s

    @abstractmethod
    def _prepare(self, ports: Mapping[str, int]) -> tuple[Sequence[str], Mapping[str, str]]:
        """Write what the server reads; return its command line and the environment to add."""

    @abstractmethod
    def _answers(self, port: int) -> bool:
        """Whether a client gets an answer from the server on `port`."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients find the server, as they take it."""

    @property
    def log(self) -> Path:
        """The file that has the server's output since its last start."""
        return self.folder / f"{self.name.lower()}.log"

    @property
    def running(self) -> bool:
        """Whether the process that was started in this folder is alive."""
        process = self._state().process
        return process is not None and process.alive

    @property
    def pid(self) -> int | None:
        """The process number of the running server."""
        process = self._state().process
        return process.pid if process is not None and process.alive else None

    @property
    def port(self) -> int:
        """The port for clients.

        Raises:
            StartError: the server was never started in this folder.
        """
        try:
            return self._state().ports["client"]
        except KeyError:
            raise StartError(f"{self.name} was never started in {self.folder}") from None

    def answers(self) -> bool:
        """Whether the server runs and answers a client now."""
        return self.running and self._answers(self.port)

    def start(self) -> bool:
        """Start the server and wait until it answers; False when it was running already.

        Raises:
            DataFolderError: the folder cannot be used.
            PortError: the port asked for is taken.
            ToolError: a program it needs is missing or too old.
            StartError: it ended or did not answer in time; its log's tail is in the text.
        """
        with self._locked():
            state = self._state()
            if state.process is not None and state.process.alive:
                self._await_answer(state.process, state.ports["client"])
                return False
            for attempts_left in reversed(range(START_ATTEMPTS)):
                ports = self._choose_ports(state.ports)
                if self._launch(ports, may_fail_on_port=bool(attempts_left) and self._port is None):
                    return True
                state = ServerState()
            raise StartError(f"{self.name} found no free port in {START_ATTEMPTS} attempts")

    def stop(self) -> bool:
        """End the server in good order; False when it was not running."""
        with self._locked():
            process = self._state().process
            if process is None or not process.alive:
                return False
            self._end(process)
            return True

    def kill(self) -> bool:
        """End the server at once, as a power cut would; False when it was not running."""
        with self._locked():
            process = self._state().process
            if process is None or not process.alive:
                return False
            process.send(signal.SIGKILL)
            process.gone_within(self._stop_timeout_s)
            return True

    def log_tail(self) -> str:
        """The last lines of the log, or a sentence when there is none."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return "(no log was written)"
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _launch(self, ports: dict[str, int], *, may_fail_on_port: bool) -> bool:
        command, env = self._prepare(ports)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        self._report(f"starting {self.name} on {HOST}:{ports['client']}")
        try:
            process = spawn(command, log=self.log, env=env)
        except RuntimeError as error:
            raise StartError(f"{error}\n{self.log_tail()}") from error
        self._remember(ServerState(ports, process))
        try:
            self._await_answer(process, ports["client"])
        except BaseException as error:
            self._end(process)
            if isinstance(error, StartError) and may_fail_on_port and "in use" in self.log_tail():
                return False
            raise
        return True

    def _await_answer(self, process: ProcessMark, port: int) -> None:
        deadline_s = time.monotonic() + self._ready_timeout_s
        while process.alive:
            if self._answers(port):
                return
            if time.monotonic() > deadline_s:
                raise StartError(
                    f"{self.name} did not answer on {HOST}:{port} within {self._ready_timeout_s:g} s. "
                    f"The end of {self.log}:\n{self.log_tail()}"
                )
            time.sleep(POLL_S)
        raise StartError(f"{self.name} ended while starting. The end of {self.log}:\n{self.log_tail()}")

    def _end(self, process: ProcessMark) -> None:
        process.send(signal.SIGTERM)
        if not process.gone_within(self._stop_timeout_s):
            self._report(f"{self.name} did not stop within {self._stop_timeout_s:g} s; killing it")
            process.send(signal.SIGKILL)
            process.gone_within(self._stop_timeout_s)

    def _choose_ports(self, remembered: Mapping[str, int]) -> dict[str, int]:
        if self._port is not None and not _free(self._port):
            raise PortError(
                f"port {self._port} for {self.name} is taken by another program: "
                "stop that program, or choose another port"
            )
        wanted = dict(remembered)
        if self._port is not None:
            wanted["client"] = self._port
        with _Chooser() as chooser:
            return {name: chooser.port(wanted.get(name)) for name in self.port_names}

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.json"

    def _state(self) -> ServerState:
        try:
            return _STATES.decode(self._state_file.read_bytes())
        except FileNotFoundError:
            return ServerState()
        except NotADirectoryError as error:
            raise _unusable(self.folder, error) from error
        except PermissionError as error:
            raise _unusable(self.folder, error) from error
        except msgspec.DecodeError as error:
            raise DataFolderError(
                f"{self._state_file}: {error}. End any {self.name} still running, then delete this file"
            ) from error

    def _remember(self, state: ServerState) -> None:
        # Written beside and renamed: a command that dies half way leaves the old state, not half a file.
        fresh = self._state_file.with_suffix(".json.new")
        fresh.write_bytes(msgspec.json.encode(state))
        fresh.replace(self._state_file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with folder_lock(self.folder, self._report, waiting_for=self.name):
            yield


@contextmanager
def folder_lock(folder: Path, report: Report, *, waiting_for: str) -> Iterator[None]:
    """Hold `folder`'s lock (made with the folder when missing), after waiting for whoever holds it.

    Raises:
        DataFolderError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another command that is busy with {waiting_for}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def accepts(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether anything accepts a connection there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port that nothing listens on now."""
    with _Chooser() as chooser:
        return chooser.port(None)


class _Chooser:
    """Chooses ports and holds them all until done, so that no two are the same."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def __enter__(self) -> _Chooser:
        return self

    def __exit__(self, *_: object) -> None:
        for held in self._held:
            held.close()

    def port(self, wanted: int | None) -> int:
        """`wanted` when it is free, else any free one."""
        candidates = random.sample(FREE_PORTS, k=PORT_ATTEMPTS)
        for candidate in [wanted, *candidates] if wanted else candidates:
            held = _bound(candidate)
            if held is not None:
                self._held.append(held)
                return candidate
        raise PortError(
            f"none of {PORT_ATTEMPTS} ports tried from {FREE_PORTS.start} to {FREE_PORTS.stop - 1} is free"
        )


def _bound(port: int) -> socket.socket | None:
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((HOST, port))
    except OSError:
        held.close()
        return None
    return held


def _free(port: int) -> bool:
    held = _bound(port)
    if held is None:
        return False
    held.close()
    return True


def _unusable(folder: Path, error: OSError) -> DataFolderError:
    return DataFolderError(
        f"the data folder {folder} cannot be used: {error.strerror or error}. "
        "Set PLAYHEAD_DATA_DIR to a folder you can write to"
    )
