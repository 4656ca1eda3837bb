"""JSON lines into a topic: each line held against the contract, keyed by it, and sent; bad lines told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from playhead.bulk_sender import Sender
from playhead.clock import Clock
from playhead.lines import Block
from playhead.packing import PACKED_HEADERS, PackedRecord, Packer
from playhead.refusals import Refusal, explain
from topics.errors import ContractError, PlayheadError
from topics.spec import AnySpec

GIVE_UP_LINES = 1_000
"""When so many lines have come and every one was refused, it is the wrong file."""

PACK_WAIT_S = 0.2
"""An event of a slow input waits no longer than this for company in its record."""

RATE_STEPS_PER_S = 50
STOP_CHECK_S = 0.2
TOLD_REFUSALS = 20


class WrongInputError(PlayheadError):
    """The input holds no records of the topic."""


@dataclass(slots=True)
class Tally:
    """What became of the lines so far."""

    lines: int = 0
    """Lines read that were not empty."""
    sent: int = 0
    """Events handed over to Kafka's client."""
    records: int = 0
    """Kafka records that carry them: fewer where events are packed."""
    bytes: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    """The first `TOLD_REFUSALS`."""


class Production:
    """Takes blocks of lines and sends their records.

    Args:
        spec: the topic's contract.
        topic: its full name.
        sender: the way to Kafka.
        clock: what the rate is kept by.
        refuse: told of each refused line at once.
        packer: gathers events into packed records, where that is wanted.
        rate_per_s: the most events a second; None for as many as can be.
        strict: whether the first bad line ends it.
        stopped: asked while the rate is waited for; once true, no more is sent.
    """

    def __init__(
        self,
        spec: AnySpec,
        topic: str,
        sender: Sender,
        clock: Clock,
        *,
        refuse: Callable[[Refusal], None] = lambda _: None,
        packer: Packer | None = None,
        rate_per_s: float | None = None,
        strict: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.tally = Tally()
        self._spec = spec
        self._topic = topic
        self._sender = sender
        self._clock = clock
        self._refuse = refuse
        self._packer = packer
        self._rate_per_s = rate_per_s
        self._strict = strict
        self._stopped = stopped
        self._due_s = self._packs_sent_s = clock.now_s()

    def take(self, block: Block, source: str) -> bool:
        """Send the records of `block`; return whether to go on: not so once stopped, or strict and refused.

        Raises:
            WrongInputError: nothing but bad lines have come.
        """
        goes_on = True
        if self._rate_per_s is None:
            goes_on = self._send(block.first, block.lines, source)
        else:
            step = max(int(self._rate_per_s / RATE_STEPS_PER_S), 1)
            for at in range(0, len(block.lines), step):
                lines = block.lines[at : at + step]
                goes_on = self._await_turn(len(lines) / self._rate_per_s) and self._send(
                    block.first + at, lines, source
                )
                if not goes_on:
                    break
        self._send_waiting_packs()
        self._sender.poll()
        if self.tally.refused == self.tally.lines >= GIVE_UP_LINES:
            raise WrongInputError(
                f"{source}: the first {self.tally.lines:,} lines are all refused: is this a file of "
                f"{self._spec.name}? `playhead topics show {self._spec.name}` shows what its records are"
            )
        return goes_on

    def finish(self) -> None:
        """Send what is still being packed, and wait until Kafka has taken or failed all."""
        self._send_packs()
        self._sender.flush()

    def _send(self, first: int, lines: list[bytes], source: str) -> bool:
        decode, key_of, tally = self._spec.decode, self._spec.key_of, self.tally
        send, topic, packer = self._sender.send, self._topic, self._packer
        for number, line in enumerate(lines, first):
            if not line or line.isspace():
                continue
            tally.lines += 1
            try:
                record = decode(line)
                key = key_of(record)
                if packer is None or not packer.can_take(record, key):
                    send(topic, line, key.encode())
                    tally.records += 1
                    tally.bytes += len(line)
                elif (full := packer.take(record, key, line)) is not None:
                    self._send_pack(full)
            except ContractError as error:
                self._note(explain(source, number, line, error))
                if self._strict:
                    return False
            else:
                tally.sent += 1
        return True

    def _note(self, refusal: Refusal) -> None:
        self.tally.refused += 1
        if len(self.tally.refusals) < TOLD_REFUSALS:
            self.tally.refusals.append(refusal)
        self._refuse(refusal)

    def _send_pack(self, pack: PackedRecord) -> None:
        self._sender.send(self._topic, pack.value, None, pack.partition, PACKED_HEADERS, pack.events)
        self.tally.records += 1
        self.tally.bytes += len(pack.value)

    def _send_packs(self) -> None:
        if self._packer is not None:
            for pack in self._packer.rest():
                self._send_pack(pack)
        self._packs_sent_s = self._clock.now_s()

    def _send_waiting_packs(self) -> None:
        if self._packer is not None and self._clock.now_s() - self._packs_sent_s >= PACK_WAIT_S:
            self._send_packs()

    def _await_turn(self, takes_s: float) -> bool:
        """Wait for the next turn, which takes `takes_s` of the time that the rate allows."""
        while (early_s := self._due_s - self._clock.now_s()) > 0:
            if self._stopped():
                return False
            self._clock.wait(min(early_s, STOP_CHECK_S))
            self._sender.poll()
        # An input that was quiet for a while does not make up for it with a burst.
        self._due_s = max(self._due_s, self._clock.now_s()) + takes_s
        return not self._stopped()
