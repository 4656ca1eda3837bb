"""One playback session, made of the reports of one player.

One stream of reports leads: it alone moves state and time, for what a player says in requests and in events
is the same twice. Events that tell states (`sta`) lead before requests, and requests before events that do
not. The others still tell bitrate, buffer, throughput and CDN. Without states, playing begins when media is
in the buffer, and a stall is what `bs` tells, as long as the buffer cannot account for (hls.js sends no more
by itself).
"""

from __future__ import annotations

from typing import Any

import msgspec

from config.cmcd import SessionSettings
from models.cmcd.ordering import Stream, moment_of, stream_of
from topics.cmcd import Carriage, CmcdKeys, CmcdRecord, Figures
from topics.fields import derive_id
from topics.playback import Beat, PlayerState

STATES = {
    "s": PlayerState.STARTING,
    "p": PlayerState.PLAYING,
    "r": PlayerState.REBUFFERING,
    "k": PlayerState.SEEKING,
    "a": PlayerState.PAUSED,
    "e": PlayerState.ENDED,
    "f": PlayerState.FAILED,
    "q": PlayerState.QUIT,
}
ENDS = frozenset({PlayerState.ENDED, PlayerState.FAILED, PlayerState.QUIT})
PICTURE = ("v", "av", "")
"""Types of object whose figures are those of the picture; "" is all."""

DIMENSIONS = ("title", "cdn", "isp", "region", "device", "platform", "app_version")
MAX_ERROR_CHARACTERS = 200
LEAST_RANK, REQUEST_RANK, STATES_RANK = 0, 1, 2


class Pending(msgspec.Struct, array_like=True):
    """What no beat has told yet."""

    play_ms: int = 0
    stall_ms: int = 0
    stalls: int = 0
    startup_ms: int | None = None
    waited_ms: int | None = None
    error: str = ""
    buffer_ms: int | None = None
    throughput_kbps: float | None = None
    live_latency_ms: int | None = None
    news: bool = False


class Session(msgspec.Struct, array_like=True):
    """What is known of a session.

    Times are the player's, moved by so much that its first event happened when it came.
    """

    session_id: str
    streams: dict[str, Stream] = {}
    seen_ms: int = 0
    """Newest arrival."""
    skew_ms: int | None = None
    leader: str = ""
    leader_rank: int = -1
    cursor_ms: int | None = None
    """Up to where time is accounted for."""
    state: PlayerState = PlayerState.STARTING
    shown: bool = False
    """Whether it is a viewer's at all: more is known than that something was loaded."""
    attempted: bool = False
    started: bool = False
    midway: bool = False
    """Its beginning was not seen."""
    asked_ms: int | None = None
    """When play was pressed."""
    msd_ms: int | None = None
    owed_ms: int = 0
    """Stall time known only afterwards: later play time makes up for it."""
    stalls: int = 0
    stall_ms: int = 0
    """In all, told or not."""
    stalls_before: int | None = None
    stall_before_ms: int | None = None
    """What the player's own sums were before the start was seen."""
    stalls_at_report: int = 0
    media_ms: int | None = None
    media_until_ms: int = 0
    """When media was asked for last, and how long what is then in the buffer lasts."""
    beat_ms: int | None = None
    error: str = ""
    weight: float = 1.0
    bitrate_kbps: int | None = None
    dimensions: dict[str, str] = {}
    pending: Pending = msgspec.field(default_factory=Pending)


class Folding:
    """Folds one report into a session.

    Args:
        session: changed in place.
        settings: time-outs and intervals.
    """

    def __init__(self, session: Session, settings: SessionSettings) -> None:
        self._session = session
        self._settings = settings

    def fold(self, record: CmcdRecord) -> list[Beat]:
        """Return the beats that `record` makes: mostly one or none, two where CDN or bitrate change."""
        session, beats = self._session, []
        at_ms = self._moment(record)
        leads = self._choose_leader(record)
        if leads:
            self._account(at_ms)
        if self._changes(record):
            beats += self._beat(record, "before")
        self._learn(record)
        # An error is told in requests and in events; it counts once.
        events_tell_more = record.carriage is Carriage.EVENT and session.leader_rank == REQUEST_RANK
        if record.keys.ec and (leads or events_tell_more):
            session.pending.error = session.error = record.keys.ec[0][:MAX_ERROR_CHARACTERS]
            session.pending.news = True
        if leads:
            self._lead(record, at_ms)
        elif record.keys.msd is not None and not session.started:
            self._take_start_delay(record, at_ms)
        pending, last_ms = session.pending, session.beat_ms
        due = last_ms is None or record.time_ms - last_ms >= self._settings.beat_interval_ms
        if pending.news or (due and leads and session.state not in ENDS):
            beats += self._beat(record, "")
        return beats

    def restart(self, record: CmcdRecord) -> list[Beat]:
        """Forget the play that was, for `record` starts another; return what was not told of it yet."""
        session, pending = self._session, self._session.pending
        beats = self._beat(record, "before") if pending.play_ms or pending.stall_ms else []
        session.state, session.started, session.attempted = PlayerState.STARTING, False, False
        session.shown = session.midway = False
        session.asked_ms = session.msd_ms = session.media_ms = None
        session.owed_ms = session.stalls = session.stall_ms = session.stalls_at_report = 0
        session.stalls_before = session.stall_before_ms = None
        session.cursor_ms = session.beat_ms = None
        session.error = ""
        session.pending = Pending()
        return beats

    # -- time ---------------------------------------------------------------------------------------------

    def _moment(self, record: CmcdRecord) -> int:
        session = self._session
        if record.keys.ts is None:
            return record.time_ms
        told_ms = moment_of(record)
        if session.skew_ms is None:
            session.skew_ms = record.time_ms - told_ms
        moved_ms = told_ms + session.skew_ms
        # A clock that was set anew says nothing about how long ago something was.
        far = abs(moved_ms - record.time_ms) > self._settings.timeout_ms
        return record.time_ms if far else moved_ms

    def _account(self, at_ms: int) -> None:
        """Give the time since the last report to the state it was in."""
        session, pending = self._session, self._session.pending
        elapsed_ms = 0 if session.cursor_ms is None else at_ms - session.cursor_ms
        session.cursor_ms = at_ms if session.cursor_ms is None else max(session.cursor_ms, at_ms)
        if not 0 < elapsed_ms <= self._settings.timeout_ms:
            return
        if session.state is PlayerState.REBUFFERING:
            pending.stall_ms += elapsed_ms
            session.stall_ms += elapsed_ms
        elif session.state is PlayerState.PLAYING:
            pending.play_ms += elapsed_ms
            self._pay()

    def _owe(self, stall_ms: int) -> None:
        session = self._session
        session.owed_ms = min(session.owed_ms + max(stall_ms, 0), self._settings.timeout_ms)
        self._pay()

    def _pay(self) -> None:
        session, pending = self._session, self._session.pending
        paid_ms = min(session.owed_ms, pending.play_ms)
        session.owed_ms -= paid_ms
        pending.play_ms -= paid_ms
        pending.stall_ms += paid_ms
        session.stall_ms += paid_ms

    # -- facts --------------------------------------------------------------------------------------------

    def _choose_leader(self, record: CmcdRecord) -> bool:
        """Return whether `record` is of the stream that leads, which it may become by it."""
        session, name = self._session, stream_of(record)
        stream = session.streams[name]
        if record.carriage is not Carriage.EVENT:
            rank = REQUEST_RANK
        else:
            rank = STATES_RANK if stream.has_states else LEAST_RANK
        if rank > session.leader_rank or name == session.leader:
            session.leader, session.leader_rank = name, max(rank, session.leader_rank)
        return name == session.leader

    def _changes(self, record: CmcdRecord) -> bool:
        """Whether what was gathered belongs to another CDN or bitrate than what comes."""
        session, pending = self._session, self._session.pending
        if not (pending.play_ms or pending.stall_ms or pending.stalls):
            return False
        bitrate_kbps = _bitrate(record)
        known_cdn = session.dimensions.get("cdn", "")
        return bool(record.cdn and known_cdn and record.cdn != known_cdn) or (
            bitrate_kbps is not None and session.bitrate_kbps not in {None, bitrate_kbps}
        )

    def _learn(self, record: CmcdRecord) -> None:
        session, pending, keys = self._session, self._session.pending, record.keys
        session.weight = record.weight
        for name in DIMENSIONS:
            if value := getattr(record, name):
                session.dimensions[name] = value
        bitrate_kbps = _bitrate(record)
        if bitrate_kbps is not None:
            session.bitrate_kbps = bitrate_kbps
        buffer_ms, throughput_kbps = _of_picture(keys.bl), _of_picture(keys.mtp)
        pending.buffer_ms = pending.buffer_ms if buffer_ms is None else buffer_ms
        pending.throughput_kbps = pending.throughput_kbps if throughput_kbps is None else throughput_kbps
        pending.live_latency_ms = pending.live_latency_ms if keys.ltc is None else keys.ltc
        if keys.sta not in {None, "d"} or (keys.sta is None and _tells_of_a_viewer(keys)):
            session.shown = True

    # -- state --------------------------------------------------------------------------------------------

    def _lead(self, record: CmcdRecord, at_ms: int) -> None:
        session, keys = self._session, record.keys
        stream = session.streams[session.leader]
        if session.asked_ms is None and session.shown:
            session.asked_ms = at_ms
            # One that is seen playing at once began before anyone listened.
            session.midway = _is_under_way(keys)
        before = session.state
        self._take_sums(keys)
        if keys.msd is not None:
            self._take_start_delay(record, at_ms)
        if keys.sta is not None:
            self._enter(record, STATES.get(keys.sta), at_ms)
        elif not stream.has_states:
            self._infer(record, at_ms)
        self._take_starvation(record, at_ms)
        self._remember_media(record, at_ms)
        session.stalls_at_report = session.stalls
        if session.state is not before:
            session.pending.news = True

    def _enter(self, record: CmcdRecord, state: PlayerState | None, at_ms: int) -> None:
        session = self._session
        if session.state in ENDS:
            if state is not PlayerState.STARTING:
                return  # stragglers of a play that is over
            self.restart(record)  # nothing is left to tell: the end told it
            session.shown, session.asked_ms, session.cursor_ms = True, at_ms, at_ms
        match state:
            case PlayerState.PLAYING:
                self._start(at_ms)
                session.state = state
            case PlayerState.REBUFFERING | PlayerState.SEEKING | PlayerState.PAUSED if not session.started:
                if session.midway:  # seen first while it stalls: it has played before
                    session.started = True
                    self._enter(record, state, at_ms)
            case PlayerState.REBUFFERING if session.state is PlayerState.SEEKING:
                pass  # a wait that the viewer asked for
            case PlayerState.REBUFFERING:
                self._stall()
                session.state = state
            case PlayerState.SEEKING | PlayerState.PAUSED:
                session.state = state
            case PlayerState.ENDED | PlayerState.FAILED | PlayerState.QUIT:
                self._end(state, at_ms)
            case _:
                pass

    def _start(self, at_ms: int) -> None:
        session = self._session
        if session.started:
            return
        session.started = True
        session.pending.news = True
        if session.midway:
            return
        startup_ms = session.msd_ms
        if startup_ms is None and session.asked_ms is not None:
            startup_ms = max(at_ms - session.asked_ms, 0)
        if startup_ms is not None and startup_ms <= self._settings.max_start_ms:
            session.pending.startup_ms = startup_ms

    def _end(self, state: PlayerState, at_ms: int) -> None:
        session = self._session
        session.state = state
        if state is PlayerState.FAILED and not session.pending.error:
            session.pending.error = session.error
        if not session.started and session.asked_ms is not None:
            session.pending.waited_ms = min(max(at_ms - session.asked_ms, 0), self._settings.max_start_ms)

    def _stall(self) -> None:
        session = self._session
        if session.state is not PlayerState.REBUFFERING:
            session.stalls += 1
            session.pending.stalls += 1
            session.pending.news = True

    def _take_start_delay(self, record: CmcdRecord, at_ms: int) -> None:
        """Keep `msd`, the last before the start; without states it is the start."""
        session = self._session
        if session.started:
            return
        session.msd_ms = record.keys.msd
        if session.leader_rank < STATES_RANK and record.keys.sta is None and session.shown:
            self._start(at_ms)
            session.state = PlayerState.PLAYING

    def _infer(self, record: CmcdRecord, at_ms: int) -> None:
        """Guess the state from requests."""
        session, keys = self._session, record.keys
        buffer_ms = _of_picture(keys.bl)
        if not session.started:
            # Where events come too, they will tell the start better, and soon.
            told_elsewhere = any(name.startswith("event") for name in session.streams)
            if buffer_ms and (not told_elsewhere or not keys.su):
                self._start(at_ms)
        if not session.started:
            return
        if keys.pr == 0:
            session.state = PlayerState.PAUSED
        elif session.state is not PlayerState.REBUFFERING or buffer_ms:
            session.state = PlayerState.PLAYING

    def _take_sums(self, keys: CmcdKeys) -> None:
        """Make up for what was missed by the player's own sums (`bsa`, `bsda`), else by `bsd`."""
        session, pending = self._session, self._session.pending
        stalls, stall_ms = _most(keys.bsa), _most(keys.bsda)
        watched = session.started and not (session.midway and session.stalls_before is None)
        if not watched:
            session.stalls_before = stalls if stalls is not None else session.stalls_before
            session.stall_before_ms = stall_ms if stall_ms is not None else session.stall_before_ms
        elif session.state is not PlayerState.REBUFFERING:
            if stalls is not None:
                missed = stalls - (session.stalls_before or 0) - session.stalls
                if missed > 0 and keys.sta != "r":
                    session.stalls += missed
                    pending.stalls += missed
                    pending.news = True
            if stall_ms is not None:
                told_ms = session.stall_ms + session.owed_ms + (session.stall_before_ms or 0)
                self._owe(stall_ms - told_ms)
            has_sums = session.stalls_before is not None or stalls is not None or stall_ms is not None
            if keys.bsd and not has_sums and not session.streams[session.leader].has_states:
                session.stalls += len(keys.bsd)
                pending.stalls += len(keys.bsd)
                pending.news = True
                self._owe(sum(value for value, _ in keys.bsd))

    def _take_starvation(self, record: CmcdRecord, at_ms: int) -> None:
        """Count the stall that `bs` tells where nothing else has told it."""
        session, keys = self._session, record.keys
        told = session.stalls > session.stalls_at_report or session.state is PlayerState.REBUFFERING
        if not keys.bs or not session.started or told or session.state is not PlayerState.PLAYING:
            return
        if keys.bsd or keys.bsa or keys.bsda:
            return
        self._stall()
        if session.media_ms is not None:
            buffer_ms = _of_picture(keys.bl) or 0
            played_ms = max(session.media_until_ms - session.media_ms - buffer_ms, 0)
            self._owe(min(at_ms - session.media_ms - played_ms, self._settings.timeout_ms))
        if _of_picture(keys.bl) == 0 and keys.sta is None:
            session.state = PlayerState.REBUFFERING  # until media is in the buffer

    def _remember_media(self, record: CmcdRecord, at_ms: int) -> None:
        session, keys = self._session, record.keys
        buffer_ms = _of_picture(keys.bl)
        if record.carriage is not Carriage.EVENT and keys.ot in PICTURE and buffer_ms is not None:
            session.media_ms = at_ms
            session.media_until_ms = at_ms + buffer_ms + (keys.d or 0)

    # -- beats --------------------------------------------------------------------------------------------

    def _beat(self, record: CmcdRecord, part: str) -> list[Beat]:
        session, pending = self._session, self._session.pending
        if not session.shown:
            return []
        fields: dict[str, Any] = {name: session.dimensions.get(name, "") for name in DIMENSIONS}
        beat = Beat(
            id=derive_id("beat", session.session_id, record.id or record.time_ms, stream_of(record), part),
            time_ms=record.time_ms,
            session_id=session.session_id,
            state=session.state,
            bitrate_kbps=session.bitrate_kbps,
            play_ms=pending.play_ms,
            stall_ms=pending.stall_ms,
            stalls=pending.stalls,
            startup_ms=pending.startup_ms,
            waited_ms=pending.waited_ms,
            attempt=not session.attempted and not session.midway,
            started=session.started,
            error=pending.error,
            buffer_ms=pending.buffer_ms,
            throughput_kbps=pending.throughput_kbps,
            live_latency_ms=pending.live_latency_ms,
            weight=session.weight,
            **fields,
        )
        session.attempted = True
        session.beat_ms = record.time_ms
        session.pending = Pending()
        return [beat]


def _bitrate(record: CmcdRecord) -> int | None:
    """Return the bitrate of the picture: on screen, else selected, else of the media asked for."""
    keys = record.keys
    if keys.pb and (on_screen := _of_picture(keys.pb)) is not None:
        return on_screen
    if record.carriage is Carriage.EVENT or keys.ot in {"v", "av", None}:
        return _of_picture(keys.br)
    return None


def _of_picture(figures: Figures) -> int | None:
    """Return the figure of the picture, or None where there is none.

    >>> _of_picture([(320, "a"), (5000, "v")]), _of_picture([(320, "a")]), _of_picture(None)
    (5000, None, None)
    """
    return next((value for kind in PICTURE for value, its in figures or () if its == kind), None)


def _most(figures: Figures) -> int | None:
    return max((value for value, _ in figures), default=None) if figures else None


def _tells_of_a_viewer(keys: CmcdKeys) -> bool:
    return any((keys.bl, keys.br, keys.su, keys.mtp, keys.ec, keys.bs)) or keys.msd is not None


def _is_under_way(keys: CmcdKeys) -> bool:
    if keys.sta is not None:
        return keys.sta in {"p", "r", "k", "a"} and keys.sn != 0
    return bool(_of_picture(keys.bl)) and not keys.su
