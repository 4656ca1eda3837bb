"""What `playhead bench recovery` measured; as with `results`, fields are only added."""

from __future__ import annotations

from typing import Literal

import msgspec

from playhead.bench.machine import Machine
from playhead.bench.results import SCHEMA


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one kill, in seconds since it."""

    contestant: str
    rate_per_s: float
    """Of the load all the while: what was asked for, or what the contestant keeps up with if that is less."""
    series: int
    """Whose state the dead process had."""
    partitions: list[int]
    taken_over_s: float
    """The group has given the partitions to another process."""
    first_output_s: float
    """Something new was told of one of them."""
    caught_up_s: float
    """Everything later was told within a second of its cause."""
    outputs: int
    """New words on the partitions of the dead until the end."""


class RecoveryResult(msgspec.Struct, frozen=True, kw_only=True):
    """All kills of one run, with where they were taken."""

    kind: Literal["recovery"] = "recovery"
    schema: int = SCHEMA
    command: str
    began: str
    seconds: float
    machine: Machine
    series: int
    """Of both processes together."""
    session_timeout_s: float
    kills: list[Recovery]
    missing: dict[str, str] = {}
    """Contestants that could not do it, and why."""
