"""From the spool to Kafka: in order, packed by partition, each at least once.

A chunk of the spool becomes a few packed records; when Kafka has acknowledged them all, and those of the
chunks before, the spool may forget the chunk. Where Kafka refuses, what it has not acknowledged is sent again
after a while, by another producer: one that failed once may have given up its place in the sequence.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from config.cmcd import SpoolSettings
from playhead.brokers import AWAY
from playhead.bulk_sender import ANY_PARTITION
from playhead.gateway.spool import Position, Spool
from playhead.packing import PACKED_HEADERS, Packer
from topics import BY_NAME

log = structlog.get_logger(__name__)

Entry = tuple[str, str, bytes]
"""Topic without prefix, key, value."""

_ENTRIES = msgspec.msgpack.Decoder(list[Entry])
_FULL_QUEUE_S = 0.02
_METADATA_S = 0.25
_STOP_S = 5.0


def encode_entries(entries: list[Entry]) -> bytes:
    """Return the payload of a frame that holds `entries`."""
    return msgspec.msgpack.encode(entries)


class _Sent:
    """A chunk on its way, and how many of its records Kafka has not acknowledged."""

    def __init__(self, end: Position) -> None:
        self.end = end
        self.open = 0


class SpoolSender:
    """A thread that drains `spool` into Kafka as long as it runs.

    Args:
        spool: read and released here alone.
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
        figures: how much at once.
    """

    def __init__(self, spool: Spool, client: Mapping[str, Any], prefix: str, figures: SpoolSettings) -> None:
        self._spool = spool
        self._prefix = prefix
        self._figures = figures
        self._config = {
            **client,
            "enable.idempotence": True,
            "message.timeout.ms": 0,
            "linger.ms": 1,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "error_cb": self._note,
        }
        self.problem = ""
        """Why Kafka does not get what is in the spool; empty where it does."""
        self.sent_events = 0
        self._failure = ""
        self._chunks: deque[_Sent] = deque()
        self._partitions: dict[str, int] = {}
        self._packers: dict[str, Packer] = {}
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool-sender", daemon=True)

    def start(self) -> None:
        """Begin to drain."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to send."""
        self._wake.set()

    def stop(self) -> None:
        """Drain for a little while, then end; what Kafka does not have by then stays in the spool."""
        deadline = time.monotonic() + _STOP_S
        while not self.problem and self._spool.waiting_bytes and time.monotonic() < deadline:
            time.sleep(_FULL_QUEUE_S)
        self._stop.set()
        self._wake.set()
        self._thread.join()

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._drain(Producer(self._config))
            except Exception as error:
                # Whatever it is, players are told 503 only once the spool is full; until then try again.
                log.exception("the spool cannot be sent")
                self.problem = f"the spool cannot be sent: {error}"
            if self._failure:
                if self._failure != self.problem:  # said once, not at each try
                    log.warning("Kafka does not take the spool", reason=self._failure)
                self.problem, self._failure = self._failure, ""
            self._chunks.clear()
            self._save()
            self._stop.wait(self._figures.retry_s)

    def _drain(self, producer: Producer) -> None:
        """Send until told to stop, or until something failed."""
        at = self._spool.cursor
        self._packers.clear()
        saved_s = read_s = time.monotonic()
        while not self._stop.is_set() and not self._failure:
            now_s = time.monotonic()
            if now_s >= read_s and len(self._chunks) < self._figures.chunks_in_flight:
                chunk = self._spool.read(at)
                if chunk.payloads and self._know_partitions(producer):
                    self._send(producer, chunk.payloads, chunk.end)
                    at = chunk.end
                elif not chunk.payloads and not self._chunks:
                    self._wake.wait(self._figures.cursor_interval_s)
                    self._wake.clear()
                # Little at once costs much each: let more gather, unless there is plenty already.
                plenty = sum(map(len, chunk.payloads)) >= self._figures.chunk_bytes // 2
                read_s = now_s if plenty else time.monotonic() + self._figures.linger_ms / 1000
            producer.poll(max(read_s - time.monotonic(), 0.0) if self._chunks else 0.0)
            self._release()
            if not self._chunks:
                self._stop.wait(max(read_s - time.monotonic(), 0.0))
            if now_s - saved_s >= self._figures.cursor_interval_s:
                self._save()
                saved_s = now_s
        if self._failure:
            producer.purge()
        producer.flush(0 if self._failure else _FULL_QUEUE_S)
        self._release()

    def _send(self, producer: Producer, payloads: list[bytes], end: Position) -> None:
        sent = _Sent(end)
        self._chunks.append(sent)
        for payload in payloads:
            for name, key, value in _entries_of(payload):
                if BY_NAME[name].packed is None:
                    self._produce(producer, sent, name, value, key=key.encode())
                else:
                    full = self._packer(name).take(None, key, value)
                    if full is not None:
                        self._produce(producer, sent, name, full.value, partition=full.partition)
                    self.sent_events += 1
        for name, packer in self._packers.items():
            for full in packer.rest():
                self._produce(producer, sent, name, full.value, partition=full.partition)

    def _packer(self, name: str) -> Packer:
        packer = self._packers.get(name)
        if packer is None:
            packer = self._packers[name] = Packer(
                BY_NAME[name],
                partitions=self._partitions[name],
                events_per_record=self._figures.events_per_record,
            )
        return packer

    def _produce(
        self,
        producer: Producer,
        sent: _Sent,
        name: str,
        value: bytes,
        *,
        key: bytes | None = None,
        partition: int = ANY_PARTITION,
    ) -> None:
        sent.open += 1
        headers = None if partition == ANY_PARTITION else PACKED_HEADERS

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                sent.open -= 1
            else:
                self._failure = self._failure or f"Kafka refuses {name}: {error.str()}"

        while not self._stop.is_set():
            try:
                producer.produce(
                    BY_NAME[name].full_name(self._prefix),
                    value,
                    key,
                    partition,
                    headers=headers,
                    on_delivery=delivered,
                )
                return
            except BufferError:
                producer.poll(_FULL_QUEUE_S)
            except KafkaException as error:
                self._failure = self._failure or f"Kafka refuses {name}: {error.args[0].str()}"
                return

    def _release(self) -> bool:
        """Let the spool forget the chunks that Kafka has; return whether there were any."""
        end = None
        while self._chunks and not self._chunks[0].open:
            end = self._chunks.popleft().end
        if end is None:
            return False
        self.problem = ""
        self._spool.release(end)
        return True

    def _know_partitions(self, producer: Producer) -> bool:
        """Return whether the topics' partitions are known, asking for them where they are not."""
        wanted = [name for name in ("cmcd", "playback") if name not in self._partitions]
        for name in wanted:
            topic = BY_NAME[name].full_name(self._prefix)
            try:
                found = producer.list_topics(topic, timeout=_METADATA_S).topics[topic]
            except KafkaException as error:
                self.problem = f"Kafka does not answer: {error.args[0].str()}"
                return False
            if found.error is not None or not found.partitions:
                self._failure = f"there is no topic {topic}: run `playhead topics create`"
                return False
            self._partitions[name] = len(found.partitions)
        return True

    def _save(self) -> None:
        try:
            self._spool.save_cursor()
        except OSError as error:
            log.warning("the spool's cursor cannot be saved", error=str(error))

    def _note(self, error: KafkaError) -> None:
        if error.code() in AWAY:
            self.problem = "Kafka does not answer; what is acknowledged waits in the spool"


def _entries_of(payload: bytes) -> list[Entry]:
    """Return what a frame holds; one that another version wrote and this one cannot read is told and left."""
    try:
        entries = _ENTRIES.decode(payload)
    except msgspec.MsgspecError as error:
        log.error("a frame of the spool cannot be understood", bytes=len(payload), error=str(error))
        return []
    return [entry for entry in entries if entry[0] in BY_NAME]
