"""What is known of a viewer from where and with what the report came: network, place, device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import maxminddb
from ua_parser import parse

from config.cmcd import CmcdSettings
from topics.errors import PlayheadError

MAX_CHARACTERS = 200


class DatabaseError(PlayheadError):
    """A database cannot be opened."""

    exit_code = 2


class Device(NamedTuple):
    """What plays: its class, and the system it runs."""

    device: str
    platform: str


class AddressLookup(Protocol):
    """Tells something of an address of the internet."""

    def __call__(self, address: str) -> str:
        """Return what is known, or "" where nothing is."""


class AgentLookup(Protocol):
    """Tells the device from a user agent."""

    def __call__(self, user_agent: str) -> Device:
        """Return what is known; fields are "" where nothing is."""


def nothing(address: str) -> str:
    """Know nothing of any address."""
    del address
    return ""


class MaxMindLookup:
    """Looks addresses up in a file of MaxMind's format.

    Args:
        path: the file.
        read: picks the answer out of what the file says of an address.

    Raises:
        DatabaseError: the file is missing or is no database.
    """

    def __init__(self, path: Path, read: Callable[[dict[str, Any]], str]) -> None:
        self._read = read
        try:
            self._reader = maxminddb.open_database(path)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise DatabaseError(f"{path}: no MaxMind DB file: {error}") from error

    def __call__(self, address: str) -> str:
        """Return what the file says of `address`, or "" where it says nothing."""
        try:
            found = self._reader.get(address)
        except ValueError:  # no address, or one of IPv6 in a file of IPv4
            return ""
        return self._read(found)[:MAX_CHARACTERS] if isinstance(found, dict) else ""


def read_isp(found: dict[str, Any]) -> str:
    """Return the number of the autonomous system, or the provider's name.

    >>> read_isp({"autonomous_system_number": 3320}), read_isp({"isp": "Example"}), read_isp({})
    ('3320', 'Example', '')
    """
    return str(found.get("autonomous_system_number") or found.get("isp") or "")


def read_country(found: dict[str, Any]) -> str:
    """Return the country's code.

    >>> read_country({"country": {"iso_code": "DE"}})
    'DE'
    """
    country = found.get("country") or found.get("registered_country") or {}
    return str(country.get("iso_code") or "") if isinstance(country, dict) else ""


def read_subdivision(found: dict[str, Any]) -> str:
    """Return the code of the largest subdivision, or the country's where there is none.

    >>> read_subdivision({"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": "BY"}]})
    'DE-BY'
    """
    country, parts = read_country(found), found.get("subdivisions")
    if country and isinstance(parts, list) and parts and isinstance(parts[0], dict):
        return f"{country}-{parts[0].get('iso_code', '')}".rstrip("-")
    return country


TELEVISIONS = frozenset(
    {"Tizen", "WebTV", "webOS", "Android TV", "tvOS", "ATV OS X", "Chromecast", "FireTV", "Fire OS", "Roku"}
    | {"Google TV", "VIDAA", "NetCast"}
)
HANDHELDS = frozenset({"iOS", "Android", "Windows Phone", "KaiOS", "HarmonyOS"})
DESKTOPS = frozenset({"Windows", "Mac OS X", "Linux", "Ubuntu", "Chrome OS", "Fedora", "Debian"})
TELEVISION_WORDS = ("smarttv", "smart-tv", "hbbtv", "bravia", "aft", "roku", "appletv", "crkey", "netcast")
CONSOLE_WORDS = ("playstation", "xbox", "nintendo")
TABLET_WORDS = ("ipad", "tablet", "kindle", "silk")


def read_device(user_agent: str) -> Device:
    """Return the device that a user agent names.

    >>> read_device("Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 TV Safari/537.36")
    Device(device='tv', platform='Tizen')
    >>> read_device("")
    Device(device='', platform='')
    """
    if not user_agent:
        return Device("", "")
    found = parse(user_agent[:1000])
    system = found.os.family if found.os else ""
    lowered = user_agent.lower()
    if any(word in lowered for word in CONSOLE_WORDS):
        kind = "console"
    elif system in TELEVISIONS or any(word in lowered for word in TELEVISION_WORDS):
        kind = "tv"
    elif any(word in lowered for word in TABLET_WORDS) or (system == "Android" and "mobile" not in lowered):
        kind = "tablet"
    elif system in HANDHELDS:
        kind = "mobile"
    else:
        kind = "desktop" if system in DESKTOPS else ""
    return Device(kind, system)


class CdnTable:
    """Names the CDN of a host.

    >>> table = CdnTable({"*.cdn.example": "b", "a.example": "a"})
    >>> [table.of(host) for host in ("a.example", "x.y.cdn.example", "cdn.example", "other.example")]
    ['a', 'b', 'b', '']
    """

    def __init__(self, hosts: dict[str, str]) -> None:
        self._exact = {host.lower(): cdn for host, cdn in hosts.items() if not host.startswith("*.")}
        self._under = {host[2:].lower(): cdn for host, cdn in hosts.items() if host.startswith("*.")}

    def of(self, host: str) -> str:
        """Return the CDN of `host`, with or without a port, or "" where the table has none."""
        host = host.lower()
        for name in (host, host.rpartition(":")[0]):
            if name in self._exact:
                return self._exact[name]
            for parent in _parents(name):
                if parent in self._under:
                    return self._under[parent]
        return ""


def _parents(host: str) -> Iterable[str]:
    while host:
        yield host
        host = host.partition(".")[2]


class Lookups(NamedTuple):
    """All of them."""

    isp: AddressLookup
    region: AddressLookup
    device: AgentLookup
    cdn: Callable[[str], str]


def from_settings(settings: CmcdSettings) -> Lookups:
    """Return the lookups that `settings` name, each remembering its newest answers.

    Raises:
        DatabaseError: a database that is named cannot be opened.
    """
    remember = lru_cache(maxsize=settings.remembered_lookups)
    place: dict[Literal["country", "subdivision"], Callable[[dict[str, Any]], str]] = {
        "country": read_country,
        "subdivision": read_subdivision,
    }
    isp = MaxMindLookup(Path(settings.isp_database), read_isp) if settings.isp_database else nothing
    region = (
        MaxMindLookup(Path(settings.place_database), place[settings.region_from])
        if settings.place_database
        else nothing
    )
    remember_again = lru_cache(maxsize=settings.remembered_lookups)
    return Lookups(
        isp=remember(isp),
        region=remember_again(region),
        device=lru_cache(maxsize=settings.remembered_lookups)(read_device),
        cdn=lru_cache(maxsize=settings.remembered_lookups)(CdnTable(settings.cdns).of),
    )
