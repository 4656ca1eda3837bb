"""What is said of an incident: its summary, and what has changed since it was last told."""

from __future__ import annotations

from models import words
from models.incidents import silences
from models.incidents.around import Around
from models.incidents.symptoms import Lead
from topics.anomalies import Cause
from topics.fields import Cell, cell_key
from topics.incidents import Incident, IncidentState

MEANING = {
    "stalled_ratio": "of viewers stall",
    "start_failure_ratio": "of starts fail",
    "playback_failure_ratio": "of plays fail",
    "rebuffering_ratio": "of the viewers' time is spent stalling",
}
"""What a ratio is a ratio of, for the summary."""


def summary(subject: str, scope: Cell, lead: Lead, cause: Cause | None, impact_viewers: float) -> str:
    """Return the incident at a glance: where, what, how it should be, how many viewers."""
    where = cell_key({**scope, **cause.cell}) if cause is not None else subject
    if cause is None or cause.cell == lead.cell or not cause.contrast:
        what = _measured(lead)
    else:
        named = ", ".join(f"{dimension}={value}" for dimension, value in cause.cell.items())
        what = cause.contrast.split(";")[0].replace(f" on {named}", "")
    impact = f" — {words.viewers(impact_viewers)}" if impact_viewers >= 1 else ""
    return words.sentence(f"{where}: {what}{impact}")


def _measured(lead: Lead) -> str:
    if lead.metric in MEANING:
        expected = f", expected {words.percent(lead.baseline)}" if lead.baseline is not None else ""
        return f"{words.percent(lead.value)} {MEANING[lead.metric]}{expected}"
    if lead.detail:
        return lead.detail
    expected = f", expected {lead.baseline:.4g}" if lead.baseline is not None else ""
    return f"{lead.metric} is {lead.value:.4g}{expected}"


def changes(told: Incident | None, now: Incident, around: Around, impact_growth: float) -> list[str]:
    """Return what is worth telling, in words; nothing where nothing of weight has changed.

    Args:
        told: the incident as it was last told; None where it is new.
        now: as it stands.
        around: where the reasons for some changes are.
        impact_growth: an incident so many times larger is worth telling.
    """
    if told is None:
        said = [f"opened: {now.summary}", *_paging(0, now)]
    elif now.state is IncidentState.RESOLVED:
        said = [] if told.state is IncidentState.RESOLVED else [_resolved(now)]
    elif told.state is IncidentState.RESOLVED:
        said = [*_standing(told, now, around), f"reopened: {now.summary}"]
    else:
        said = [*_symptoms(told, now, impact_growth), *_standing(told, now, around)]
    return [words.sentence(each) for each in said]


def _resolved(now: Incident) -> str:
    lasted = words.lasting(now.time_ms - now.opened_ms)
    return f"resolved by {now.resolved_by} after {lasted}" if now.resolved_by else f"resolved after {lasted}"


def _symptoms(told: Incident, now: Incident, impact_growth: float) -> list[str]:
    said = []
    if now.severity > told.severity:
        lasts = ", since it lasts" if now.raised and not told.raised else ""
        said.append(f"worse: {told.severity.name.lower()} became {now.severity.name.lower()}{lasts}")
    if now.cause != told.cause:
        was = cell_key(told.cause) if told.cause else "unknown"
        said.append(f"cause refined: {cell_key(now.cause)}, before {was}")
    if now.scope != told.scope:
        wider = "wider" if now.scope.items() < told.scope.items() else "elsewhere"
        said.append(f"{wider}: among {cell_key(now.scope)}, before {cell_key(told.scope)}")
    if now.standby not in {"", told.standby}:
        said.append(f"{now.standby} can take over")
    new = sorted(set(now.firing) - set(told.firing))
    if new:
        said.append(f"also anomalous: {words.listed(new)}")
    if now.impact_viewers > impact_growth * told.impact_viewers:
        before = words.viewers(told.impact_viewers)
        said.append(f"larger: {words.viewers(now.impact_viewers)}, before {before}")
    return said


def _standing(told: Incident, now: Incident, around: Around) -> list[str]:
    said = []
    if told.acknowledgement is not None and now.acknowledgement is None:
        said.append(_lapsed(told, now))
    if now.silenced_by != told.silenced_by:
        said += _silenced(told, now, around)
    if now.parent != told.parent:
        said.append(f"part of {now.parent}" if now.parent else "stands by itself again")
    if now.mitigations != told.mitigations:
        in_force = words.listed(now.mitigations)
        said.append(f"mitigating: {in_force}" if now.mitigations else "nothing is in force any more")
    if now.flapping != told.flapping:
        came_back = f"flapping: it came back {len(now.reopenings)} times; it pages again once it stays"
        said.append(came_back if now.flapping else "it stays: flapping no longer")
    return [*said, *_paging(told.pages, now)]


def _paging(pages: int, now: Incident) -> list[str]:
    if now.pages == pages:
        return []
    return ["pages" if now.pages == 1 else "pages again"]


def _lapsed(told: Incident, now: Incident) -> str:
    known = told.acknowledgement
    assert known is not None
    if known.until_ms is not None and now.time_ms >= known.until_ms:
        return f"the acknowledgement of {known.by} has lapsed"
    return f"the acknowledgement of {known.by} ends: {words.viewers(now.impact_viewers)} are hit"


def _silenced(told: Incident, now: Incident, around: Around) -> list[str]:
    known = {each.silence: each for each in around.silences}
    said = []
    before, after = known.get(told.silenced_by), known.get(now.silenced_by)
    if told.silenced_by and before is None:
        said.append("its silence is gone")
    elif before is not None and not before.enabled:
        said.append(f"the silence of {before.by} was taken back by {before.ended_by or before.by}")
    elif before is not None and now.time_ms >= before.until_ms:
        said.append(f"the silence of {before.by} has lapsed")
    elif before is not None and silences.is_outgrown(before, now):
        bound = before.wake_over_viewers or 0.0
        said.append(
            f"the silence of {before.by} ends: {words.viewers(now.impact_viewers)} are hit, "
            f"it holds up to {bound:,.0f}"
        )
    if after is not None:
        said.append(f"silenced by {after.by}: {after.reason}")
    return said
