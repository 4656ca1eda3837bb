"""What every local server does with its folder, ports, lock and process, shown with the smallest server."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from playhead.engine.errors import DataFolderError, PortError, StartError
from playhead.engine.local_server import (
    FREE_PORTS,
    HOST,
    LocalServer,
    ServerState,
    accepts,
    folder_lock,
    free_port,
    silent,
)

LISTEN = """
import signal, socket, sys
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "broken" in sys.argv:
    sys.exit("I am broken")
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listener.accept()[0].close()
"""


class Listener(LocalServer):
    """A server that accepts connections and says nothing."""

    name: ClassVar[str] = "Listener"

    def __init__(self, folder: Path, port: int | None = None, *manners: str, **options: float) -> None:
        self.reported: list[str] = []
        super().__init__(folder, port, report=self.reported.append, **options)
        self.manners = manners

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def _prepare(self, ports: Mapping[str, int]) -> tuple[Sequence[str], Mapping[str, str]]:
        return [sys.executable, "-c", LISTEN, str(ports["client"]), *self.manners], {}

    def _answers(self, port: int) -> bool:
        return accepts(HOST, port)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "server"
    yield folder
    if folder.is_dir():
        Listener(folder).kill()


def test_it_starts_once_and_stops_once(folder: Path) -> None:
    server = Listener(folder)

    assert server.start()
    assert server.running
    assert server.answers()
    assert not server.start()
    assert server.stop()
    assert not server.running
    assert not server.stop()


def test_another_command_finds_it_by_its_folder(folder: Path) -> None:
    first, second = Listener(folder), Listener(folder)
    first.start()

    assert second.running
    assert (second.pid, second.port) == (first.pid, first.port)
    assert second.stop()
    assert not first.running


def test_the_port_is_remembered(folder: Path) -> None:
    Listener(folder).start()
    port = Listener(folder).port
    Listener(folder).kill()

    Listener(folder).start()

    assert Listener(folder).port == port


def test_a_remembered_port_that_is_taken_meanwhile_is_given_up(folder: Path) -> None:
    server = Listener(folder)
    server.start()
    server.stop()

    with socket.create_server((HOST, server.port)) as other:
        server.start()
        assert server.port != other.getsockname()[1]


def test_a_port_asked_for_by_number_is_insisted_on(folder: Path) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortError, match=f"port {port} for Listener is taken"):
            Listener(folder, port).start()


def test_free_ports_are_none_that_clients_are_given() -> None:
    first_for_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert free_port() in FREE_PORTS
    assert FREE_PORTS.stop <= first_for_clients


def test_the_process_of_an_earlier_boot_is_not_taken_for_the_server(folder: Path) -> None:
    server = Listener(folder)
    server.start()
    state = msgspec.json.decode((folder / "state.json").read_bytes(), type=ServerState)
    assert state.process is not None
    recycled = msgspec.structs.replace(state.process, born="an earlier boot")
    (folder / "state.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(state, process=recycled)))

    assert not server.running
    assert not server.stop()
    assert not server.kill()
    assert state.process.alive
    (folder / "state.json").write_bytes(msgspec.json.encode(state))


def test_one_that_ends_while_starting_shows_its_log(folder: Path) -> None:
    with pytest.raises(StartError, match=r"(?s)Listener ended while starting.*I am broken"):
        Listener(folder, None, "broken").start()


def test_one_that_does_not_answer_in_time_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Listener(folder, ready_timeout_s=0.2)
    monkeypatch.setattr(server, "_answers", lambda port: False)

    with pytest.raises(StartError, match="did not answer on"):
        server.start()

    assert not server.running


def test_one_deaf_to_the_request_is_killed_with_a_word(folder: Path) -> None:
    server = Listener(folder, None, "deaf", stop_timeout_s=0.3)
    server.start()

    assert server.stop()

    assert not server.running
    assert server.reported[-1] == "Listener did not stop within 0.3 s; killing it"


def test_the_log_of_the_last_run_is_kept_beside(folder: Path) -> None:
    folder.mkdir()
    server = Listener(folder)
    server.log.write_text("the last run\n")

    server.start()

    assert (folder / "listener.log.1").read_text() == "the last run\n"
    assert server.log.read_text() == ""


def test_only_the_end_of_a_log_is_shown(folder: Path) -> None:
    folder.mkdir()
    server = Listener(folder)
    server.log.write_text("".join(f"line {number}\n" for number in range(100)))

    assert server.log_tail().splitlines() == [f"line {number}" for number in range(80, 100)]


def test_starting_from_several_commands_starts_one(folder: Path) -> None:
    started: list[bool] = []
    threads = [threading.Thread(target=lambda: started.append(Listener(folder).start())) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(started) == [False, False, False, True]


def test_waiting_for_another_command_is_told(tmp_path: Path) -> None:
    reported: list[str] = []

    def wait() -> None:
        with folder_lock(tmp_path, reported.append, waiting_for="the services"):
            reported.append("mine")

    with folder_lock(tmp_path, silent, waiting_for="the services"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not reported:
            pass
    waiting.join()

    assert reported == ["waiting for another command that is busy with the services", "mine"]


def test_a_state_that_is_not_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}}")

    with pytest.raises(DataFolderError, match=r"state\.json: .*delete this file"):
        Listener(tmp_path).start()


def test_the_port_of_one_never_started_is_asked_in_vain(folder: Path) -> None:
    with pytest.raises(StartError, match="Listener was never started in"):
        _ = Listener(folder).port


def test_a_folder_under_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataFolderError, match=r"file/data cannot be used: Not a directory"):
        Listener(tmp_path / "file" / "data").start()
