"""What a person's action does to an incident."""

from __future__ import annotations

import msgspec

from models import words
from topics.incidents import Acknowledgement, Incident, IncidentState
from topics.operator import OperatorAction, OperatorVerb


def acted(incident: Incident, action: OperatorAction, now_ms: int) -> tuple[Incident, list[str]]:
    """Return `incident` after `action`, and what is to be told of it besides how it stands then.

    An action on an incident that is over is told and changes nothing. Lengths of time count from `now_ms`,
    so that an acknowledgement recorded long ago lasts in a replay as long as it did.
    """
    why = f": {action.reason}" if action.reason else ""
    over = incident.state is IncidentState.RESOLVED
    match action.verb:
        case OperatorVerb.ACKNOWLEDGE | OperatorVerb.RESOLVE if over:
            said = f"{action.by} would {action.verb.value} it, but it is over{why}"
        case OperatorVerb.ACKNOWLEDGE:
            return _acknowledged(incident, action, now_ms, why)
        case OperatorVerb.RESOLVE:
            incident = msgspec.structs.replace(incident, resolved_by=action.by, owner=action.by)
            said = f"{action.by} holds it to be over{why}"
        case OperatorVerb.SILENCE:
            return incident, []  # the silence itself is told where it holds
        case OperatorVerb.COMMENT:
            said = f"{action.by}{why}"
        case OperatorVerb.APPROVE:
            said = f"approved by {action.by}{why}"
        case OperatorVerb.UNDO:
            said = f"{action.by} takes back what was done{why}"
    return incident, [said]


def _acknowledged(
    incident: Incident, action: OperatorAction, now_ms: int, why: str
) -> tuple[Incident, list[str]]:
    lasts_ms = None if action.until_ms is None else max(action.until_ms - action.time_ms, 0)
    known = Acknowledgement(
        by=action.by,
        time_ms=now_ms,
        until_ms=None if lasts_ms is None else now_ms + lasts_ms,
        reason=action.reason,
        wake_over_viewers=action.wake_over_viewers,
    )
    lasting = "" if lasts_ms is None else f" for {words.lasting(lasts_ms)}"
    said = f"acknowledged by {action.by}{lasting}{why}"
    return msgspec.structs.replace(incident, acknowledgement=known), [said]
