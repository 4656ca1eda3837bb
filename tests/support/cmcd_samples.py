"""Reports as hls.js, dash.js and Shaka really sent them, and what is read of each.

`python tests/support/cmcd_samples.py` writes the golden file anew; look at the difference before it is kept.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import config
from models.cmcd.decoding import Decoded, Decoder

DATA = Path(__file__).parents[1] / "data" / "cmcd"
SAMPLES = DATA / "samples.jsonl"
GOLDEN = DATA / "decoded.jsonl"


class Sample(msgspec.Struct, frozen=True):
    """One request of a player."""

    player: str
    cmcd_version: int
    carriage: str
    received_ms: int
    query: str = ""
    headers: dict[str, str] = {}
    body: str = ""
    content_type: str = ""
    path: str = ""
    note: str = ""


@cache
def samples() -> list[Sample]:
    return [msgspec.json.decode(line, type=Sample) for line in SAMPLES.read_bytes().splitlines()]


@cache
def _decoder() -> Decoder:
    return Decoder(config.load({}).settings.cmcd)


def decode(sample: Sample) -> list[Decoded]:
    decoder = _decoder()
    if sample.carriage == "headers":
        found = decoder.decode_headers(sample.headers, sample.received_ms)
        return [found] if found else []
    if sample.carriage == "event":
        return list(decoder.decode_lines(sample.body.encode(), sample.received_ms))
    query = "CMCD=" + "".join(f"%{byte:02X}" for byte in sample.query.encode())
    found = decoder.decode_query(query, sample.received_ms)
    return [found] if found else []


def golden_line(sample: Sample) -> dict[str, Any]:
    [decoded] = decode(sample)
    return msgspec.to_builtins(
        {"player": sample.player, "keys": decoded.keys, "wrong": [list(each) for each in decoded.wrong]}
    )


if __name__ == "__main__":
    GOLDEN.write_bytes(b"".join(msgspec.json.encode(golden_line(each)) + b"\n" for each in samples()))
