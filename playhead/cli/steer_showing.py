"""How things stand, and why, as people read it on a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from playhead.cli.output import people
from playhead.render import describe
from playhead.render.words import SEVERITY_STYLES, clean, duration, line, viewers
from playhead.steer.explaining import Decision, Explanation, limits_of, title_of, verified
from playhead.steer.status import Status
from playhead.when import iso
from topics.anomalies import Severity

VERDICT_STYLES = {"helped": "bold green", "harmed": "bold red", "no_effect": "yellow"}


def show_status(found: Status) -> None:
    """Print how things stand."""
    if found.hands_off:
        people.print(line(("hands off:", "bold white on red"), found.hands_off))
    if not found.audiences:
        people.print("every audience has the default order", highlight=False)
    else:
        table = Table(
            "audience", "is told", "moved", "ends in", "incident", "verdict", header_style="bold", box=None
        )
        for each in found.audiences:
            ends = duration(max(each.ends_ms - found.now_ms, 0))
            style = SEVERITY_STYLES.get(Severity[each.severity.upper()], "") if each.severity else ""
            table.add_row(
                Text(clean(each.audience), "bold"),
                Text(clean(each.told), "cyan"),
                f"{each.share:.3g}{' returning' if each.returning else ''}",
                ends,
                Text(f"{each.incident[:8]} {each.state} {clean(each.summary)}", style),
                Text(each.verdict.replace("_", " "), VERDICT_STYLES.get(each.verdict, "dim")),
            )
        people.print(table)
    for waiting in found.waiting:
        mark = ("needs approval", "bold yellow") if waiting.approvable else ("nothing is done", "yellow")
        people.print(
            line(
                mark,
                (waiting.incident, "bold"),
                waiting.summary,
                viewers(waiting.viewers),
                f"— {waiting.why}",
            )
        )


def show_explanation(found: Explanation) -> None:
    """Print a decision record, in the order of what happened."""
    incident = found.incident
    if incident is not None:
        _heading(f"Incident {incident.incident}")
        people.print(line(*describe(incident)))
        for cause in incident.causes:
            _item("seen", cause.contrast)
        for entry in incident.timeline:
            _item(iso(entry.time_ms)[:19], entry.what)
    for decision in found.decisions:
        _show_decision(decision)
    if found.held:
        _heading("Nothing was done")
        for outcome in found.held:
            _item(iso(outcome.time_ms)[:19], outcome.reason)
    if found.verifications:
        _heading("Does it help?")
        for verification in found.verifications:
            _item(verification.audience, verified(verification))
    if found.said:
        _heading("What people have said")
        for control in found.said:
            people.print(line(f"  {iso(control.time_ms)[:19]}", *describe(control)))


def _show_decision(decision: Decision) -> None:
    command = decision.command
    _heading(f"{iso(command.time_ms)[:19]} {title_of(command)}")
    _item("why", command.reason)
    for evidence in command.evidence:
        _item("seen", evidence)
    for other in command.alternatives:
        _item("thought of", other)
    _item("limits", limits_of(command))
    _item("lease", f"until {iso(command.expires_ms)[:19]}")
    _item("undo", command.undo)
    key = f" with key {command.key_id}" if command.key_id else ""
    _item("signed", f"by {command.owner}{key}" if command.signature else "no: no key is set")
    for outcome in decision.outcomes:
        change = f": {outcome.before} → {outcome.after}" if outcome.after else ""
        _item(f"{outcome.status.value.replace('_', ' ')}", f"by {outcome.actor}{change} — {outcome.reason}")


def _heading(text: str) -> None:
    people.print(Text(f"\n{clean(text)}", "bold"))


def _item(label: str, text: str) -> None:
    if text:
        people.print(line((f"  {label:<11}", "dim"), text), soft_wrap=True)
