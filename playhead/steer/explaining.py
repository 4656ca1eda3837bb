"""The decision record of an incident, a command or an audience: what was seen, done, thought of and found."""

from __future__ import annotations

import msgspec

from models.surroundings import described
from playhead.steer.known import Known
from playhead.steer.naming import the_one
from topics.commands import Command, CommandKind, Outcome
from topics.controls import Control
from topics.incidents import Incident
from topics.verifications import Verification


class Decision(msgspec.Struct, frozen=True):
    """One command, and what came of it."""

    command: Command
    outcomes: list[Outcome]


class Explanation(msgspec.Struct, frozen=True):
    """All that is known about what was done, in its order."""

    asked: str
    incident: Incident | None
    decisions: list[Decision]
    held: list[Outcome]
    """Times at which nothing was done, and why."""
    verifications: list[Verification]
    said: list[Control]
    """What people have said about it."""


def explain(known: Known, asked: str) -> Explanation:
    """Return the record of the incident, command or audience that `asked` names, or begins the name of.

    Raises:
        NothingKnownError: there is none, or several fit.
    """
    incidents, commands = known.incidents, {command.id: command for command in known.commands}
    audiences = {*known.answers, *(command.target for command in known.commands)}
    found = the_one(asked, [*incidents, *commands, *audiences], "incident, command or audience")
    if found in incidents:
        return _about(known, asked, found, [each for each in known.commands if each.incident == found])
    if found in commands:
        command = commands[found]
        return _about(known, asked, command.incident, [command])
    about = [each for each in known.commands if each.target == found]
    incident = known.answers[found].incident if found in known.answers else ""
    return _about(known, asked, incident or (about[-1].incident if about else ""), about)


def _about(known: Known, asked: str, incident: str, commands: list[Command]) -> Explanation:
    outcomes: dict[str, list[Outcome]] = {}
    for outcome in known.outcomes:
        outcomes.setdefault(outcome.command_id, []).append(outcome)
    ids = {command.id for command in commands}
    targets = {command.target for command in commands}
    return Explanation(
        asked=asked,
        incident=known.incidents.get(incident),
        decisions=[Decision(command, outcomes.get(command.id, [])) for command in commands],
        held=[
            outcome
            for outcome in known.outcomes
            if incident
            and outcome.incident == incident
            and outcome.actor == "policy"
            and outcome.command_id not in ids
        ],
        verifications=[
            found
            for audience, found in sorted(known.verifications.items())
            if audience in targets and found.incident == incident
        ],
        said=[
            control
            for control in known.controls.values()
            if control.incident == incident or not control.incident
        ],
    )


def limits_of(command: Command) -> str:
    """Return within which limits a command was given, in words."""
    limits = command.limits
    said = [f"at most {limits.max_share:.0%} of the audience", f"no CDN above {limits.max_load:.0%}"]
    if limits.max_viewers is not None:
        said.append(f"at most {limits.max_viewers:,.0f} viewers")
    return ", ".join(said)


def title_of(command: Command) -> str:
    """Return what a command asked for, in a line."""
    if command.kind is CommandKind.RESUME:
        return f"resume {command.target}"
    kind = "propose to " if command.dry_run else ""
    kind += command.kind.value.replace("_", " ")
    if command.kind is CommandKind.FAIL_OVER:
        return f"{kind} {command.target} to {command.pipeline}"
    steps = f", returning in {len(command.ramp)} steps" if command.ramp else ""
    away = f" away from {command.away_from}" if command.away_from else ""
    return f"{kind} {command.share:.3g} of {command.target}{away}{steps}"


def verified(found: Verification) -> str:
    """Return what the comparison says, with its interval."""
    low, high = found.difference_low, found.difference_high
    if low is None or high is None:
        return described(found)
    return f"{described(found)}; the difference is {100 * low:+.3g} to {100 * high:+.3g} points at any time"
