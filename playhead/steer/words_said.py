"""A person's word to the policy, as the records that carry it."""

from __future__ import annotations

from topics import CONTROLS, OPERATOR_ACTIONS
from topics.controls import Control, ControlVerb, control_key
from topics.emission import Emission
from topics.fields import derive_id
from topics.operator import OperatorAction, OperatorVerb

ACTIONS = {ControlVerb.APPROVE: OperatorVerb.APPROVE, ControlVerb.UNDO: OperatorVerb.UNDO}


def word(
    verb: ControlVerb,
    now_ms: int,
    by: str,
    reason: str,
    *,
    incident: str = "",
    enabled: bool = True,
    until_ms: int | None = None,
) -> list[Emission]:
    """Return the control that says it, and the action that the incident's timeline tells.

    >>> [emission.spec.name for emission in word(ControlVerb.UNDO, 5, "ada", "it harms", incident="i1")]
    ['controls', 'operator.actions']
    >>> [emission.record.control for emission in word(ControlVerb.FREEZE, 5, "ada", "a test")]
    ['freeze']
    """
    key = control_key(verb, incident)
    control = Control(
        id=derive_id("control", key, by, now_ms, enabled),
        time_ms=now_ms,
        control=key,
        verb=verb,
        incident=incident,
        by=by,
        reason=reason,
        enabled=enabled,
        until_ms=until_ms,
    )
    said = [Emission(CONTROLS, control)]
    if enabled and verb in ACTIONS:
        action = OperatorAction(
            id=derive_id("action", control.id),
            time_ms=now_ms,
            incident=incident,
            verb=ACTIONS[verb],
            by=by,
            reason=reason,
        )
        said.append(Emission(OPERATOR_ACTIONS, action))
    return said
