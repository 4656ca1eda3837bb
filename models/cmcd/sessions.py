"""The sessions of one partition: reports in, beats out.

What comes out depends on the reports and their order alone, not on how they were batched. The clock is the
newest arrival seen: a report that waits for those before it goes on without them when others have come
`reorder_ms` later, or when there is nothing more to come for now.
"""

from __future__ import annotations

import heapq
from collections import Counter

import msgspec

from config.cmcd import SessionSettings
from models.cmcd.ordering import Fate, Stream, stream_of
from models.cmcd.session import Folding, Session
from topics.cmcd import CmcdRecord
from topics.playback import Beat

_Deadline = tuple[int, str, str, int]
"""When, session, stream, sequence number."""


class _State(msgspec.Struct):
    clock_ms: int
    sessions: list[Session]


_STATES = msgspec.msgpack.Decoder(_State)


class Sessions:
    """Makes beats of reports.

    Example:
        >>> import config
        >>> from topics.cmcd import Carriage, CmcdKeys
        >>> sessions = Sessions(config.load({}).settings.sessions)
        >>> def said(time_ms, number, state):
        ...     keys = CmcdKeys(v=2, e="ps", sn=number, sta=state, ts=time_ms)
        ...     return CmcdRecord(time_ms=time_ms, session_id="s", keys=keys, carriage=Carriage.EVENT)
        >>> reports = [said(0, 0, "s"), said(800, 1, "p"), said(5_800, 2, "r"), said(7_000, 3, "p")]
        >>> for beat in [beat for each in reports for beat in sessions.take(each)]:
        ...     print(beat.state.value, beat.startup_ms, beat.play_ms, beat.stalls, beat.stall_ms)
        starting None 0 0 0
        playing 800 0 0 0
        rebuffering None 5000 1 0
        playing None 0 0 1200
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._sessions: dict[str, Session] = {}
        """The longest silent first."""
        self._deadlines: list[_Deadline] = []
        self._clock_ms = 0
        self.counts: Counter[str] = Counter()
        """Reports lost, duplicate and late; sessions restarted and forgotten; since last taken away."""

    def __len__(self) -> int:
        return len(self._sessions)

    def take(self, record: CmcdRecord) -> list[Beat]:
        """Return the beats that follow from `record`, and from those that need wait no longer."""
        self._clock_ms = max(self._clock_ms, record.time_ms)
        beats = self._release()
        session = self._session_of(record)
        name = stream_of(record)
        stream = session.streams.setdefault(name, Stream())
        fate = stream.offer(record, self._settings.reorder_ms, self._settings.remembered_reports)
        if fate is Fate.RESTARTS:
            self.counts["restarted"] += 1
            beats += self._drain(session, name)
            stream.restart()
            if name == session.leader:
                beats += Folding(session, self._settings).restart(record)
            fate = stream.offer(record, self._settings.reorder_ms, self._settings.remembered_reports)
        match fate:
            case Fate.READY:
                beats += self._go_on(session, name, record)
            case Fate.WAITS:
                deadline_ms = record.time_ms + self._settings.reorder_ms
                heapq.heappush(self._deadlines, (deadline_ms, session.session_id, name, record.keys.sn or 0))
                if len(stream.waiting) > self._settings.max_waiting:
                    beats += self._go_on(session, name, stream.next_waiting())
                beats += self._release()
            case _:
                self.counts[fate.value] += 1
        self._forget()
        return beats

    def wait_no_longer(self) -> list[Beat]:
        """Take all that waits, in the order of its deadlines: there is nothing to wait for now."""
        beats: list[Beat] = []
        while self._deadlines:
            beats += self._release_first()
        return beats

    def snapshot(self) -> bytes:
        """Return all that is known."""
        return msgspec.msgpack.encode(_State(self._clock_ms, list(self._sessions.values())))

    def restore(self, data: bytes) -> None:
        """Know again what `snapshot` told.

        Raises:
            ValueError: `data` is no snapshot.
        """
        try:
            state = _STATES.decode(data)
        except msgspec.MsgspecError as error:
            raise ValueError(f"no snapshot of sessions: {error}") from error
        self._clock_ms = state.clock_ms
        self._sessions = {session.session_id: session for session in state.sessions}
        self._deadlines = [
            (record.time_ms + self._settings.reorder_ms, session.session_id, name, number)
            for session in state.sessions
            for name, stream in session.streams.items()
            for number, record in stream.waiting.items()
        ]
        heapq.heapify(self._deadlines)

    def _session_of(self, record: CmcdRecord) -> Session:
        session = self._sessions.pop(record.session_id, None) or Session(record.session_id)
        self._sessions[record.session_id] = session
        session.seen_ms = max(session.seen_ms, record.time_ms)
        return session

    def _release(self) -> list[Beat]:
        """Take those that have waited long enough, and with each those that come before it."""
        beats: list[Beat] = []
        while self._deadlines and self._deadlines[0][0] <= self._clock_ms:
            beats += self._release_first()
        return beats

    def _release_first(self) -> list[Beat]:
        beats: list[Beat] = []
        _, session_id, name, number = heapq.heappop(self._deadlines)
        session = self._sessions.get(session_id)
        if session is not None and name in session.streams:
            while number in session.streams[name].waiting:
                beats += self._go_on(session, name, session.streams[name].next_waiting())
        return beats

    def _drain(self, session: Session, name: str) -> list[Beat]:
        beats: list[Beat] = []
        while session.streams[name].waiting:
            beats += self._go_on(session, name, session.streams[name].next_waiting())
        return beats

    def _go_on(self, session: Session, name: str, record: CmcdRecord) -> list[Beat]:
        """Take `record`, and then those that waited for it."""
        stream = session.streams[name]
        beats: list[Beat] = []
        following: CmcdRecord | None = record
        while following is not None:
            self.counts["lost"] += stream.pass_over(following)
            beats += Folding(session, self._settings).fold(following)
            following = stream.next_in_turn()
        return beats

    def _forget(self) -> None:
        """Forget who has been silent for long, and the longest silent where there are too many."""
        before_ms = self._clock_ms - self._settings.forget_ms
        while self._sessions:
            name, oldest = next(iter(self._sessions.items()))
            if oldest.seen_ms >= before_ms and len(self._sessions) <= self._settings.max_sessions:
                return
            del self._sessions[name]
            self.counts["forgotten"] += 1
