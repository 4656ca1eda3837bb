"""Writing CMCD: what `decoding` reads, for tests and for players that are simulated."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from models.cmcd.keys import KEYS, Kind
from topics.cmcd import CmcdKeys

_TOKENS = {name for name, key in KEYS.items() if key.kind is Kind.TOKEN}


def encode(keys: CmcdKeys) -> str:
    """Return the payload of a report in version 2's form, keys in alphabetical order.

    >>> encode(CmcdKeys(v=2, br=[(5000, "v"), (320, "a")], su=True, sid='a"b', sta="p"))
    'br=(5000;v 320;a),sid="a\\\\"b",sta=p,su,v=2'
    """
    values: dict[str, Any] = {
        name: value
        for name in keys.__struct_fields__
        if name != "custom" and (value := getattr(keys, name)) is not None
    }
    if keys.v == 1:
        del values["v"]
    members = [_member(name, value) for name, value in (values | keys.custom).items()]
    return ",".join(sorted(members))


def encode_query(keys: CmcdKeys) -> str:
    """Return the argument of a URL's query that carries `keys`.

    >>> encode_query(CmcdKeys(bl=[(2000, "")], v=2))
    'CMCD=bl%3D%282000%29%2Cv%3D2'
    """
    return f"CMCD={quote(encode(keys), safe='')}"


def _member(name: str, value: Any) -> str:
    if value is True:
        return name
    return f"{name}={_value(name, value)}"


def _value(name: str, value: Any) -> str:
    if value is False:
        return "?0"
    if isinstance(value, str):
        return value if name in _TOKENS else _quoted(value)
    if not isinstance(value, list):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if name == "ec":
        items = [_quoted(each) for each in value]
    elif name == "nor":
        items = [_quoted(path) + (f";r={_quoted(reach)}" if reach else "") for path, reach in value]
    else:
        items = [f"{figure}{kind and f';{kind}'}" for figure, kind in value]
    return f"({' '.join(items)})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
