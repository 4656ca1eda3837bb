"""The README's session by hand, as written: the worker runs, a service fails, and the incident is shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from worker_process import WorkerProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def line(start: str) -> str:
    """Return the README's command that begins with `start`."""
    return next(found for found in README.splitlines() if found.startswith(start))


def run(command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env={**environment, "PATH": f"{BIN}{os.pathsep}{environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_service_that_fails_is_seen_by_whoever_subscribes(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "PLAYHEAD_BROKERS": kafka.brokers, "PLAYHEAD_PREFIX": topic_prefix}
    run(line("playhead topics create"), environment)
    with WorkerProcess(kafka.brokers, topic_prefix, tmp_path) as worker:
        worker.wait_until_ready()
        run(line("python3 docs/outage.py"), environment)

        shown = run(f"{line('playhead subscribe')} --from beginning --limit 4", environment)

    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).lower()
    assert "payment" in plain
    assert "open" in plain
    assert "resolved" in plain
