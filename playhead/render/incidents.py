"""Incidents and silences as tables, and all of one incident on a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from playhead.render import describe
from playhead.render.decisions import INCIDENT_STYLES
from playhead.render.words import SEVERITY_STYLES, cell, clean, duration, figure, line, share
from playhead.when import iso
from topics.incidents import Incident, IncidentState
from topics.silences import Silence

if TYPE_CHECKING:
    from playhead.incident_desk import Story

SHOWN_ID = 8
"""Characters of an id that are shown in a table; commands take any beginning that is unique."""


def incident_table(incidents: Iterable[Incident], now_ms: int) -> Table:
    """Return incidents as a table, in the order given; a part is set under its whole."""
    table = Table(box=None, header_style="bold")
    for heading in ("id", "severity", "state", "age", "viewers", "what", "who"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "viewers" else "left")
    shown: set[str] = set()
    for each in incidents:
        part = each.parent in shown
        shown.add(each.incident)
        over = each.state is IncidentState.RESOLVED
        table.add_row(
            f"{'└ ' if part else ''}{clean(each.incident[:SHOWN_ID])}",
            Text(each.severity.name, SEVERITY_STYLES[each.severity]),
            Text(each.state.value, INCIDENT_STYLES[each.state]),
            duration(max((each.resolved_ms if over and each.resolved_ms else now_ms) - each.opened_ms, 0)),
            figure(each.impact_viewers) if each.impact_viewers else "",
            Text(clean(each.summary)),
            _who(each),
            style="dim" if over else None,
        )
    return table


def _who(incident: Incident) -> Text:
    if incident.paging:
        return Text("PAGES", "bold white on red")
    return Text(clean(incident.quiet or incident.owner), "dim")


def silence_table(silences: Iterable[Silence], now_ms: int) -> Table:
    """Return silences as a table; those that have ended are dim."""
    table = Table(box=None, header_style="bold")
    for heading in ("id", "match", "ends", "wakes past", "by", "reason"):
        table.add_column(heading, overflow="fold")
    for each in silences:
        over = each.wake_over_viewers
        table.add_row(
            clean(each.silence[:SHOWN_ID]),
            Text(clean(cell(each.match))),
            ends(each, now_ms),
            "" if over is None else f"{figure(over)} viewers",
            Text(clean(each.by)),
            Text(clean(each.reason)),
            style=None if each.enabled and now_ms < each.until_ms else "dim",
        )
    return table


def ends(silence: Silence, now_ms: int) -> str:
    """Return when a silence ends, or how it has ended."""
    if not silence.enabled:
        return f"taken back by {clean(silence.ended_by or silence.by)}"
    left_ms = silence.until_ms - now_ms
    return f"in {duration(left_ms)}" if left_ms > 0 else f"ended {duration(-left_ms)} ago"


def story_lines(story: Story, now_ms: int) -> Iterator[Text]:
    """Yield all that is known of an incident, as lines."""
    incident = story.incident
    yield line((incident.incident, "bold"), *describe(incident)[:2], incident.summary)
    for label, told in _facts(incident):
        if told:
            yield Text.assemble((f"  {label:<10}", "dim"), clean(told))
    if incident.causes:
        yield Text("causes", "bold")
    for cause in incident.causes:
        explained = f"explains {share(cause.explained)} of the excess, score {figure(cause.score)}"
        yield line("  ", (cell(cause.cell), "bold magenta"), explained)
        if cause.contrast:
            yield Text(f"      {clean(cause.contrast)}")
    if story.parts:
        yield Text("parts", "bold")
    for part in story.parts:
        yield line("  ", (part.incident, "bold"), part.state.value, part.summary)
    if story.silences:
        yield Text("silences", "bold")
    for silence in story.silences:
        yield line("  ", (silence.silence, "bold"), *describe(silence)[1:4], (ends(silence, now_ms), "dim"))
    if story.deliveries:
        yield Text("told", "bold")
    for sent in story.deliveries:
        yield line("  ", (iso(sent.time_ms), "dim"), *describe(sent))
    yield Text("timeline", "bold")
    for time_ms, source, told_line in sorted(_timeline(story), key=lambda each: each[0]):
        yield Text.assemble(("  " + iso(time_ms), "dim"), (f"  {source:<9} ", "cyan"), told_line)


def _facts(incident: Incident) -> list[tuple[str, str]]:
    acknowledgement = incident.acknowledgement
    until_ms = None if acknowledgement is None else acknowledgement.until_ms
    lasted = None if incident.resolved_ms is None else incident.resolved_ms - incident.opened_ms
    return [
        ("cause", cell(incident.cause) if incident.cause else "unknown or external"),
        ("contrast", incident.contrast),
        ("hits", f"{figure(incident.impact_viewers)} viewers" if incident.impact_viewers else ""),
        ("among", cell(incident.scope) if incident.scope else ""),
        ("opened", f"{iso(incident.opened_ms)} UTC"),
        ("lasted", "" if lasted is None else duration(max(lasted, 0))),
        ("firing", ", ".join(incident.firing)),
        ("owner", incident.owner),
        ("until", "" if until_ms is None else f"{iso(until_ms)} UTC"),
        ("pages", "now" if incident.paging else f"no: {incident.quiet}" if incident.quiet else ""),
        ("paged", f"{incident.pages} times" if incident.pages else ""),
        ("in force", ", ".join(incident.mitigations)),
        ("part of", incident.parent),
    ]


def _timeline(story: Story) -> Iterator[tuple[int, str, Text]]:
    for entry in story.incident.timeline:
        yield entry.time_ms, "incident", Text(clean(entry.what))
    for command in story.commands:
        yield command.time_ms, "command", line(*describe(command))
    for outcome in story.outcomes:
        yield outcome.time_ms, "outcome", line(*describe(outcome))
