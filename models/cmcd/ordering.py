"""Putting the reports of one stream in order, once each.

A stream is what a player sends to one receiver in one mode: its sequence numbers `sn` count from 0
(CTA-5004-B, section 3). They arrive late, twice, or not at all: sn 4 has been seen before sn 2.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from topics.cmcd import Carriage, CmcdRecord

RESTART_BELOW = 4
"""A stream that starts anew is noticed by one of its first reports; one in the middle is a straggler."""


class Fate(Enum):
    """What becomes of a report that came."""

    READY = "ready"
    WAITS = "waits"
    DUPLICATE = "duplicate"
    LATE = "late"
    RESTARTS = "restarts"


class Stream(msgspec.Struct, array_like=True):
    """What is known of a stream."""

    expected: int = 0
    """The next sequence number."""
    begun: bool = False
    newest_ms: int = -1
    """Time of the newest report taken, by the player's clock where it tells one."""
    waiting: dict[int, CmcdRecord] = {}
    """Reports that came before their turn, by sequence number."""
    recent: list[str] = []
    """Ids of the newest reports without sequence number."""
    has_states: bool = False
    """Whether its reports tell the player's state."""

    def offer(self, record: CmcdRecord, reorder_ms: int, remembered: int) -> Fate:
        """Say what becomes of `record`; one that waits is kept."""
        number = record.keys.sn
        if number is None:
            return self._offer_unnumbered(record, remembered)
        if number < self.expected:
            restarts = number < RESTART_BELOW and moment_of(record) > self.newest_ms + reorder_ms
            if restarts and record.keys.sta in {None, "s", "d"}:
                return Fate.RESTARTS
            return Fate.DUPLICATE if moment_of(record) <= self.newest_ms else Fate.LATE
        if number in self.waiting:
            return Fate.DUPLICATE
        if number > self.expected:
            self.waiting[number] = record
            return Fate.WAITS
        return Fate.READY

    def pass_over(self, record: CmcdRecord) -> int:
        """Go on past `record`, which is taken now; return how many before it never came."""
        self.newest_ms = max(self.newest_ms, moment_of(record))
        self.has_states = self.has_states or record.keys.sta is not None
        number = record.keys.sn
        lost = 0
        if number is not None:
            lost = number - self.expected if self.begun else 0
            self.expected = number + 1
        self.begun = True
        return lost

    def next_in_turn(self) -> CmcdRecord | None:
        """Return what waited for the one just taken, if it did."""
        return self.waiting.pop(self.expected, None)

    def next_waiting(self) -> CmcdRecord:
        """Return the first of those that wait, whatever is missing before it."""
        return self.waiting.pop(min(self.waiting))

    def restart(self) -> None:
        """Begin anew at 0."""
        self.expected, self.begun = 0, False
        self.waiting.clear()

    def _offer_unnumbered(self, record: CmcdRecord, remembered: int) -> Fate:
        if record.id:
            if record.id in self.recent:
                return Fate.DUPLICATE
            self.recent.append(record.id)
            del self.recent[:-remembered]
        return Fate.READY


def stream_of(record: CmcdRecord) -> str:
    """Return the name of the stream that `record` belongs to.

    >>> from topics.cmcd import CmcdKeys
    >>> report = CmcdRecord(time_ms=0, session_id="s", keys=CmcdKeys(), carriage=Carriage.QUERY)
    >>> stream_of(report)
    'request:'
    """
    mode = "event" if record.carriage is Carriage.EVENT else "request"
    return f"{mode}:{record.receiver}"


def moment_of(record: CmcdRecord) -> int:
    """Return when what `record` tells happened: the end of a response, whose `ts` is its beginning."""
    keys = record.keys
    if keys.ts is None:
        return record.time_ms
    return keys.ts + (keys.ttlb or 0)
