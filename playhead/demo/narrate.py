"""The loop in sentences: what is worth a line of what is told on the topics."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from models import words
from playhead.demo.story import MOVES, Told
from playhead.render.words import clean
from topics.anomalies import Anomaly, Phase
from topics.commands import Command, CommandKind, Outcome, OutcomeStatus
from topics.fields import Record
from topics.incidents import Incident, IncidentState
from topics.ingest import PipelineSelection
from topics.steering import SteeringAnswer

STYLES = {
    "anomaly": "yellow",
    "INCIDENT": "bold red",
    "REOPENED": "bold red",
    "RECOVERED": "bold green",
    "worse": "red",
    "command": "cyan",
    "refused": "magenta",
    "held": "magenta",
    "STEERING": "bold cyan",
    "UNDONE": "bold blue",
    "INGEST": "bold magenta",
}

STANDS = ("pages", "mitigating", "nothing is in force", "part of", "stands by itself", "it stays")
"""How what is said of an incident begins where it says nothing new of the viewers."""


class Line(NamedTuple):
    """One thing that happened, at its event time."""

    time_ms: int
    what: str
    text: str

    @property
    def style(self) -> str:
        """How `what` is set."""
        return STYLES.get(self.what, "")


def narrate(told: Told, series: Collection[str]) -> Line | None:
    """Return what is to be said of a record, or None where it is not worth a line.

    Args:
        series: services whose metrics are replayed: of them only the anomalies are told, for their incidents
            say the same again.
    """
    match told.record:
        case Incident(subject=service) | Outcome(target=service) if service in series:
            return None
    said = _said(told.record)
    return None if said is None else Line(told.record.time_ms, said[0], clean(said[1]))


def _said(record: Record) -> tuple[str, str] | None:
    said: tuple[str, str] | None = None
    match record:
        case Anomaly(phase=Phase.START) as anomaly:
            usual = "" if anomaly.baseline is None else f", usually {anomaly.baseline:.4g}"
            said = "anomaly", f"{anomaly.series} is {anomaly.value:.4g}{usual}"
        case Incident() as incident:
            said = _incident(incident)
        case Command() as command:
            said = "command", _command(command)
        case Outcome(status=OutcomeStatus.REFUSED) as outcome:
            what = "held" if outcome.kind is CommandKind.HOLD else "refused"
            said = what, f"{outcome.target}: {outcome.reason}"
        case SteeringAnswer(command_id="") as answer:
            said = "UNDONE", f"{answer.audience} is served as before: {_first_clause(answer.reason)}"
        case SteeringAnswer() as answer:
            said = "STEERING", _answer(answer)
        case PipelineSelection() as selection:
            at = f"from segment {selection.from_sequence}"
            said = "INGEST", f"{selection.stream} is served from {selection.pipeline} {at}"
    return said


def _incident(incident: Incident) -> tuple[str, str] | None:
    newest = incident.timeline[-1].what if incident.timeline else incident.summary
    if incident.state is IncidentState.RESOLVED:
        return "RECOVERED", f"{incident.subject}: {newest}"
    if newest.startswith(STANDS):
        return None
    if not newest.startswith(("opened", "reopened")):
        return "worse", f"{incident.subject}: {newest}"
    what = "REOPENED" if incident.reopenings else "INCIDENT"
    contrast = incident.contrast.partition("; ")[2]  # its first clause is in the summary
    return what, f"{incident.summary}; {contrast}" if contrast else incident.summary


def _command(command: Command) -> str:
    mode = "dry run: " if command.dry_run else ""
    if command.kind is CommandKind.RESUME:
        return f"{mode}resume {command.target}: {_first_clause(command.reason)}"
    lease = words.lasting(command.expires_ms - command.time_ms)
    if command.renews:
        return f"{mode}{words.percent(command.share)} of {command.target}: the lease goes on for {lease}"
    whom = f"{words.percent(command.share)} " if command.kind in MOVES else ""
    return f"{mode}{whom}for {lease}: {command.reason}"


def _answer(answer: SteeringAnswer) -> str:
    asked = []
    if answer.pathway_priority:
        asked.append(f"CDN {' > '.join(answer.pathway_priority)}")
    if answer.max_bitrate_kbps is not None:
        asked.append(f"at most {answer.max_bitrate_kbps:g} kb/s")
    if answer.p2p is not None:
        asked.append("peer-to-peer" if answer.p2p else "no peer-to-peer")
    return f"{words.percent(answer.share)} of {answer.audience} are told: {', '.join(asked)}"


def _first_clause(reason: str) -> str:
    return reason.partition(": ")[0]
