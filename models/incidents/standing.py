"""How an incident stands at a moment: its state, its severity, and whether it asks for somebody now.

It follows from the incident as it was last told, from what is around it, and from the time alone. States,
later ones before earlier ones where several are true::

    open, reopened ─▶ acknowledged ─▶ mitigating ─▶ resolved ─▶ reopened

It pages while it is not over and nothing speaks against it: its anomalies are within the budget of false
pages, it is no part of another incident, nobody has acknowledged or silenced it, it is not flapping, and it
has waited a moment for what else the same cause sets off.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from config.sections import IncidentSettings
from models import words
from models.incidents import silences
from models.incidents.around import Around
from topics.anomalies import Severity
from topics.incidents import Acknowledgement, Incident, IncidentState
from topics.silences import Silence


def stand(incident: Incident, around: Around, now_ms: int, settings: IncidentSettings) -> Incident:
    """Return `incident` as it stands at `now_ms`."""
    if not incident.firing or incident.resolved_by:
        return _over(incident, now_ms)
    held = silences.holding(around.silences, incident, now_ms)
    acknowledgement = _acknowledgement(incident, around.silences, now_ms)
    parent = around.families.parent_of(incident)
    mitigations = around.mitigations_of(incident)
    flapping = _is_flapping(incident, now_ms, settings)
    raised_ms = _raised_ms(incident, settings)
    lasts = raised_ms is not None and now_ms >= raised_ms
    against = _against(incident, acknowledgement, held, parent)
    if not against and flapping:
        against = f"flapping: it came back {len(incident.reopenings)} times"
    waits_until_ms = firing_since_ms(incident) + int(1_000 * settings.page_after_s)
    paging = not against and (incident.paging or now_ms >= waits_until_ms)
    return msgspec.structs.replace(
        incident,
        state=_state(incident, acknowledgement, mitigations),
        severity=_severity(incident, lasts=lasts, settings=settings),
        raised=incident.raised or lasts,
        owner=acknowledgement.by if acknowledgement is not None else "",
        resolved_ms=None,
        acknowledgement=acknowledgement,
        silenced_by=held.silence if held is not None else "",
        parent=parent.incident if parent is not None else "",
        mitigations=mitigations,
        flapping=flapping,
        paging=paging,
        pages=incident.pages + (paging and not incident.paging),
        quiet=words.sentence(against or ("" if paging else "waits for what else the cause sets off")),
        look_again_ms=_next_look_ms(
            now_ms,
            waits_until_ms if not against and not paging else None,
            acknowledgement.until_ms if acknowledgement is not None else None,
            held.until_ms if held is not None else None,
            _steady_ms(incident, settings) if flapping else None,
            raised_ms,
        ),
    )


def _over(incident: Incident, now_ms: int) -> Incident:
    return msgspec.structs.replace(
        incident,
        state=IncidentState.RESOLVED,
        resolved_ms=now_ms if incident.resolved_ms is None else incident.resolved_ms,
        acknowledgement=None,
        silenced_by="",
        parent="",
        mitigations=[],
        flapping=False,
        paging=False,
        quiet="",
        look_again_ms=None,
    )


def _state(
    incident: Incident, acknowledgement: Acknowledgement | None, mitigations: list[str]
) -> IncidentState:
    if mitigations:
        return IncidentState.MITIGATING
    if acknowledgement is not None:
        return IncidentState.ACKNOWLEDGED
    return IncidentState.REOPENED if incident.reopenings else IncidentState.OPEN


def _against(
    incident: Incident,
    acknowledgement: Acknowledgement | None,
    held: Silence | None,
    parent: Incident | None,
) -> str:
    """Return what speaks against paging, the weightiest first."""
    if not incident.within_budget:
        return "recorded only: to page for it would exceed the budget of false pages"
    if parent is not None:
        return f"part of {parent.incident}, {parent.subject}"
    if acknowledgement is not None:
        return _with_reason(f"acknowledged by {acknowledgement.by}", acknowledgement.reason)
    if held is not None:
        return _with_reason(f"silenced by {held.by}", held.reason)
    return ""


def _with_reason(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text


# -- acknowledgement --------------------------------------------------------------------------------------


def _acknowledgement(incident: Incident, wishes: Iterable[Silence], now_ms: int) -> Acknowledgement | None:
    """Return the acknowledgement where it still holds.

    It ends at its time, past its own bound, and past that of a silence which is younger: who says "wake me
    past 5,000 viewers" after having acknowledged wants to be woken.
    """
    known = incident.acknowledgement
    if known is None or (known.until_ms is not None and now_ms >= known.until_ms):
        return None
    if known.wake_over_viewers is not None and incident.impact_viewers > known.wake_over_viewers:
        return None
    younger = (
        each
        for each in silences.current(wishes, incident, now_ms)
        if each.time_ms > known.time_ms and silences.is_outgrown(each, incident)
    )
    return None if any(younger) else known


# -- flapping ---------------------------------------------------------------------------------------------


def firing_since_ms(incident: Incident) -> int:
    """Return since when it has been firing without a break."""
    return incident.reopenings[-1] if incident.reopenings else incident.opened_ms


def _steady_ms(incident: Incident, settings: IncidentSettings) -> int:
    return firing_since_ms(incident) + int(1_000 * settings.steady_s)


def _is_flapping(incident: Incident, now_ms: int, settings: IncidentSettings) -> bool:
    """Whether it came back so often of late, and has not yet stayed for long."""
    window_ms = int(1_000 * settings.flap_window_s)
    recent = [each for each in incident.reopenings if now_ms - each <= window_ms]
    return len(recent) >= settings.flaps and now_ms < _steady_ms(incident, settings)


# -- severity ---------------------------------------------------------------------------------------------


def _severity(incident: Incident, *, lasts: bool, settings: IncidentSettings) -> Severity:
    """Return how bad it is: as its anomalies say, as many viewers say, and a level more if it lasts.

    It never falls while it is the same incident, and to last makes nothing critical.
    """
    severity = max(incident.severity, _by_impact(incident.impact_viewers, settings))
    if lasts and severity < Severity.HIGH:
        return Severity(severity + 1)
    return severity


def _by_impact(viewers: float, settings: IncidentSettings) -> Severity:
    if viewers >= settings.critical_viewers:
        return Severity.CRITICAL
    return Severity.HIGH if viewers >= settings.high_viewers else Severity.LOW


def _raised_ms(incident: Incident, settings: IncidentSettings) -> int | None:
    """Return when it is raised for lasting; None once it was, or where it cannot be."""
    if incident.raised or incident.severity >= Severity.HIGH:
        return None
    return firing_since_ms(incident) + int(1_000 * settings.raise_after_s)


def _next_look_ms(now_ms: int, *times_ms: int | None) -> int | None:
    """Return the next moment at which the time alone changes something."""
    return min((each for each in times_ms if each is not None and each > now_ms), default=None)
