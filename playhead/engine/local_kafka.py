"""A single-node Apache Kafka in KRaft mode on this machine, without Docker."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import ClassVar

from playhead.engine.errors import StartError
from playhead.engine.folders import tools_folder
from playhead.engine.java import fetch_kafka, find_java, kafka_resource
from playhead.engine.local_server import HOST, LocalServer, Report, accepts, silent

DEFAULT_HEAP_MB = 512
MAX_RECORD_BYTES = 9 * 1024 * 1024
METADATA_TIMEOUT_S = 2.0


class LocalKafka(LocalServer):
    """A Kafka broker and controller in one process, with all it knows in one folder.

    Several may run at once, each in a folder of its own; they share the jars.

    Args:
        folder: configuration, data, log and state; made when missing.
        port: the port for clients, or None to keep the last one or choose a free one.
        heap_mb: the JVM's heap, in MB.
        tools: where the jars are cached; the project's data folder by default.
        report: told what is being done.
        ready_timeout_s: how long it may take until it answers.
        stop_timeout_s: how long it may take to end by itself before it is killed.
    """

    name: ClassVar[str] = "Kafka"
    port_names: ClassVar[tuple[str, ...]] = ("client", "controller")

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        heap_mb: int = DEFAULT_HEAP_MB,
        tools: Path | None = None,
        report: Report = silent,
        ready_timeout_s: float = 60.0,
        stop_timeout_s: float = 30.0,
    ) -> None:
        super().__init__(
            folder, port, report=report, ready_timeout_s=ready_timeout_s, stop_timeout_s=stop_timeout_s
        )
        self._heap_mb = heap_mb
        self._tools = tools_folder() if tools is None else tools

    @property
    def brokers(self) -> str:
        """The address for clients, as `bootstrap.servers` takes it."""
        return f"{HOST}:{self.port}"

    @property
    def address(self) -> str:
        """The same as `brokers`."""
        return self.brokers

    def _prepare(self, ports: Mapping[str, int]) -> tuple[Sequence[str], Mapping[str, str]]:
        java = find_java()
        jars = fetch_kafka(self._tools, self._report)
        data = self.folder / "data"
        properties = self.folder / "server.properties"
        template = Template(kafka_resource("server.properties").read_text(encoding="utf-8"))
        properties.write_text(
            template.substitute(
                host=HOST,
                client_port=ports["client"],
                controller_port=ports["controller"],
                data=data,
                max_record_bytes=MAX_RECORD_BYTES,
            )
        )
        logging = self.folder / "log4j2.xml"
        logging.write_bytes(kafka_resource("log4j2.xml").read_bytes())

        jvm = [str(java), "-cp", f"{jars}/*", f"-Dlog4j2.configurationFile={logging}"]
        if not (data / "meta.properties").exists():
            self._format(jvm, properties)
        # The flags of Kafka's own start script, with the heap of one developer's broker.
        tuning = [f"-Xmx{self._heap_mb}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
        tuning += ["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExitOnOutOfMemoryError"]
        return [*jvm, *tuning, "-Djava.awt.headless=true", "kafka.Kafka", str(properties)], {}

    def _format(self, jvm: Sequence[str], properties: Path) -> None:
        self._report("formatting Kafka's storage")
        command = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "--standalone", "-c"]
        formatted = subprocess.run(  # noqa: S603
            [*jvm, *command, str(properties)], check=False, capture_output=True, text=True
        )
        if formatted.returncode != 0:
            said = (formatted.stdout + formatted.stderr).strip()
            raise StartError(f"Kafka's storage in {self.folder} could not be formatted. It says:\n{said}")

    def _answers(self, port: int) -> bool:
        # librdkafka complains on the terminal about a port nobody listens on, so look before asking.
        return accepts(HOST, port) and kafka_answers(f"{HOST}:{port}", METADATA_TIMEOUT_S)


def kafka_answers(brokers: str, timeout_s: float) -> bool:
    """Whether a Kafka at `brokers` (`host:port,…`) answers for its metadata within `timeout_s` seconds."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False


def _cluster_id() -> str:
    """A random id as Kafka writes them; one that began with a dash would be read as an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        continue
    return text
