"""What the topics say about decisions now: the newest of each key, and every command and outcome kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from config import Settings
from models.node_health import judged
from models.surroundings import Surroundings
from playhead.log_reader import read_to_end
from topics import (
    CDN_NODES,
    COMMANDS,
    CONTROLS,
    INCIDENTS,
    OUTCOMES,
    POLICIES,
    PULSE,
    SELECTION,
    STEERING,
    VERIFICATIONS,
    ContractError,
)
from topics.cdn import NodeReport
from topics.commands import Command, Outcome
from topics.controls import Control
from topics.incidents import Incident
from topics.ingest import PipelineSelection
from topics.policies import Policy
from topics.spec import TopicSpec
from topics.steering import SteeringAnswer
from topics.verifications import Pulse, Verification

R = TypeVar("R", bound=msgspec.Struct)


@dataclass
class Known:
    """What was read, and what time it is on the streams."""

    now_ms: int
    policies: dict[str, Policy] = field(default_factory=dict)
    nodes: dict[str, NodeReport] = field(default_factory=dict)
    answers: dict[str, SteeringAnswer] = field(default_factory=dict)
    selections: dict[str, PipelineSelection] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    verifications: dict[str, Verification] = field(default_factory=dict)
    controls: dict[str, Control] = field(default_factory=dict)
    pulses: dict[str, Pulse] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    """In the order of their event times, each once."""
    outcomes: list[Outcome] = field(default_factory=list)
    unreadable: int = 0
    """Records that break their contracts: left out."""

    def around(self, settings: Settings, policies: list[Policy] | None = None) -> Surroundings:
        """Return it as the policy sees it, or as it would under other policies."""
        return Surroundings(
            policies=list(self.policies.values()) if policies is None else policies,
            nodes=[judged(node, settings.health) for node in self.nodes.values()],
            incidents=list(self.incidents.values()),
            answers=self.answers,
            selection_of=self.selections.get,
            incident_of=self.incidents.get,
            verification_of=self.verifications.get,
            control_of=self.controls.get,
            pulse=max(self.pulses.values(), key=lambda pulse: pulse.window_end_ms, default=None),
        )


def read_known(client: Mapping[str, Any], prefix: str, wall_ms: int, *, history: bool = True) -> Known:
    """Return what the topics hold.

    The time on the streams is that of the newest event seen, and what has passed since the broker took it in:
    in a replay a lease lasts as long as it says.

    Args:
        client: settings of the Kafka client, with ``bootstrap.servers``.
        wall_ms: the time of day.
        history: whether to read commands and outcomes too, which are kept by age.

    Raises:
        TopicMissingError, BrokerUnavailableError, BrokerRefusedError: as `read_to_end` does.
    """
    known = Known(now_ms=0)
    clock = _Clock(wall_ms)

    def newest(spec: TopicSpec[R], into: dict[str, R]) -> None:
        for message in read_to_end(client, spec.full_name(prefix)):
            key = (message.key() or b"").decode(errors="replace")
            if message.value() is None:
                into.pop(key, None)
                continue
            record = _decoded(spec, message.value(), known)
            if record is not None:
                into[key] = record
                clock.see(record, message.timestamp()[1])

    def every(spec: TopicSpec[R], id_of: Callable[[R], str]) -> list[R]:
        found: dict[str, R] = {}
        for number, message in enumerate(read_to_end(client, spec.full_name(prefix), by_time=True)):
            record = _decoded(spec, message.value(), known)
            if record is not None:
                found.setdefault(id_of(record) or str(number), record)
                clock.see(record, message.timestamp()[1])
        return sorted(found.values(), key=_time_ms)

    newest(POLICIES, known.policies)
    newest(CDN_NODES, known.nodes)
    newest(STEERING, known.answers)
    newest(SELECTION, known.selections)
    newest(INCIDENTS, known.incidents)
    newest(VERIFICATIONS, known.verifications)
    newest(CONTROLS, known.controls)
    newest(PULSE, known.pulses)
    if history:
        known.commands = every(COMMANDS, lambda command: command.id)
        known.outcomes = every(OUTCOMES, lambda outcome: outcome.id)
    known.now_ms = clock.now_ms
    return known


class _Clock:
    """Event time as it goes on with the wall; policies and people's words, written by hand, do not set it."""

    def __init__(self, wall_ms: int) -> None:
        self._wall_ms = wall_ms
        self._newest: tuple[int, int] | None = None

    def see(self, record: msgspec.Struct, taken_ms: int) -> None:
        if isinstance(record, Policy | Control):
            return
        time_ms = _time_ms(record)
        if self._newest is None or time_ms > self._newest[0]:
            self._newest = (time_ms, taken_ms)

    @property
    def now_ms(self) -> int:
        if self._newest is None:
            return self._wall_ms
        time_ms, taken_ms = self._newest
        return time_ms + max(self._wall_ms - taken_ms, 0)


def _time_ms(record: msgspec.Struct) -> int:
    return int(record.time_ms)  # type: ignore[attr-defined]


def _decoded(spec: TopicSpec[R], value: bytes | None, known: Known) -> R | None:
    try:
        return spec.decode(value)
    except ContractError:
        known.unreadable += 1
        return None
