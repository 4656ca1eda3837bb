"""`controls`: what people have told the policy to do or to leave, for as long as it says."""

from __future__ import annotations

from enum import StrEnum

from topics.fields import EpochMs, Name, OptionalName, Record, Sentence
from topics.spec import Cleanup, TopicSpec


class ControlVerb(StrEnum):
    """What is asked of the policy."""

    FREEZE = "freeze"
    """Change nothing: no new command, no wider one, no return; leases in force go on."""
    APPROVE = "approve"
    """Act on an incident beyond the blast radius that needs a person's word."""
    UNDO = "undo"
    """Take back what was done about an incident, and do nothing more about it."""


class Control(Record, frozen=True, kw_only=True):
    """One person's word, until it is taken back or lapses."""

    control: Name
    """The verb, and what it is about: ``freeze``, ``approve:<incident>``, ``undo:<incident>``."""
    verb: ControlVerb
    incident: OptionalName = ""
    by: Name
    reason: Sentence = ""
    enabled: bool = True
    """False takes it back."""
    until_ms: EpochMs | None = None


def control_key(verb: ControlVerb, incident: str = "") -> str:
    """Return the key of a control.

    >>> control_key(ControlVerb.APPROVE, "i1"), control_key(ControlVerb.FREEZE)
    ('approve:i1', 'freeze')
    """
    return f"{verb}:{incident}" if incident else str(verb)


CONTROLS = TopicSpec(
    name="controls",
    key="control",
    value=Control,
    key_of=lambda control: control.control,
    describes="Freeze, approvals and undos, as people have said them to the policy.",
    producers=("playhead steer", "console"),
    consumers=("policy",),
    cleanup=Cleanup.COMPACT,
    partitions=1,
)
