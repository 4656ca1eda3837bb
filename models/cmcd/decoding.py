"""Reading CMCD as real players send it, set right to the shape of version 2.

What is required is in CTA-5004-B: a version not understood drops the report, an unknown key or a bad value
drops that key only. Beyond it: decimals are rounded, a single figure becomes a list, `nrr` moves into `nor`,
whatever `v` says; times in seconds become milliseconds; a payload that was percent-encoded twice is decoded
twice. All that was set right or left out is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

import msgspec

from config.cmcd import CmcdSettings
from models.cmcd.keys import CUSTOM_CHARACTERS, KEYS, MEDIA_TYPES, Key, Kind
from models.cmcd.members import Item, MemberError, Token, key_of, read_member, split_members
from topics.cmcd import Carriage, CmcdKeys

HEADERS = ("cmcd-request", "cmcd-object", "cmcd-status", "cmcd-session")
PARAMETER = "CMCD"
VERSION = 2
"""The newest that is understood."""

UNSPECIFIED = ""
_SECONDS_DIGITS = 10
_MAX_REASON = 200
_REMEMBERED_CHARACTERS = 200


class Wrong(NamedTuple):
    """A key that could not be used or was set right, and why; the key is "" for the whole report."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """One report."""

    keys: CmcdKeys | None
    """None where the whole report was dropped."""
    wrong: list[Wrong]


class _Taken(NamedTuple):
    """What a member says, by itself."""

    key: str
    value: Any
    """None where it cannot be used."""
    reasons: tuple[str, ...]
    broken: bool = False
    """Whether it is no member at all."""


class Decoder:
    """Reads reports. What it remembers is how members read, for players say the same again and again.

    Example:
        >>> import config
        >>> decoder = Decoder(config.load({}).settings.cmcd)
        >>> decoded = decoder.decode('br=1150,bl=4000,su,ot=v,v=2', Carriage.QUERY, 0)
        >>> decoded.keys.br, decoded.keys.su
        ([(1150, 'v')], True)
        >>> decoder.decode('br=fast,su,v=2', Carriage.QUERY, 0).wrong
        [Wrong(key='br', reason='expected a list of numbers')]
    """

    def __init__(self, settings: CmcdSettings) -> None:
        self._settings = settings
        self._bounds = {
            name: getattr(settings.bounds, key.bound) if key.bound else math.inf for name, key in KEYS.items()
        }
        self._known: dict[str, _Taken] = {}

    def decode_query(self, query: str, received_ms: int) -> Decoded | None:
        """Read the report in a URL's query, or return None where it has none."""
        payload, wrong = payload_of_query(query)
        if payload is None:
            return None
        decoded = self.decode(payload, Carriage.QUERY, received_ms)
        return Decoded(decoded.keys, wrong + decoded.wrong)

    def decode_headers(self, headers: Mapping[str, str], received_ms: int) -> Decoded | None:
        """Read the report in `headers`, names in any case, or return None where they have none."""
        parts = [value.strip() for name, value in headers.items() if name.lower() in HEADERS]
        if not parts:
            return None
        return self.decode(",".join(part for part in parts if part), Carriage.HEADERS, received_ms)

    def decode_lines(self, body: bytes, received_ms: int) -> Iterator[Decoded]:
        """Read the body of an event request: a report to a line."""
        for line in body.split(b"\n"):
            stripped = line.strip()
            if not stripped:
                continue
            if len(stripped) > self._settings.max_line_bytes:
                yield _refused(f"{len(stripped)} bytes exceed {self._settings.max_line_bytes}")
                continue
            try:
                text = stripped.decode()
            except UnicodeDecodeError:
                yield _refused("no UTF-8")
                continue
            yield self.decode(text, Carriage.EVENT, received_ms)

    def decode_json(self, body: bytes, received_ms: int) -> Iterator[Decoded]:
        """Read a JSON object whose members are keys, or a list of such (version 1)."""
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            yield _refused(f"no JSON: {error}"[:_MAX_REASON])
            return
        for each in found if isinstance(found, list) else [found]:
            if not isinstance(each, dict):
                yield _refused("expected a JSON object")
            elif len(each) > self._settings.max_members:
                yield _refused(f"{len(each)} members exceed {self._settings.max_members}")
            else:
                taken = (self._take(str(name), *_items_of_json(value)) for name, value in each.items())
                yield self._assemble(taken, Carriage.JSON, received_ms)

    def decode(self, text: str, carriage: Carriage, received_ms: int) -> Decoded:
        """Read one payload, percent-decoded.

        Args:
            text: members separated by commas.
            carriage: how it came; keys of events are left out of requests.
            received_ms: when; a player's time far from it is none.
        """
        text = text.strip()
        if len(text) > self._settings.max_line_bytes:
            return _refused(f"{len(text)} characters exceed {self._settings.max_line_bytes}")
        members = text.split(",")
        taken = [self._read(member) for member in members[: self._settings.max_members + 1]]
        # A comma inside quotes or parentheses leaves a member without its end before it: then look closely.
        if any(each.broken for each in taken):
            members = list(split_members(text))
            taken = [self._read(member) for member in members[: self._settings.max_members + 1]]
        if len(members) > self._settings.max_members:
            return _refused(f"{len(members)} members exceed {self._settings.max_members}")
        return self._assemble(taken, carriage, received_ms)

    # -- one member ---------------------------------------------------------------------------------------

    def _read(self, member: str) -> _Taken:
        taken = self._known.get(member)
        if taken is not None:
            return taken
        stripped = member.strip()
        try:
            name, items, listed = read_member(stripped)
        except MemberError as error:
            name = key_of(stripped)
            taken = _Taken(name[:CUSTOM_CHARACTERS], None, (str(error),), broken=True)
        else:
            taken = self._take(name, items, listed)
        if len(member) <= _REMEMBERED_CHARACTERS:
            if len(self._known) >= self._settings.bounds.known_members:
                self._known.clear()
            self._known[member] = taken
        return taken

    def _take(self, name: str, items: list[Item], listed: bool) -> _Taken:
        key = KEYS.get(name)
        if key is None:
            return _take_custom(name[:CUSTOM_CHARACTERS], items, listed)
        if key.kind in _LISTS:
            return self._take_list(name, key, items)
        if listed:
            return _Taken(name, None, (f"expected {key.kind.value}, not a list",))
        try:
            return _Taken(name, _value(key, key.kind, items[0].value, self._bounds[name]), ())
        except MemberError as error:
            return _Taken(name, None, (str(error),))

    def _take_list(self, name: str, key: Key, items: list[Item]) -> _Taken:
        if not items:
            return _Taken(name, None, ("an empty list",))
        kind = Kind.INTEGER if key.kind is Kind.INTEGERS else Kind.STRING
        values: list[Any] = []
        reasons: list[str] = []
        for item in items:
            try:
                value = _value(key, kind, item.value, self._bounds[name])
            except MemberError as error:
                reasons.append(str(error))
                continue
            if key.kind is Kind.INTEGERS:
                values.append((value, _type_of(item)))
            elif name == "nor":
                reach = item.parameters.get("r", "")
                values.append((value, reach if isinstance(reach, str) else ""))
            else:
                values.append(value)
        return _Taken(name, values or None, tuple(dict.fromkeys(reasons)))

    # -- the whole report ---------------------------------------------------------------------------------

    def _assemble(self, members: Iterable[_Taken], carriage: Carriage, received_ms: int) -> Decoded:
        values: dict[str, Any] = {}
        custom: dict[str, str] = {}
        wrong: list[Wrong] = []
        for name, value, reasons, _ in members:
            for reason in reasons:
                wrong.append(Wrong(name, reason))
            if value is None:
                continue
            into = values if name in KEYS else custom
            if name in into:
                wrong.append(Wrong(name, "told twice; the last counts"))
            into[name] = value
        if carriage is not Carriage.EVENT:
            for name in [name for name in values if KEYS[name].event_only]:
                del values[name]
                wrong.append(Wrong(name, "not allowed in a request"))
        version = values.setdefault("v", VERSION if carriage is Carriage.EVENT else 1)
        if version > VERSION:
            return Decoded(None, [Wrong("v", f"version {version} is not understood"), *wrong])
        if not values.keys() - {"v"} and not custom:
            return Decoded(None, [*wrong, Wrong("", "nothing in it can be used")])
        self._settle(values, wrong, received_ms)
        return Decoded(CmcdKeys(**values, custom=custom), wrong)

    def _settle(self, values: dict[str, Any], wrong: list[Wrong], received_ms: int) -> None:
        """Set right what depends on other keys or on the time."""
        object_type = values.get("ot")
        if object_type in MEDIA_TYPES:
            for name, value in values.items():
                if KEYS[name].names_type and any(kind == UNSPECIFIED for _, kind in value):
                    values[name] = [(figure, kind or object_type) for figure, kind in value]
        reach = values.pop("nrr", None)
        if "nor" in values:
            if values["v"] == 1:  # percent-encoded inside the string, too
                values["nor"] = [(unquote(path), part) for path, part in values["nor"]]
            if reach is not None:
                path, part = values["nor"][0]
                values["nor"] = [(path, part or reach), *values["nor"][1:]]
        time_ms = values.get("ts")
        if time_ms is None:
            return
        if len(str(time_ms)) == _SECONDS_DIGITS:
            time_ms = values["ts"] = time_ms * 1000
            wrong.append(Wrong("ts", "in seconds; taken as such"))
        if abs(time_ms - received_ms) > self._settings.bounds.max_clock_error_ms:
            del values["ts"]
            wrong.append(Wrong("ts", f"{time_ms} is too far from its arrival at {received_ms}"))


_NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL})
_LISTS = frozenset({Kind.INTEGERS, Kind.STRINGS})


class _Text(Token):
    """A text of JSON, where tokens are quoted like strings."""

    __slots__ = ()


def payload_of_query(query: str) -> tuple[str | None, list[Wrong]]:
    """Return the CMCD payload of a URL's query, decoded, and what was wrong with how it was encoded.

    >>> payload_of_query("a=1&CMCD=bl%3D2000%2Ccid%3D%22x%2By+z%22")
    ('bl=2000,cid="x+y z"', [])
    >>> payload_of_query("CMCD=bl%253D2000")
    ('bl=2000', [Wrong(key='', reason='percent-encoded twice')])
    >>> payload_of_query("cmcd=bl%3D2000")
    (None, [])
    """
    payload = None
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if name == PARAMETER and equals:
            payload = value
    if payload is None:
        return None, []
    text = unquote_plus(payload)
    if text.startswith("%22") or ("%3D" in text.upper() and "=" not in text):
        return unquote_plus(text), [Wrong("", "percent-encoded twice")]
    return text, []


def _value(key: Key, kind: Kind, value: Any, most: float) -> Any:
    """Return one value as `kind` has it.

    Raises:
        MemberError: it is of another type, or out of bounds.
    """
    if kind is Kind.FLAG and isinstance(value, bool):
        return value
    if kind in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return _number(key, kind, value, most)
    if kind is Kind.TOKEN and isinstance(value, Token):
        if value not in key.tokens:
            raise MemberError(f"unknown token {value[:16]!r}")
        return str(value)
    if kind is Kind.STRING and isinstance(value, str) and type(value) is not Token:
        if not value:
            raise MemberError("an empty string")
        if len(value) > key.characters:
            raise MemberError(f"{len(value)} characters exceed {key.characters}")
        return str(value)
    raise MemberError(f"expected {key.kind.value}")


def _number(key: Key, kind: Kind, value: float, most: float) -> float:
    if not key.least <= value <= most or not math.isfinite(value):
        raise MemberError(f"{value:.17g} is not within {key.least} and {most:g}")
    return value if kind is Kind.DECIMAL else _rounded(value)


def _take_custom(name: str, items: list[Item], listed: bool) -> _Taken:
    if "-" not in name:
        return _Taken(name, None, ("unknown key",))
    value = items[0].value if len(items) == 1 and not listed else None
    if not isinstance(value, str):
        return _Taken(name, None, ("expected a string or a token",))
    if len(value) > CUSTOM_CHARACTERS:
        return _Taken(name, None, (f"{len(value)} characters exceed {CUSTOM_CHARACTERS}",))
    return _Taken(name, str(value), ())


def _items_of_json(value: Any) -> tuple[list[Item], bool]:
    listed = isinstance(value, list)
    return [
        Item(_Text(each) if isinstance(each, str) else each, {}) for each in (value if listed else [value])
    ], listed


def _type_of(item: Item) -> str:
    return next((name for name, value in item.parameters.items() if value is True), UNSPECIFIED)


def _rounded(value: float) -> int:
    """Return the nearest whole number, halves up."""
    return value if isinstance(value, int) else math.floor(value + 0.5)


def _refused(reason: str) -> Decoded:
    return Decoded(None, [Wrong("", reason)])
