"""The demo, shortened, against a real Kafka: it sets everything up, closes the loop and cleans up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from confluent_kafka.admin import AdminClient

DEMO = [sys.executable, "-m", "playhead", "demo", "--json", "--first", "3", "--seconds", "15"]
TIMEOUT_S = 170


@pytest.fixture
def environment(kafka: Any, redis_url: str, topic_prefix: str, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PLAYHEAD_BROKERS": kafka.brokers,
        "PLAYHEAD_REDIS_URL": redis_url,
        "PLAYHEAD_PREFIX": topic_prefix,
        "PLAYHEAD_DATA_DIR": str(tmp_path),
    }


def left_behind(environment: dict[str, str]) -> list[str]:
    """Topics and consumer groups of the demo that are still there."""
    admin = AdminClient({"bootstrap.servers": environment["PLAYHEAD_BROKERS"]})
    topics = admin.list_topics(timeout=10).topics
    groups = [group.group_id for group in admin.list_consumer_groups().result().valid]
    return [name for name in (*topics, *groups) if name.startswith(environment["PLAYHEAD_PREFIX"])]


@pytest.mark.timeout(TIMEOUT_S + 10)
def test_the_demo_closes_the_loop_and_leaves_nothing_behind(environment: dict[str, str]) -> None:
    run = subprocess.run(DEMO, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)

    assert run.returncode == 0, run.stdout.decode()[-3_000:] + run.stderr.decode()
    told = [json.loads(line) for line in run.stdout.splitlines()]
    result = told[-1]["result"]
    assert {step["name"]: step["seen"] for step in result["steps"]} == {
        "incident with a named cause": True,
        "command": True,
        "steering changed": True,
        "recovery": True,
        "undo": True,
        "ingest switched": True,
        "counts add up": True,
    }
    happened = [each["event"] for each in told if "event" in each]
    assert {"anomaly", "INCIDENT", "command", "STEERING", "INGEST", "RECOVERED", "UNDONE"} <= set(happened)
    playback = result["counts"]["playback"]
    assert playback["sent"] == playback["processed"] + playback["dead"] == sum(result["beats"].values())
    assert result["beats"]["obeyed"] > 0
    first = result["verdicts"][0]
    assert (first["detected"], first["right"]) == (True, True)
    assert result["event_to_alert"]["count"] > 0
    assert result["alert_to_steering"]["count"] > 0
    assert left_behind(environment) == []


@pytest.mark.timeout(120)
def test_a_demo_that_is_stopped_says_so_and_leaves_nothing_behind(environment: dict[str, str]) -> None:
    run = subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    wait_for(run.stdout, b"topics ")

    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=100)

    assert run.returncode == 130
    assert b"stopped before the end" in said
    assert left_behind(environment) == []


def test_a_folder_without_incidents_is_named_before_anything_is_started(
    environment: dict[str, str], tmp_path: Path
) -> None:
    command = [*DEMO, "--incidents", str(tmp_path)]
    run = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)

    assert run.returncode == 3
    assert b"incidents.json: cannot be read" in run.stderr
    assert left_behind(environment) == []


def wait_for(lines: IO[bytes], text: bytes) -> None:
    for line in lines:
        if text in line:
            return
    raise AssertionError(f"the demo ended without saying {text!r}")
