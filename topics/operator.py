"""`operator.actions`: what people did about an incident."""

from __future__ import annotations

from enum import StrEnum

from topics.fields import EpochMs, Name, NonNegative, Record, Sentence
from topics.spec import TopicSpec


class OperatorVerb(StrEnum):
    """What a person did."""

    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    APPROVE = "approve"
    UNDO = "undo"
    RESOLVE = "resolve"


class OperatorAction(Record, frozen=True, kw_only=True):
    """One action of one person."""

    incident: Name
    verb: OperatorVerb
    by: Name
    reason: Sentence = ""
    until_ms: EpochMs | None = None
    """When an acknowledgement or a silence lapses."""
    wake_over_viewers: NonNegative | None = None
    """A silence ends when the impact passes this many viewers."""


OPERATOR_ACTIONS = TopicSpec(
    name="operator.actions",
    key="incident",
    value=OperatorAction,
    key_of=lambda action: action.incident,
    describes="Acknowledgements, silences, approvals, undos: by whom and why.",
    producers=("console", "playhead incidents", "playhead steer"),
    consumers=("incidents", "policy"),
    retention_hours=24 * 90,
)
