"""Splitting a payload into members, and reading the value of one.

CMCD is written as a dictionary of structured fields (RFC 8941, section 3.2), where one bad member spoils all.
Players have bad members; so each is read by itself, and those that can be read are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_LIST = rf'\((?:[^"()]++|{_QUOTED})*+\)'
_MEMBER = re.compile(rf'(?:[^",()]++|{_QUOTED}|{_LIST})*+', re.DOTALL)
_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*+")
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?")
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*+")
_STRING = re.compile(_QUOTED, re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\])')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Token(str):
    """A bare word, told from a quoted one."""

    __slots__ = ()


Bare = int | float | bool | str | Token


class Item(NamedTuple):
    """A value and its parameters."""

    value: Bare
    parameters: dict[str, Bare]


class MemberError(ValueError):
    """A member that cannot be read; the text says why."""


def split_members(text: str) -> Iterator[str]:
    """Yield the members of `text`: what stands between commas outside quotes and parentheses.

    Where a quote or parenthesis has no end, the member ends at the next comma.

    >>> list(split_members('bl=(1 2),cid="a,b",su'))
    ['bl=(1 2)', 'cid="a,b"', 'su']
    >>> list(split_members('bl=(,cid="a,su'))
    ['bl=(', 'cid="a', 'su']
    """
    at, end = 0, len(text)
    while at < end:
        found = _MEMBER.match(text, at)
        stop = at if found is None else found.end()
        if stop < end and text[stop] != ",":
            comma = text.find(",", stop)
            stop = end if comma < 0 else comma
        yield text[at:stop]
        at = stop + 1


def read_member(member: str) -> tuple[str, list[Item], bool]:
    """Return key, items, and whether they stood in a list.

    Raises:
        MemberError: it is no member of a dictionary.

    >>> read_member('br=(5000;v 320;a)')[1][1].parameters
    {'a': True}
    >>> read_member("su")
    ('su', [Item(value=True, parameters={})], False)
    """
    found = _KEY.match(member)
    if found is None:
        raise MemberError("no key")
    name, at = found.group(), found.end()
    if at == len(member) or member[at] == ";":
        parameters, at = _parameters(member, at)
        _ends(member, at)
        return name, [Item(True, parameters)], False
    if member[at] != "=":
        raise MemberError("no key")
    if member.startswith("(", at + 1):
        return name, _list(member, at + 2), True
    item, at = _item(member, at + 1)
    _ends(member, at)
    return name, [item], False


def key_of(member: str) -> str:
    """Return the key that `member` begins with, or "" where it has none."""
    found = _KEY.match(member)
    return "" if found is None else found.group()


def _list(text: str, at: int) -> list[Item]:
    items: list[Item] = []
    while True:
        while text.startswith(" ", at):
            at += 1
        if at >= len(text):
            raise MemberError("a list without end")
        if text[at] == ")":
            _, at = _parameters(text, at + 1)
            _ends(text, at)
            return items
        item, at = _item(text, at)
        if at < len(text) and text[at] not in " )":
            raise MemberError(f"unexpected {text[at : at + 8]!r} in a list")
        items.append(item)


def _item(text: str, at: int) -> tuple[Item, int]:
    value, at = _bare(text, at)
    parameters, at = _parameters(text, at)
    return Item(value, parameters), at


def _parameters(text: str, at: int) -> tuple[dict[str, Bare], int]:
    parameters: dict[str, Bare] = {}
    while text.startswith(";", at):
        at += 1
        while text.startswith(" ", at):
            at += 1
        found = _KEY.match(text, at)
        if found is None:
            raise MemberError("a parameter without a name")
        at = found.end()
        value: Bare = True
        if text.startswith("=", at):
            value, at = _bare(text, at + 1)
        parameters[found.group()] = value
    return parameters, at


def _bare(text: str, at: int) -> tuple[Bare, int]:
    first = text[at : at + 1]
    if first == '"':
        return _string(text, at)
    if first == "?":
        if text[at + 1 : at + 2] not in {"0", "1"}:
            raise MemberError("a flag is ?0 or ?1")
        return text[at + 1] == "1", at + 2
    if found := _NUMBER.match(text, at):
        return (float(found.group()) if "." in found.group() else int(found.group())), found.end()
    if found := _TOKEN.match(text, at):
        return Token(found.group()), found.end()
    raise MemberError("no value" if not first else f"unexpected {text[at : at + 8]!r}")


def _string(text: str, at: int) -> tuple[str, int]:
    found = _STRING.match(text, at)
    if found is None:
        raise MemberError("a quote without end")
    inside = found.group()[1:-1]
    if _CONTROL.search(inside):
        raise MemberError("a control character in a string")
    return (_ESCAPE.sub(r"\1", inside) if "\\" in inside else inside), found.end()


def _ends(text: str, at: int) -> None:
    if at != len(text):
        raise MemberError(f"unexpected {text[at : at + 8]!r}")
