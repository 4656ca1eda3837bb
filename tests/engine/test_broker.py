"""Where services come from, in which order, and what is said when one cannot be had."""

from __future__ import annotations

import stat
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest

from playhead.engine import broker, compose
from playhead.engine.broker import Options
from playhead.engine.compose import ComposePorts, ComposeService
from playhead.engine.errors import DataFolderError, EngineError, StartError, UnreachableError
from playhead.engine.given import GivenKafka, GivenRedis
from playhead.engine.local_kafka import LocalKafka
from playhead.engine.local_redis import LocalRedis
from playhead.engine.local_server import silent

FAKE_DOCKER = """#!/bin/sh
echo "$PLAYHEAD_KAFKA_PORT $PLAYHEAD_REDIS_PORT $*" >>"$(dirname "$0")/calls"
up="$(dirname "$0")/up"
case "$*" in
    *"${FAILS:-nothing fails}"*) echo "no such image" >&2; exit 1 ;;
    info*) echo 28.2.2 ;;
    "compose version"*) echo 2.36.2 ;;
    *" up --detach --wait "*) shift 6; echo "$*" >>"$up" ;;
    *" ps "*) cat "$up" 2>/dev/null || true ;;
    *" stop "* | *" kill "* | *" down") rm -f "$up" ;;
esac
"""


def yes() -> bool:
    return True


def no() -> bool:
    return False


def not_asked() -> bool:
    raise AssertionError("Docker was asked")


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(data_folder=tmp_path)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the Docker client, first on the PATH; its calls are in the file that is returned."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(FAKE_DOCKER)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "calls"


def test_a_given_address_comes_first(tmp_path: Path) -> None:
    options = Options(data_folder=tmp_path, brokers="kafka:9092", redis_url="redis://redis")

    kafka = broker.choose_kafka(options, not_asked)
    redis = broker.choose_redis(options, not_asked)

    assert isinstance(kafka, GivenKafka)
    assert isinstance(redis, GivenRedis)
    assert (kafka.address, redis.address) == ("kafka:9092", "redis://redis")


def test_docker_comes_before_a_kafka_of_our_own(options: Options) -> None:
    kafka = broker.choose_kafka(options, yes)
    redis = broker.choose_redis(options, yes)

    assert isinstance(kafka, ComposeService)
    assert (kafka.address, redis.address) == ("127.0.0.1:9092", "redis://127.0.0.1:6379/0")


def test_without_docker_both_are_of_this_machine(options: Options) -> None:
    assert isinstance(broker.choose_kafka(options, no), LocalKafka)
    assert isinstance(broker.choose_redis(options, no), LocalRedis)


def test_what_runs_already_is_not_left_for_docker(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalKafka, "running", True)

    assert isinstance(broker.choose_kafka(options, not_asked), LocalKafka)


def test_what_compose_started_is_found_without_asking_docker(options: Options) -> None:
    compose.remember(options.data_folder, ComposePorts(kafka=19_092, redis=16_379))

    assert broker.choose_kafka(options, not_asked).address == "127.0.0.1:19092"
    found = broker.discover(options)

    assert found is not None
    assert (found.brokers, found.redis_url) == ("127.0.0.1:19092", "redis://127.0.0.1:16379/0")


def test_nothing_is_found_where_nothing_was_started(options: Options) -> None:
    assert broker.discover(options) is None


@pytest.mark.usefixtures("docker")
def test_an_engine_and_the_plugin_make_docker_available() -> None:
    assert compose.available()


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("missing", ["info", "compose version"])
def test_a_client_without_engine_or_plugin_does_not_count(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", missing)

    assert not compose.available()


def test_no_client_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert not compose.available()


def test_an_engine_that_hangs_does_not_count(docker: Path) -> None:
    docker.with_name("docker").write_text("#!/bin/sh\nexec sleep 60\n")

    assert not compose.engine_answers(timeout_s=0.2)


def test_services_come_up_and_go_down_with_compose(options: Options, docker: Path) -> None:
    told: list[str] = []

    first = broker.up(options, told.append)
    second = broker.up(options)
    status = broker.status(options)
    stopped = broker.down(options)

    assert (first.kafka.origin, first.kafka.was_running, first.redis_url) == (
        "compose",
        False,
        "redis://127.0.0.1:6379/0",
    )
    assert second.kafka.was_running
    assert told == ["starting kafka with Docker Compose", "starting redis with Docker Compose"]
    assert (status.kafka.state, status.kafka.pid) == ("running", None)
    assert stopped == ("Docker Compose",)
    assert broker.discover(options) is None
    assert any(call.endswith("down") for call in docker.read_text().splitlines())


def test_compose_is_told_the_ports_asked_for(tmp_path: Path, docker: Path) -> None:
    options = Options(data_folder=tmp_path, kafka_port=19_092, redis_port=16_379)

    services = broker.up(options)

    assert services.brokers == "127.0.0.1:19092"
    ups = [call for call in docker.read_text().splitlines() if " up " in call]
    assert [call.split()[:2] for call in ups] == [["19092", "16379"]] * 2


@pytest.mark.usefixtures("docker")
def test_kafka_alone_is_stopped_and_started_with_compose(options: Options) -> None:
    broker.up(options)

    assert broker.stop_kafka(options)
    assert not broker.kill_kafka(options)
    assert not broker.start_kafka(options).was_running


@pytest.mark.usefixtures("docker")
def test_what_compose_says_when_it_fails_is_passed_on(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "--wait")

    with pytest.raises(StartError, match=r"(?s)PLAYHEAD_DOCKER=no.*no such image"):
        broker.up(options)


@pytest.mark.usefixtures("docker")
def test_composed_services_of_an_engine_that_is_gone_are_unreachable(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.up(options)

    monkeypatch.setenv("FAILS", "compose")

    assert broker.status(options).kafka.state == "unreachable"


def test_a_note_about_compose_that_is_not_one_is_named(options: Options) -> None:
    (options.data_folder / "compose.json").write_text("{")

    with pytest.raises(DataFolderError, match=r"compose\.json: .*Delete this file"):
        broker.up(options)


def test_without_a_redis_kafka_comes_up_with_a_warning(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(LocalKafka, "start", lambda self: True)
    monkeypatch.setattr(LocalKafka, "port", 29_092)

    services = broker.up(options)

    assert services.redis_url is None
    (warning,) = services.warnings
    assert "no redis-server on the PATH" in warning
    assert "apt-get install -y redis-server" in warning
    assert "The demo does without" in warning


def test_a_given_redis_that_does_not_answer_is_named(tmp_path: Path) -> None:
    url = "redis://127.0.0.1:1/0"

    with pytest.raises(UnreachableError, match=f"PLAYHEAD_REDIS_URL = '{url}'"):
        GivenRedis(url).start()


def test_a_given_redis_that_is_no_url_is_named() -> None:
    with pytest.raises(UnreachableError, match="PLAYHEAD_REDIS_URL = 'localhost'"):
        GivenRedis("localhost").start()


def test_given_services_are_not_ours_to_stop(tmp_path: Path) -> None:
    options = Options(data_folder=tmp_path, brokers="kafka:9092")

    with pytest.raises(EngineError, match="stopping it is not up to Playhead"):
        broker.stop_kafka(options)
    with pytest.raises(EngineError, match="stopping it is not up to Playhead"):
        broker.kill_kafka(options)
    assert broker.down(options) == ()


def test_options_come_from_the_environment(tmp_path: Path) -> None:
    environment = {
        "PLAYHEAD_DATA_DIR": str(tmp_path),
        "PLAYHEAD_BROKERS": "kafka:9092",
        "PLAYHEAD_REDIS_URL": "redis://redis",
        "PLAYHEAD_KAFKA_PORT": "9093",
        "PLAYHEAD_REDIS_PORT": "6380",
        "PLAYHEAD_KAFKA_HEAP_MB": "256",
        "PLAYHEAD_DOCKER": "no",
    }

    assert Options.from_environment(environment) == Options(
        tmp_path, "kafka:9092", "redis://redis", 9093, 6380, 256, may_use_docker=False
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PLAYHEAD_KAFKA_PORT", "nine", "a port from 1 to 65535"),
        ("PLAYHEAD_KAFKA_PORT", "0", "a port from 1 to 65535"),
        ("PLAYHEAD_REDIS_PORT", "70000", "a port from 1 to 65535"),
        ("PLAYHEAD_KAFKA_HEAP_MB", "-1", "a number of MB from 64 to 65536"),
        ("PLAYHEAD_DOCKER", "maybe", "yes or no"),
    ],
)
def test_a_variable_of_the_wrong_kind_is_named_with_its_value(name: str, value: str, expected: str) -> None:
    with pytest.raises(EngineError, match=f"{name} = '{value}': expected {expected}"):
        Options.from_environment({name: value})


def test_docker_is_not_asked_where_it_may_not_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(data_folder=tmp_path, may_use_docker=False)
    monkeypatch.setattr(LocalKafka, "start", lambda self: True)
    monkeypatch.setattr(LocalRedis, "start", lambda self: True)
    monkeypatch.setattr(LocalKafka, "port", 1)
    monkeypatch.setattr(LocalRedis, "port", 2)

    assert broker.up(options, silent, not_asked).kafka.origin == "local"


def test_status_is_plain_enough_for_json(options: Options) -> None:
    status = broker.status(options)

    assert msgspec.json.decode(msgspec.json.encode(status)) == asdict(status)
    assert status.kafka.state == "stopped"
