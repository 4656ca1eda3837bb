"""The keys of CMCD: what each may be (CTA-5004-B, section 3; version 1 where it differs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The type of a key's value."""

    INTEGER = "a number"
    DECIMAL = "a decimal"
    FLAG = "a flag"
    STRING = "a string"
    TOKEN = "a token"  # noqa: S105
    INTEGERS = "a list of numbers"
    STRINGS = "a list of strings"


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Args:
        kind: the type of its value.
        bound: name of the bound on its value among the settings, or "" for none.
        least: the least a number may be.
        characters: the most a string may have.
        tokens: those allowed.
        event_only: not allowed in requests.
        names_type: whether items without a type have that of the object.
    """

    kind: Kind
    bound: str = ""
    least: int = 0
    characters: int = 16_384
    tokens: frozenset[str] = frozenset()
    event_only: bool = False
    names_type: bool = False


OBJECT_TYPES = frozenset({"m", "a", "v", "av", "i", "c", "tt", "k", "o"})
MEDIA_TYPES = frozenset({"a", "v", "av", "tt", "c"})
"""Those that figures of a kind of object are told of."""

STATES = frozenset("spkraefqdw")
"""`w` is listed and not defined."""

ADVERTISING_EVENTS = frozenset({"as", "ae", "abs", "abe"})
EVENTS = ADVERTISING_EVENTS | frozenset(
    {"t", "ps", "e", "rr", "bc", "pr", "c", "b", "h", "m", "um", "pe", "pc", "sk", "ce"}
)

CUSTOM_CHARACTERS = 64


def _bitrates() -> Key:
    return Key(Kind.INTEGERS, "max_bitrate_kbps", least=1, names_type=True)


def _integers(bound: str) -> Key:
    return Key(Kind.INTEGERS, bound, names_type=True)


def _integer(bound: str, *, event_only: bool = False) -> Key:
    return Key(Kind.INTEGER, bound, event_only=event_only)


def _token(*tokens: str) -> Key:
    return Key(Kind.TOKEN, tokens=frozenset(tokens))


_FLAG = Key(Kind.FLAG)
_STRING = Key(Kind.STRING)
_EVENT_STRING = Key(Kind.STRING, event_only=True)
_FETCH_TIME = _integer("max_fetch_ms", event_only=True)

KEYS: Mapping[str, Key] = {
    "ab": _bitrates(),
    "bg": _FLAG,
    "bl": _integers("max_duration_ms"),
    "br": _bitrates(),
    "bs": _FLAG,
    "bsa": _integers("max_count"),
    "bsd": _integers("max_stalled_ms"),
    "bsda": _integers("max_stalled_ms"),
    "cen": Key(Kind.STRING, characters=64, event_only=True),
    "cid": Key(Kind.STRING, characters=128),
    "cmsdd": _EVENT_STRING,
    "cmsds": _EVENT_STRING,
    "cs": _STRING,
    "d": _integer("max_duration_ms"),
    "dfa": _integer("max_count"),
    "dl": _integer("max_duration_ms"),
    "e": Key(Kind.TOKEN, tokens=EVENTS, event_only=True),
    "ec": Key(Kind.STRINGS),
    "h": Key(Kind.STRING, characters=128, event_only=True),
    "lab": _bitrates(),
    "lb": _bitrates(),
    "ltc": _integer("max_latency_ms"),
    "msd": _integer("max_start_ms"),
    "mtp": _integers("max_throughput_kbps"),
    "nor": Key(Kind.STRINGS),
    "nr": _FLAG,
    "nrr": _STRING,
    "ot": Key(Kind.TOKEN, tokens=OBJECT_TYPES),
    "pb": _bitrates(),
    "pr": Key(Kind.DECIMAL, "max_rate", least=-100),
    "pt": Key(Kind.INTEGER),
    "rc": _integer("max_count", event_only=True),
    "rtp": _integer("max_throughput_kbps"),
    "sf": _token("d", "h", "s", "e", "o"),
    "sid": Key(Kind.STRING, characters=64),
    "smrt": _EVENT_STRING,
    "sn": _integer("max_count"),
    "st": _token("v", "l", "ll"),
    "sta": Key(Kind.TOKEN, tokens=STATES),
    "su": _FLAG,
    "tab": _bitrates(),
    "tb": _bitrates(),
    "tbl": _integers("max_duration_ms"),
    "tpb": _bitrates(),
    "ts": Key(Kind.INTEGER, event_only=True),
    "ttfb": _FETCH_TIME,
    "ttfbb": _FETCH_TIME,
    "ttlb": _FETCH_TIME,
    "url": _EVENT_STRING,
    "v": Key(Kind.INTEGER, least=1),
}
"""Every key of the standard, version 1 and 2."""
