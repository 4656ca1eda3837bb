"""`operator.actions`: what people did about an incident."""

from __future__ import annotations

from enum import StrEnum

from topics.fields import EpochMs, Name, NonNegative, OptionalName, Record, Sentence
from topics.spec import TopicSpec


class OperatorVerb(StrEnum):
    """What a person did."""

    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    APPROVE = "approve"
    UNDO = "undo"
    RESOLVE = "resolve"
    COMMENT = "comment"


class OperatorAction(Record, frozen=True, kw_only=True):
    """One action of one person."""

    incident: Name
    subject: OptionalName = ""
    """The incident's; where it is empty the agent looks for it."""
    verb: OperatorVerb
    by: Name
    reason: Sentence = ""
    until_ms: EpochMs | None = None
    """When an acknowledgement or a silence lapses."""
    wake_over_viewers: NonNegative | None = None
    """An acknowledgement or a silence ends when the impact passes this many viewers."""


OPERATOR_ACTIONS = TopicSpec(
    name="operator.actions",
    key="incident",
    value=OperatorAction,
    key_of=lambda action: action.incident,
    describes="What people do about incidents: acknowledge, silence, comment, resolve; by whom and why.",
    producers=("console", "playhead incidents", "playhead steer"),
    consumers=("incidents", "playhead incidents"),
    retention_hours=24 * 90,
)
