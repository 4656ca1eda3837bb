"""From what players send to what the topics take: reports read, sampled, and told where they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest, xxh3_128_hexdigest

from agents.dead_letters import dead_letter
from config.cmcd import CmcdSettings
from models.cmcd.decoding import Decoded, Decoder
from models.cmcd.keys import KEYS
from playhead.gateway import cmcd_metrics as metrics
from playhead.gateway.lookups import Lookups
from playhead.gateway.sender import Entry
from topics import CMCD, DEAD_LETTERS, PLAYBACK, ContractError
from topics.cmcd import Carriage, CmcdRecord
from topics.errors import PlayheadError
from topics.fields import derive_id
from topics.playback import Beat

GATEWAY = "gateway"
MAX_NAME_CHARACTERS = 200
_SCALE = 2.0**64


class BadRequestError(PlayheadError):
    """What was sent cannot be taken; `problems` say where and why."""

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems[:3]))
        self.problems = problems


class TooManyError(PlayheadError):
    """One request brings more reports than it may."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came from, and what its query adds.

    Args:
        address: the client's.
        user_agent: its own words.
        received_ms: when.
        host: of the object asked for, where the request says it.
        receiver: which of a player's several receivers this is.
        weight: how many sessions this one stands for.
        app_version: the application's.
    """

    address: str
    user_agent: str
    received_ms: int
    host: str = ""
    receiver: str = ""
    weight: float = 1.0
    app_version: str = ""


class LogLine(msgspec.Struct, frozen=True):
    """A request for media, as a CDN's log tells it."""

    url: str
    received_ms: int
    headers: dict[str, str] = {}
    client_ip: str = ""
    weight: float = 1.0


class Intake:
    """Makes entries for the spool of what was sent.

    Args:
        settings: bounds, sampling, names.
        lookups: what is known of addresses, hosts and user agents.
        counted_as: what cohorts call a device that an application names.
    """

    def __init__(
        self,
        settings: CmcdSettings,
        lookups: Lookups,
        counted_as: Callable[[str], str] = lambda device: device,
    ) -> None:
        self._counted_as = counted_as
        self._settings = settings
        self._lookups = lookups
        self._decoder = Decoder(settings)
        self._lines = msgspec.json.Decoder(LogLine)
        self._beats = msgspec.json.Decoder(list[msgspec.Raw])
        self._taken = {each: metrics.REPORTS.labels(each.value, "taken") for each in Carriage}

    def events(self, body: bytes, caller: Caller) -> Iterator[Entry]:
        """Take the body of an event request.

        Raises:
            TooManyError: it holds more reports than one request may.
        """
        lines = [line.strip() for line in body.split(b"\n") if line.strip()]
        self._bound(len(lines))
        dead = _DeadLetters(self._settings.max_dead_letters, caller)
        for line in lines:
            for decoded in self._decoder.decode_lines(line, caller.received_ms):
                yield from self._entry(decoded, Carriage.EVENT, line, caller, dead)

    def objects(self, body: bytes, caller: Caller) -> Iterator[Entry]:
        """Take the JSON form of version 1.

        Raises:
            TooManyError: it holds more reports than one request may.
        """
        reports = list(self._decoder.decode_json(body, caller.received_ms))
        self._bound(len(reports))
        dead = _DeadLetters(1, caller)  # the body stands for all that is wrong in it
        cause = xxh3_64_hexdigest(body)
        for number, decoded in enumerate(reports):
            if decoded.keys is None:
                yield from self._entry(decoded, Carriage.JSON, body, caller, dead)
            else:
                yield from self._entry(decoded, Carriage.JSON, f"{number} {cause}".encode(), caller, dead)

    def request(self, query: str, headers: dict[str, str], caller: Caller) -> Iterator[Entry]:
        """Take a request for media, or a copy of one: headers count before the query."""
        decoded, carriage = self._decoder.decode_headers(headers, caller.received_ms), Carriage.HEADERS
        if decoded is None:
            decoded, carriage = self._decoder.decode_query(query, caller.received_ms), Carriage.QUERY
        if decoded is None:
            return
        raw = query.encode() if carriage is Carriage.QUERY else repr(sorted(headers.items())).encode()
        dead = _DeadLetters(self._settings.max_dead_letters, caller)
        yield from self._entry(decoded, carriage, raw, caller, dead)

    def log_lines(self, body: bytes, now_ms: int) -> Iterator[Entry]:
        """Take lines of a CDN's log, each a JSON object; those without CMCD are passed over.

        Raises:
            BadRequestError: a line is no such object; nothing of the body should be taken then.
            TooManyError: it holds more reports than one request may.
        """
        lines = body.split(b"\n")
        self._bound(len(lines) - 1)
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            try:
                told = self._lines.decode(line)
                parts = urlsplit(told.url)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise BadRequestError([{"line": number, "reason": str(error)}]) from error
            if abs(told.received_ms - now_ms) > self._settings.bounds.max_clock_error_ms:
                reason = f"received_ms: {told.received_ms} is too far from now, {now_ms}"
                raise BadRequestError([{"line": number, "reason": reason}])
            headers = {name.lower(): value for name, value in told.headers.items()}
            caller = Caller(
                address=told.client_ip,
                user_agent=headers.get("user-agent", ""),
                received_ms=told.received_ms,
                host=parts.netloc or headers.get("host", ""),
                weight=told.weight if told.weight > 0 else 1.0,
            )
            yield from self.request(parts.query, headers, caller)

    def beats(self, body: bytes, caller: Caller) -> list[Entry]:
        """Take beats that an application made itself: one JSON object, or a list of them.

        Raises:
            BadRequestError: one of them breaks the contract; none is taken then.
            TooManyError: there are more than one request may hold.
        """
        try:
            several = body.lstrip()[:1] == b"["
            raws = self._beats.decode(body) if several else [msgspec.Raw(body)]
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadRequestError([{"reason": f"no JSON: {error}"}]) from error
        self._bound(len(raws))
        problems: list[dict[str, Any]] = []
        entries: list[Entry] = []
        for index, raw in enumerate(raws):
            try:
                beat = self._added(PLAYBACK.decode(bytes(raw)), caller)
            except ContractError as error:
                problems.append({"index": index, "reason": error.reason})
                continue
            if not self._sampled(beat.session_id):
                metrics.REPORTS.labels("beat", "sampled_out").inc()
                continue
            entries.append((PLAYBACK.name, beat.session_id, PLAYBACK.encode(beat)))
        if problems:
            metrics.REPORTS.labels("beat", "refused").inc(len(problems))
            raise BadRequestError(problems)
        metrics.REPORTS.labels("beat", "taken").inc(len(entries))
        return entries

    # -- one report ---------------------------------------------------------------------------------------

    def _bound(self, reports: int) -> None:
        if reports > self._settings.max_reports:
            raise TooManyError(f"{reports} reports exceed the {self._settings.max_reports} of a request")

    def _entry(
        self, decoded: Decoded, carriage: Carriage, raw: bytes, caller: Caller, dead: _DeadLetters
    ) -> Iterable[Entry]:
        for key, _ in decoded.wrong:
            metrics.MALFORMED.labels(key if key in KEYS or not key else "other").inc()
        keys = decoded.keys
        if keys is None:
            metrics.REPORTS.labels(carriage.value, "refused").inc()
            return dead.letter(raw, "; ".join(f"{key}: {reason}" for key, reason in decoded.wrong))
        session_id = keys.sid or derive_id(
            "connection", caller.address, caller.user_agent, keys.cid or "", caller.receiver
        )
        if not self._sampled(session_id):
            metrics.REPORTS.labels(carriage.value, "sampled_out").inc()
            return []
        host = (_host_of(keys.url) if keys.url else "") or keys.h or caller.host
        device = self._lookups.device(caller.user_agent)
        # An event says itself when it was: sent again, it is the same. A request is told by its arrival.
        moment = "" if keys.ts is not None else caller.received_ms
        record = CmcdRecord(
            time_ms=caller.received_ms,
            id=xxh3_128_hexdigest(
                f"{session_id}\x1f{caller.receiver}\x1f{carriage}\x1f{moment}".encode() + raw
            ),
            session_id=session_id,
            keys=keys,
            carriage=carriage,
            receiver=caller.receiver,
            own_session=keys.sid is not None,
            host=host[:MAX_NAME_CHARACTERS],
            title=keys.cid or self._settings.default_title,
            cdn=self._lookups.cdn(host),
            isp=self._lookups.isp(caller.address),
            region=self._lookups.region(caller.address),
            device=device.device,
            platform=device.platform,
            app_version=caller.app_version,
            weight=caller.weight / self._settings.sample_share,
            malformed=[(key, reason) for key, reason in decoded.wrong],
        )
        self._taken[carriage].inc()
        return [(CMCD.name, session_id, CMCD.encode(record))]

    def _added(self, beat: Beat, caller: Caller) -> Beat:
        """Return `beat` with what the application left to be found out."""
        device = self._lookups.device(caller.user_agent)
        found = {
            "isp": beat.isp or self._lookups.isp(caller.address),
            "region": beat.region or self._lookups.region(caller.address),
            "device": self._counted_as(beat.device) or device.device,
            "platform": beat.platform or device.platform,
            "app_version": beat.app_version or caller.app_version,
            "weight": beat.weight * caller.weight / self._settings.sample_share,
        }
        return msgspec.structs.replace(beat, **found)

    def _sampled(self, session_id: str) -> bool:
        """Whether the session is among those kept: all its reports are, or none."""
        share = self._settings.sample_share
        return share >= 1 or xxh3_64_intdigest(session_id.encode()) < share * _SCALE


class _DeadLetters:
    """Keeps what could not be read, up to so many of a request: garbage must not grow on its way."""

    def __init__(self, left: int, caller: Caller) -> None:
        self._left = left
        self._caller = caller

    def letter(self, raw: bytes, reason: str) -> list[Entry]:
        """Return the dead letter for `raw`, or nothing where there were enough."""
        if self._left <= 0:
            return []
        self._left -= 1
        letter = dead_letter(
            agent=GATEWAY,
            topic=CMCD.name,
            partition=0,  # it has no place, for it never stood in its topic
            offset=0,
            time_ms=self._caller.received_ms,
            key=None,
            value=raw,
            reason=reason,
        )
        letter_id = derive_id("unreadable", self._caller.address, self._caller.received_ms, raw)
        record = msgspec.structs.replace(letter.record, id=letter_id, value_bytes=len(raw))
        return [(DEAD_LETTERS.name, letter.key, letter.spec.encode(record))]


def _host_of(url: str) -> str:
    """Return the host of `url`, with its port where it names one.

    >>> _host_of("https://user@cdn-a.example:8101/x.m4s"), _host_of("no url")
    ('cdn-a.example:8101', '')
    """
    _, slashes, rest = url.partition("//")
    if not slashes:
        return ""
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    return rest[:end].rpartition("@")[2]
