"""Makes one incident of many symptoms, and keeps it through its life: anomalies ─▶ incidents.

What people do comes by `operator.actions`, keyed by incident, and is noted for the subject, where the state
is. Time and what is around an incident change it too: open incidents are looked at again and again, and those
that no longer stand as they were told are noted as well. Any worker may note them: the note says only to
look, and to look twice changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import msgspec

from agents.event_clock import EventClock
from agents.keyed import keep
from agents.ports import App, Publish
from config import Settings
from models import words
from models.incidents import Around, Incidents, Subject
from models.incidents.family import Families
from models.incidents.mitigations import in_force
from models.recent_ids import RecentIds
from topics import (
    ANOMALIES,
    INCIDENT_NOTES,
    INCIDENTS,
    OPERATOR_ACTIONS,
    PULSE,
    SELECTION,
    SILENCES,
    STEERING,
)
from topics.anomalies import Anomaly
from topics.emission import Emission
from topics.errors import ContractError
from topics.fields import derive_id
from topics.incident_notes import IncidentNote
from topics.incidents import Incident, IncidentState
from topics.operator import OperatorAction, OperatorVerb
from topics.silences import Silence
from topics.steering import SteeringAnswer

ASK_AGAIN_MS = 2_000
"""A note without effect, as when its owner has just changed, is written again after so long."""


class Relayed(msgspec.Struct, frozen=True):
    """Nothing is kept of an incident's actions but the ids of those taken."""


def attach(app: App, settings: Settings, publish: Publish) -> None:
    """Follow the anomalies of each subject, and all that changes what is to be told of its incident."""
    model = Incidents(settings.incidents)
    incidents, silences, pulses = app.view(INCIDENTS), app.view(SILENCES), app.view(PULSE)
    answers, selections = app.view(STEERING), app.view(SELECTION)
    clock = EventClock()
    noted = RecentIds(settings.engine.remembered_ids)

    def now_ms() -> int:
        for pulse in pulses.values():
            clock.see(pulse.time_ms)
        for incident in incidents.values():
            clock.see(incident.time_ms)
        return clock.now_ms() or 0

    def around(now_ms: int) -> Around:
        @cache
        def served() -> dict[str, list[SteeringAnswer]]:
            """Return the answers by incident: there may be many of both."""
            found: dict[str, list[SteeringAnswer]] = defaultdict(list)
            for answer in answers.values():
                if answer.incident:
                    found[answer.incident].append(answer)
            return found

        def mitigations_of(incident: Incident) -> list[str]:
            return in_force(incident, served().get(incident.incident, ()), selections.values(), now_ms)

        return Around(list(silences.values()), Families(incidents.values()), mitigations_of)

    def step(state: Subject | None, record: Anomaly | IncidentNote) -> tuple[Subject, list[Emission]]:
        clock.see(record.time_ms)
        return model.step(state, record, around(record.time_ms))

    def relay(state: Relayed | None, action: OperatorAction) -> tuple[Relayed, list[Emission]]:
        subject = action.subject or _subject_of(incidents.get(action.incident), action)
        emissions = [Emission(SILENCES, _silence(action))] if action.verb is OperatorVerb.SILENCE else []
        note = IncidentNote(
            id=derive_id("incident-note", action.id or msgspec.json.encode(action)),
            time_ms=now_ms() or action.time_ms,
            incident=action.incident,
            subject=subject,
            action=action,
        )
        return Relayed(), [*emissions, Emission(INCIDENT_NOTES, note)]

    async def look() -> None:
        """Note the open incidents that no longer stand as they were told.

        Each as it was told is noted once in a while: its owner needs a moment to tell it anew.
        """
        at_ms = now_ms()
        known = around(at_ms)
        lasting = [each for each in incidents.values() if each.state is not IncidentState.RESOLVED]
        changed = [each for each in lasting if not model.stands(each, known, at_ms)]
        notes = [_look(each, at_ms) for each in changed if noted.add(f"{each.id}@{at_ms // ASK_AGAIN_MS}")]
        await publish([Emission(INCIDENT_NOTES, note) for note in notes])

    keep(
        app,
        settings,
        publish,
        name="incidents",
        spec=ANOMALIES,
        also=(INCIDENT_NOTES,),
        state=Subject,
        step=step,
    )
    keep(
        app,
        settings,
        publish,
        name="operator-actions",
        spec=OPERATOR_ACTIONS,
        state=Relayed,
        step=relay,
    )
    app.timer(settings.incidents.look_every_s)(look)


def _look(incident: Incident, now_ms: int) -> IncidentNote:
    return IncidentNote(
        id=derive_id("incident-look", incident.incident, now_ms),
        time_ms=now_ms,
        incident=incident.incident,
        subject=incident.subject,
    )


def _subject_of(incident: Incident | None, action: OperatorAction) -> str:
    if incident is None:
        reason = f"there is no incident {action.incident!r}: `playhead incidents --all` lists them"
        raise ContractError(OPERATOR_ACTIONS.name, reason)
    return incident.subject


def _silence(action: OperatorAction) -> Silence:
    """Return the silence that an action on one incident asks for.

    Raises:
        ContractError: it says not until when; what is silenced for ever is forgotten.
    """
    if action.until_ms is None:
        raise ContractError(OPERATOR_ACTIONS.name, "a silence must say until when it holds: until_ms")
    silence = derive_id("silence", action.id or msgspec.json.encode(action))
    return Silence(
        id=silence,
        time_ms=action.time_ms,
        silence=silence,
        match={"incident": action.incident},
        by=action.by,
        reason=words.sentence(action.reason),
        until_ms=action.until_ms,
        wake_over_viewers=action.wake_over_viewers,
    )
