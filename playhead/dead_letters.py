"""The dead letters: reading them, and driving their records back.

All state is in the topic itself. A record driven back leaves a receipt: a further record at the same origin,
with the letter's id in `redriven_from` and no bytes. A letter with a receipt is not driven back again unless
asked to. The receipt is written once the broker has the record, so that a crash in between drives it back a
second time rather than never; both carry the letter's id in a header.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from playhead.brokers import broker_error, first_answer_s, kafka_errors
from playhead.log_reader import Progress, read_to_end, time_ms
from playhead.packing import is_packed, unpack
from topics import BY_NAME, DEAD_LETTERS
from topics.dead_letters import DeadLetter
from topics.errors import ContractError, PlayheadError
from topics.fields import derive_id
from topics.spec import ENCODING_HEADER

REDRIVEN_HEADER = "playhead-redriven"
"""Header of a record driven back: the id of its letter."""

REDRIVER = "playhead dead-letters"
ORIGIN = re.compile(r"(?P<topic>[^\[\]@]+)\[(?P<partition>\d+)\]@(?P<offset>\d+)")
POLL_S = 0.1

Place = tuple[str, int, int, int | None]


class OriginError(PlayheadError):
    """A text is no origin."""

    exit_code = 2


class CannotRedriveError(PlayheadError):
    """A letter's record cannot be driven back."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One letter as it is in the topic."""

    letter: DeadLetter
    redriven_ms: int | None
    """When its record was last driven back."""


@dataclass(frozen=True, slots=True)
class Original:
    """A record as it is to be sent."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one letter that was to be driven back."""

    letter: DeadLetter
    done: bool
    says: str


def parse_origin(text: str) -> str:
    """Return `text` if it is an origin.

    Raises:
        OriginError: it is not of the form ``topic[partition]@offset``.

    >>> parse_origin("telemetry[2]@7")
    'telemetry[2]@7'
    """
    if ORIGIN.fullmatch(text) is None:
        raise OriginError(
            f"{text!r} is no origin: expected topic[partition]@offset, such as 'telemetry[2]@7'"
        )
    return text


def letter_id(letter: DeadLetter) -> str:
    """Return the letter's id, or one derived from its place where it came without."""
    return letter.id or derive_id("dead-letter", letter.agent, *_place(letter))


def letters(
    client: Mapping[str, Any],
    prefix: str,
    wanted: Callable[[DeadLetter], bool] = lambda letter: True,
    progress: Progress | None = None,
    strange: Callable[[str], None] = lambda place: None,
) -> Iterator[Kept]:
    """Yield the letters that are `wanted`, oldest first by the millisecond, each with what its receipts say.

    The topic is read twice, for receipts come after their letters; what is held in memory is the receipts.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        prefix: of all topics of this run.
        wanted: which letters to yield.
        progress: told how far reading has come.
        strange: told where a record stands that is no letter; it is passed over.

    Raises:
        PlayheadError: as `playhead.log_reader.read_to_end` does.
    """
    topic = DEAD_LETTERS.full_name(prefix)
    receipts: dict[str, int] = {}
    for message in read_to_end(client, topic):
        letter = _decoded(message)
        if letter is not None and letter.redriven_from:
            receipts[letter.redriven_from] = time_ms(message)
    for message in read_to_end(client, topic, by_time=True, progress=progress):
        letter = _decoded(message)
        if letter is None:
            place = f"{topic}[{message.partition()}]@{message.offset()}"
            strange(place)
        elif not letter.redriven_from and wanted(letter):
            yield Kept(letter, receipts.get(letter_id(letter)))


def redrive(
    producer_client: Mapping[str, Any],
    prefix: str,
    kept: Iterable[Kept],
    told: Callable[[Step], None],
    *,
    again: bool = False,
    dry_run: bool = False,
) -> None:
    """Send the records of `kept` to the topics they came from, each once however many agents refused it.

    Args:
        producer_client: settings of a Kafka producer.
        prefix: of all topics of this run.
        kept: the letters.
        told: called for each letter with what became of it.
        again: whether to send again what was sent before.
        dry_run: whether only to say what would be done.

    Raises:
        BrokerUnavailableError: the broker does not answer.
    """
    run = _Redrive(producer_client, prefix, told, dry_run=dry_run)
    for each in kept:
        if each.redriven_ms is not None and not again:
            told(Step(each.letter, False, "was driven back before; --again sends it again"))
        else:
            run.send(each.letter)
    run.finish()


def original(letter: DeadLetter) -> Original:
    """Return what to send for a letter: the record as it was, or the refused event of it alone.

    Raises:
        CannotRedriveError: the value was cut, or the event cannot be taken out of its packed record.
    """
    if letter.value_bytes is not None:
        raise CannotRedriveError(
            f"it was too large to be kept whole; its value had {letter.value_bytes} bytes"
        )
    if letter.packed_index is None or not is_packed(letter.headers):
        return Original(letter.key, letter.value, letter.headers)
    try:
        spec = BY_NAME[letter.topic]
        event = unpack(spec, letter.value)[letter.packed_index]
    except (KeyError, IndexError, ContractError) as error:
        raise CannotRedriveError(
            f"event {letter.packed_index} is not in its packed record: {error}"
        ) from error
    headers = [header for header in letter.headers if header[0] != ENCODING_HEADER]
    return Original(spec.key_of(event).encode(), spec.encode(event), headers)


def _decoded(message: Message) -> DeadLetter | None:
    try:
        return DEAD_LETTERS.decode(message.value())
    except ContractError:
        return None


def _place(letter: DeadLetter) -> Place:
    return letter.topic, letter.partition, letter.offset, letter.packed_index


class _Redrive:
    """One run: records on their way, and who waits for them."""

    def __init__(
        self, client: Mapping[str, Any], prefix: str, told: Callable[[Step], None], *, dry_run: bool
    ) -> None:
        self._brokers = str(client["bootstrap.servers"])
        self._first_answer_s = first_answer_s(client)
        self._producer = Producer(dict(client))
        self._prefix = prefix
        self._told = told
        self._dry_run = dry_run
        self._there: dict[str, bool] = {}
        self._waiting: dict[Place, list[DeadLetter]] = {}
        """Letters whose record is on its way."""
        self._unacknowledged: deque[tuple[DeadLetter, str]] = deque()
        """Letters whose record the broker has and whose receipt is still to be written."""
        self._sent: dict[Place, str] = {}
        """Where the records went that the broker has."""

    def send(self, letter: DeadLetter) -> None:
        """Send the record of `letter`, unless that of another letter at its place was sent in this run."""
        place = _place(letter)
        if place in self._sent:
            self._acknowledge(letter, self._sent[place])
            return
        if place in self._waiting:
            self._waiting[place].append(letter)
            return
        topic = f"{self._prefix}{letter.topic}"
        try:
            record = original(letter)
            if not self._is_there(topic):
                raise CannotRedriveError(f"there is no topic {topic!r}: run `playhead topics create`")
        except CannotRedriveError as error:
            self._told(Step(letter, False, f"cannot be driven back: {error}"))
            return
        if self._dry_run:
            self._sent[place] = topic
            self._acknowledge(letter, topic)
            return
        headers = [header for header in record.headers if header[0] != REDRIVEN_HEADER]
        headers.append((REDRIVEN_HEADER, letter_id(letter).encode()))
        self._waiting[place] = [letter]
        # Without a key it is the partition that says whose record it is.
        partition = letter.partition if record.key is None else None
        self._produce(
            topic,
            Original(record.key, record.value, headers),
            lambda *said: self._delivered(place, *said),
            partition,
        )
        self._serve()

    def finish(self) -> None:
        """Return once everything sent is acknowledged, or has failed."""
        while self._waiting or self._unacknowledged:
            self._producer.poll(POLL_S)
            self._serve()
        self._producer.flush()

    def _serve(self) -> None:
        # Not in the delivery callback: a full queue asks to be polled, which no callback may do.
        while self._unacknowledged:
            self._acknowledge(*self._unacknowledged.popleft())

    def _is_there(self, topic: str) -> bool:
        if topic not in self._there:
            with kafka_errors(self._brokers):
                found = self._producer.list_topics(topic, self._first_answer_s).topics[topic]
            self._there[topic] = found.error is None
        return self._there[topic]

    def _delivered(self, place: Place, error: KafkaError | None, message: Message) -> None:
        waiting = self._waiting.pop(place)
        if error is not None:
            for letter in waiting:
                says = f"was not driven back: {broker_error(self._brokers, error)}"
                self._told(Step(letter, False, says))
            return
        self._sent[place] = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        self._unacknowledged.extend((letter, self._sent[place]) for letter in waiting)

    def _acknowledge(self, letter: DeadLetter, where: str) -> None:
        if self._dry_run:
            self._told(Step(letter, True, f"would go back to {where}"))
            return
        receipt = DeadLetter(
            id=derive_id("redriven", letter_id(letter), where),
            time_ms=letter.time_ms,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            packed_index=letter.packed_index,
            agent=REDRIVER,
            reason=f"driven back to {where}",
            redriven_from=letter_id(letter),
        )

        def written(error: KafkaError | None, _: Message) -> None:
            says = f"went back to {where}"
            if error is not None:
                says += f", but its receipt was not written: {broker_error(self._brokers, error)}"
            self._told(Step(letter, error is None, says))

        key = DEAD_LETTERS.key_of(receipt).encode()
        record = Original(key, DEAD_LETTERS.encode(receipt), [])
        self._produce(DEAD_LETTERS.full_name(self._prefix), record, written)

    def _produce(
        self,
        topic: str,
        record: Original,
        delivered: Callable[[KafkaError | None, Message], None],
        partition: int | None = None,
    ) -> None:
        options: dict[str, Any] = {} if partition is None else {"partition": partition}
        while True:
            try:
                with kafka_errors(self._brokers):
                    self._producer.produce(
                        topic,
                        key=record.key,
                        value=record.value,
                        headers=record.headers,
                        on_delivery=delivered,
                        **options,
                    )
                break
            except BufferError:
                self._producer.poll(POLL_S)
        self._producer.poll(0)
