"""docker-compose.yml and what it mounts: whole, consistent, and the same Kafka as the one without Docker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import compose_spec
import prometheus_client
import pytest
import yaml

import agents.metrics
from playhead.engine.java import kafka_resource, kafka_version

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
LOOPBACK = "127.0.0.1"
INSTRUCTIONS = {"FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def interpolated(text: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE = yaml.safe_load(interpolated((ROOT / "docker-compose.yml").read_text()))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {name for name, service in SERVICES.items() if service["restart"] == "no"}


def binds() -> list[tuple[Path, str]]:
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    pairs = [volume.split(":")[:2] for volume in volumes]
    return [(ROOT / source, target) for source, target in pairs if source.startswith(".")]


def test_it_follows_the_compose_specification() -> None:
    plain = {name: part for name, part in COMPOSE.items() if not name.startswith("x-")}

    parsed = compose_spec.PyCompose.from_json(json.dumps(plain))

    parsed.validate()
    assert set(parsed.service_names()) == set(SERVICES)


def test_the_specification_refuses_a_misspelt_field() -> None:
    plain = {"services": {"kafka": {"imagee": "apache/kafka:4.1.1"}}}

    with pytest.raises(ValueError, match="imagee"):
        compose_spec.PyCompose.from_json(json.dumps(plain))


def test_all_parts_are_there() -> None:
    assert set(SERVICES) >= {"kafka", "redis", "topics", "worker", "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_or_built_from_here(name: str) -> None:
    service = SERVICES[name]

    if "build" in service:
        assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+(-\w+)?", service["image"])


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_lasting_service_says_whether_it_is_healthy(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_for_what_can_be_waited_for(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_completed_successfully":
            assert other in ONE_SHOT
        else:
            assert wait["condition"] == "service_healthy"
            assert "healthcheck" in SERVICES[other]


def test_ports_are_open_to_this_machine_alone_and_differ() -> None:
    ports = [port.split(":") for service in SERVICES.values() for port in service.get("ports", [])]

    assert {address for address, _, _ in ports} == {LOOPBACK}
    published = [port for _, port, _ in ports]
    assert len(set(published)) == len(published)


def test_mounted_files_exist_and_named_volumes_are_declared() -> None:
    named = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }

    assert named == set(COMPOSE["volumes"])
    assert all(source.exists() for source, _ in binds())


def test_kafka_is_the_version_that_runs_without_docker() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_kafka_is_set_like_the_one_without_docker() -> None:
    text = kafka_resource("server.properties").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    local = dict(line.split("=", 1) for line in lines)
    local["message.max.bytes"] = local["replica.fetch.max.bytes"] = str(9 * 1024 * 1024)
    # How it is reached differs, and the size of threads and heap is each machine's own.
    reached = ("listener", "controller", "log.dirs", "node.id", "process.roles", "inter.broker")
    own = {"log.cleaner.dedupe.buffer.size", "num.network.threads", "num.io.threads"}
    shared = {
        name: value
        for name, value in local.items()
        if name not in own and not any(part in name for part in reached)
    }

    environment = SERVICES["kafka"]["environment"]

    composed = {name: str(environment["KAFKA_" + name.replace(".", "_").upper()]) for name in shared}
    assert composed == shared


def test_kafka_tells_each_side_the_address_it_can_reach() -> None:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")

    assert f"HOST://{LOOPBACK}:9092" in advertised
    assert f"INTERNAL://{SERVICES['worker']['environment']['PLAYHEAD_BROKERS']}" in advertised


def test_the_image_is_built_from_files_that_are_there_and_sent() -> None:
    stages = dockerfile()
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    copied = [
        source
        for instruction, arguments in stages
        if instruction == "COPY" and "--from" not in arguments
        for source in arguments.split()[:-1]
    ]

    assert all((ROOT / source).exists() for source in copied)
    assert set(copied) == sent


def test_the_image_holds_every_package() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    copied = {arguments.split()[0] for instruction, arguments in dockerfile() if instruction == "COPY"}

    assert set(packages) <= copied


def test_the_image_runs_playhead_as_nobody_special() -> None:
    instructions = dockerfile()
    last_stage = max(at for at, (instruction, _) in enumerate(instructions) if instruction == "FROM")
    final = dict(instructions[last_stage:])

    assert {instruction for instruction, _ in instructions} <= INSTRUCTIONS
    assert final["USER"] not in ("root", "0")
    assert json.loads(final["ENTRYPOINT"]) == ["playhead"]
    assert json.loads(final["CMD"]) == SERVICES["worker"]["command"]


def test_the_same_uv_builds_the_image_and_the_checkout() -> None:
    setup = re.search(r"UV_VERSION=([\d.]+)", (ROOT / "scripts" / "setup.sh").read_text())

    assert setup is not None
    assert f"uv=={setup[1]}" in (DOCKER / "Dockerfile").read_text()


def test_prometheus_scrapes_the_worker_by_rules_that_are_mounted() -> None:
    config = load(DOCKER / "prometheus" / "prometheus.yml")
    mounted = {target for _, target in binds()}

    (scraped,) = config["scrape_configs"][0]["dns_sd_configs"]

    assert all(name in SERVICES for name in scraped["names"])
    assert str(scraped["port"]) in SERVICES["worker"]["expose"]
    assert str(scraped["port"]) == SERVICES["worker"]["environment"]["PLAYHEAD_ENGINE__WEB_PORT"]
    assert {f"/etc/prometheus/{rule}" for rule in config["rule_files"]} <= mounted


def test_grafana_reads_prometheus_and_finds_its_dashboards() -> None:
    (source,) = load(DOCKER / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = load(DOCKER / "grafana/provisioning/dashboards/playhead.yml")["providers"]
    dashboards = next(path for path, target in binds() if target == provider["options"]["path"])
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    panels = [panel for path in dashboards.glob("*.json") for panel in json.loads(path.read_text())["panels"]]

    assert source["url"] == "http://prometheus:9090"
    assert panels
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert (dashboards / Path(home).name).is_file()


def test_every_metric_that_is_drawn_or_alerted_on_is_exported() -> None:
    boards = [json.loads(path.read_text()) for path in (DOCKER / "grafana" / "dashboards").glob("*.json")]
    queries = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    rules = load(DOCKER / "prometheus" / "rules.yml")["groups"]
    queries += [rule["expr"] for group in rules for rule in group["rules"]]

    used = {name for query in queries for name in re.findall(r"\bplayhead_\w+", query)}

    assert used
    assert used <= exported_metrics()


def dockerfile() -> list[tuple[str, str]]:
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.split(maxsplit=1) for line in lines]
    return [(instruction, arguments) for instruction, arguments in pairs]


def exported_metrics() -> set[str]:
    metrics = [
        metric
        for metric in vars(agents.metrics).values()
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase)
    ]
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + suffix
        for metric in metrics
        for family in metric.describe()
        for suffix in suffixes[family.type]
    }
