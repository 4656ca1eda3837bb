"""Lines of what is found, decided and done: anomalies, incidents, commands, outcomes, answers, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from playhead.render.words import (
    Part,
    cell,
    dotted,
    duration,
    figure,
    labelled,
    severity,
    share,
    signed,
    viewers,
)
from playhead.when import iso
from topics.anomalies import Anomaly, Cause, Phase
from topics.chaos import ChaosPhase, ChaosStep
from topics.commands import Command, Outcome, OutcomeStatus
from topics.controls import Control
from topics.dead_letters import DeadLetter, origin
from topics.deliveries import DeliveryStatus, NoticeDelivery
from topics.incident_notes import IncidentNote
from topics.incidents import Incident, IncidentState
from topics.ingest import PipelineSelection
from topics.operator import OperatorAction
from topics.placements import TitlePlacement
from topics.silences import Silence
from topics.steering import SteeringAnswer
from topics.steering_polls import SteeringPoll
from topics.verifications import Pulse, Verdict, Verification

PHASE_STYLES = {Phase.START: "bold", Phase.END: "bold green"}
INCIDENT_STYLES = {
    IncidentState.OPEN: "bold red",
    IncidentState.REOPENED: "bold red",
    IncidentState.ACKNOWLEDGED: "bold yellow",
    IncidentState.MITIGATING: "bold cyan",
    IncidentState.RESOLVED: "bold green",
}
OUTCOME_STYLES = {
    OutcomeStatus.APPLIED: "bold green",
    OutcomeStatus.REFUSED: "bold red",
    OutcomeStatus.EXPIRED: "yellow",
    OutcomeStatus.UNDONE: "cyan",
    OutcomeStatus.DRY_RUN: "dim",
}
VERDICT_STYLES = {
    Verdict.UNKNOWN: "dim",
    Verdict.HELPED: "bold green",
    Verdict.HARMED: "bold red",
    Verdict.NO_EFFECT: "yellow",
}
DELIVERY_STYLES = {
    DeliveryStatus.DELIVERED: "bold green",
    DeliveryStatus.FAILING: "bold yellow",
    DeliveryStatus.REFUSED: "bold red",
}
CHAOS_STYLES = {ChaosPhase.STARTED: "bold red", ChaosPhase.RESTORED: "bold green"}


def _anomaly(record: Anomaly) -> list[Part]:
    against = [
        labelled("usually", "" if record.baseline is None else figure(record.baseline)),
        "" if record.deviation_sigmas is None else f"{signed(record.deviation_sigmas)} σ",
        labelled("bound", "" if record.bound is None else figure(record.bound)),
    ]
    return [
        severity(record.severity),
        (record.phase.value, PHASE_STYLES.get(record.phase, "")),
        record.kind.value.replace("_", " "),
        (record.series, "bold"),
        f"{record.metric} {figure(record.value)}",
        f"({', '.join(text for text in against if text)})" if any(against) else "",
        viewers(record.impact_viewers),
        _cause(record.causes),
        dotted(f"sure {share(record.confidence)}", record.detector, record.detail),
    ]


def _cause(causes: list[Cause]) -> Part:
    if not causes:
        return ""
    return f"because of {cell(causes[0].cell)} ({share(causes[0].explained)} explained)", "bold magenta"


def _incident(record: Incident) -> list[Part]:
    lasted = "" if record.resolved_ms is None else duration(max(record.resolved_ms - record.opened_ms, 0))
    return [
        severity(record.severity),
        (record.state.value.upper(), INCIDENT_STYLES[record.state]),
        ("PAGES" if record.paging else "", "bold white on red"),
        (record.incident, "bold"),
        record.summary,
        (labelled("because of", cell(record.cause) if record.cause else ""), "bold magenta"),
        viewers(record.impact_viewers),
        dotted(
            labelled("owner", record.owner),
            f"{len(record.firing)} firing" if record.firing else "",
            labelled("lasted", lasted),
            labelled("quiet:", record.quiet),
            record.contrast,
        ),
    ]


def _command(record: Command) -> list[Part]:
    asks = [
        f"{share(record.share)} of the audience" if record.audience else "",
        labelled("away from", record.away_from),
        labelled("to", " > ".join(record.pathway_priority)),
        labelled("pipeline", record.pipeline),
        "" if record.max_bitrate_kbps is None else f"at most {figure(record.max_bitrate_kbps)} kb/s",
        "" if record.p2p is None else f"p2p {'on' if record.p2p else 'off'}",
        labelled("undoes", record.undoes),
    ]
    return [
        ("dry run", "dim") if record.dry_run else "",
        (record.kind.value.replace("_", " "), "bold cyan"),
        (record.target, "bold"),
        ", ".join(text for text in asks if text),
        labelled("—", record.reason),
        dotted(_until(record.expires_ms), labelled("owner", record.owner), record.incident),
    ]


def _outcome(record: Outcome) -> list[Part]:
    change = f"{record.before} → {record.after}" if record.before or record.after else ""
    return [
        (record.status.value.replace("_", " "), OUTCOME_STYLES[record.status]),
        record.kind.value.replace("_", " "),
        (record.target, "bold"),
        change,
        labelled("—", record.reason),
        dotted(labelled("by", record.actor), record.incident),
    ]


def _steering(record: SteeringAnswer) -> list[Part]:
    moved = bool(record.away_from)
    return [
        (record.audience, "bold"),
        (" > ".join(record.pathway_priority) or "as they like", "cyan" if moved else ""),
        f"{share(record.share)} away from {record.away_from}" if moved else "",
        "" if record.max_bitrate_kbps is None else f"at most {figure(record.max_bitrate_kbps)} kb/s",
        "" if record.p2p is None else f"p2p {'on' if record.p2p else 'off'}",
        dotted(f"ttl {figure(record.ttl_s)} s", _until(record.expires_ms), record.reason),
    ]


def _steering_poll(record: SteeringPoll) -> list[Part]:
    obeyed = {True: ("followed", "green"), False: ("did not follow", "yellow"), None: ("", "")}[
        record.followed
    ]
    speed = "" if record.throughput_kbps is None else f"{figure(record.throughput_kbps)} kb/s"
    return [
        (record.title, "bold"),
        " > ".join(record.order),
        obeyed,
        labelled("uses", ", ".join(record.pathways)),
        dotted(record.protocol, cell(record.cell), f"group {record.group}", speed, f"ttl {record.ttl_s} s"),
    ]


def _placement(record: TitlePlacement) -> list[Part]:
    fills = ", ".join(f"{fill.site} at {fill.at_hour:02}:00" for fill in record.fills)
    return [
        (record.title, "bold"),
        f"kept at {', '.join(record.sites) or 'no site'}",
        (labelled("copy to", fills), "cyan"),
        dotted(labelled("drop from", ", ".join(record.drops)), record.reason),
    ]


def _verification(record: Verification) -> list[Part]:
    low, high = record.difference_low, record.difference_high
    between = "" if low is None or high is None else f"{100 * low:+.3g} to {100 * high:+.3g} points"
    return [
        (record.verdict.value.replace("_", " "), VERDICT_STYLES[record.verdict]),
        (record.audience, "bold"),
        f"{_bad(record.moved_bad, record.moved_viewers)} of the moved ail,",
        f"{_bad(record.control_bad, record.control_viewers)} of the control",
        f"({between})" if between else "",
        dotted(f"{record.windows:,} windows", record.incident),
    ]


def _bad(bad: float, of: float) -> str:
    return share(bad / of) if of else "none"


def _pulse(record: Pulse) -> list[Part]:
    return [
        (record.agent, "bold"),
        f"has seen {figure(record.viewers)} viewers",
        dotted(labelled("up to", iso(record.window_end_ms)[:19])),
    ]


def _control(record: Control) -> list[Part]:
    return [
        (record.by, "bold"),
        "" if record.enabled else ("takes back", "yellow"),
        (record.verb.value, "bold cyan"),
        record.incident,
        labelled("—", record.reason),
        dotted(_until(record.until_ms)),
    ]


def _selection(record: PipelineSelection) -> list[Part]:
    return [
        (record.stream, "bold"),
        (f"served from {record.pipeline}", "cyan"),
        f"from segment {record.from_sequence}",
        dotted(_until(record.expires_ms), record.reason),
    ]


def _operator(record: OperatorAction) -> list[Part]:
    over = record.wake_over_viewers
    return [
        (record.by, "bold"),
        (record.verb.value, "bold cyan"),
        record.incident,
        record.reason,
        dotted(_until(record.until_ms), "" if over is None else f"wake over {viewers(over) or 'none'}"),
    ]


def _silence(record: Silence) -> list[Part]:
    over = record.wake_over_viewers
    return [
        ("silences" if record.enabled else "silences no more", "bold cyan" if record.enabled else "dim"),
        (cell(record.match), "bold"),
        labelled("by", record.by),
        labelled("—", record.reason),
        dotted(_until(record.until_ms), "" if over is None else f"wake over {viewers(over) or 'none'}"),
    ]


def _note(record: IncidentNote) -> list[Part]:
    asked = "looked at again" if record.action is None else f"{record.action.verb} by {record.action.by}"
    return [(record.incident, "bold"), asked, dotted(record.subject)]


def _delivery(record: NoticeDelivery) -> list[Part]:
    return [
        (record.status.value, DELIVERY_STYLES[record.status]),
        (record.receiver, "bold"),
        f"{record.kind.value} of {record.incident}",
        dotted(record.answer, f"tried {record.attempts} times" if record.attempts > 1 else ""),
    ]


def _chaos(record: ChaosStep) -> list[Part]:
    return [
        (record.phase.value, CHAOS_STYLES.get(record.phase, "bold")),
        (record.experiment, "bold"),
        f"{record.fault.value.replace('_', ' ')} at {cell(record.target)}",
        record.verdict,
        dotted(labelled("budget spent", share(record.budget_spent)), record.reason or record.hypothesis),
    ]


def _dead_letter(record: DeadLetter) -> list[Part]:
    index = "" if record.packed_index is None else f" event {record.packed_index}"
    return [
        (f"{origin(record)}{index}", "bold"),
        (record.reason, "red"),
        dotted(labelled("refused by", record.agent), f"{len(record.value or b''):,} bytes"),
    ]


def _until(time_ms: int | None) -> str:
    return "" if time_ms is None else f"until {iso(time_ms)[:19]}"


LINES: dict[type[msgspec.Struct], Callable[[Any], list[Part]]] = {
    Anomaly: _anomaly,
    Incident: _incident,
    Command: _command,
    Outcome: _outcome,
    SteeringAnswer: _steering,
    SteeringPoll: _steering_poll,
    PipelineSelection: _selection,
    TitlePlacement: _placement,
    Verification: _verification,
    Pulse: _pulse,
    Control: _control,
    OperatorAction: _operator,
    Silence: _silence,
    IncidentNote: _note,
    NoticeDelivery: _delivery,
    ChaosStep: _chaos,
    DeadLetter: _dead_letter,
}
"""What is said of each kind of record."""
