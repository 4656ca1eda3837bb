"""What `doctor` finds, how bad it is, and the line that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from playhead.engine.broker import Options
from playhead.engine.doctor import Check, doctor


def examine(options: Options, *, docker: bool = False) -> dict[str, Check]:
    return {check.name: check for check in doctor(options, lambda: docker)}


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return Options(data_folder=tmp_path / "data")


def test_a_bare_machine_lacks_java_maven_and_redis(bare_machine: Options) -> None:
    checks = examine(bare_machine)

    assert {name for name, check in checks.items() if check.verdict == "fail"} == {"Java", "Kafka's jars"}
    assert checks["Java"].fix == "apt-get install -y default-jre-headless"
    assert checks["Kafka's jars"].fix == "apt-get install -y maven"
    assert (checks["redis-server"].verdict, checks["redis-server"].fix) == (
        "warn",
        "apt-get install -y redis-server",
    )


def test_java_is_not_missed_where_docker_answers(bare_machine: Options) -> None:
    checks = examine(bare_machine, docker=True)

    assert checks["Java"].verdict == "warn"
    assert not [check for check in checks.values() if check.verdict == "fail"]


def test_services_that_were_not_started_are_no_failure(bare_machine: Options) -> None:
    checks = examine(bare_machine)

    assert checks["Kafka"] == Check("Kafka", "warn", "not running", "playhead up")


def test_a_given_kafka_that_does_not_answer_is_a_failure(tmp_path: Path) -> None:
    checks = examine(Options(data_folder=tmp_path, brokers="127.0.0.1:1"))

    assert checks["Kafka"].verdict == "fail"
    assert checks["Kafka"].detail == "given, does not answer at 127.0.0.1:1"


def test_a_data_folder_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    checks = examine(Options(data_folder=tmp_path / "file" / "data"))

    assert checks["data folder"].verdict == "fail"
    assert "PLAYHEAD_DATA_DIR" in str(checks["data folder"].fix)


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    examine(Options(data_folder=tmp_path / "data"))

    assert not (tmp_path / "data").exists()
