"""A real Prometheus Alertmanager, on a free port, with a receiver of the test's choice."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from playhead.engine.folders import data_folder
from playhead.engine.local_server import free_port

PROGRAM = "prometheus-alertmanager"


def find_alertmanager() -> str:
    """Return where the program is that `scripts/setup.sh --tests` installs."""
    unpacked = data_folder() / "tools" / "alertmanager" / "usr" / "bin" / PROGRAM
    found = shutil.which(PROGRAM) or (str(unpacked) if unpacked.exists() else None)
    assert found is not None, f"{PROGRAM} is missing: run scripts/setup.sh --tests"
    return found


class AlertmanagerProcess:
    """Runs an Alertmanager that posts every alert to `webhook` at once; a context manager."""

    def __init__(self, folder: Path, webhook: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        quick = {"group_by": ["..."], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
        config = {
            "route": {"receiver": "playhead", **quick},
            "receivers": [{"name": "playhead", "webhook_configs": [{"url": webhook, "send_resolved": True}]}],
        }
        self._folder = folder
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self._folder / "alertmanager.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    find_alertmanager(),
                    f"--config.file={self._folder / 'alertmanager.yml'}",
                    f"--storage.path={self._folder / 'alertmanager'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=2)
            except OSError:
                assert self._process.poll() is None, (self._folder / "alertmanager.log").read_text()
                assert time.monotonic() < deadline, "no answer from the Alertmanager"
                time.sleep(0.1)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)
        if error is not None:
            error.add_note((self._folder / "alertmanager.log").read_text()[-3_000:])

    def alerts(self) -> list[Any]:
        """Return the alerts that fire."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            found: list[Any] = json.loads(answer.read())
            return found

    def post(self, *alerts: dict[str, Any]) -> None:
        """Raise alerts, as Prometheus does."""
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts",
            data=json.dumps(alerts).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5):
            return
