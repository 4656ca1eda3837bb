"""`playhead steer`: what the brain does, why, and people's word to it."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from config import Settings, load
from playhead.brokers import client_config, producer_config
from playhead.bulk_sender import BulkSender
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors
from playhead.cli.produce_command import Prefix, tell
from playhead.cli.steer_showing import show_explanation, show_status
from playhead.render import describe
from playhead.render.words import clean, line
from playhead.steer.explaining import explain
from playhead.steer.known import Known, read_known
from playhead.steer.naming import the_one
from playhead.steer.status import status_of
from playhead.steer.trying import attempt, read_policies
from playhead.steer.words_said import word
from playhead.when import now_ms, parse_length
from topics.controls import ControlVerb
from topics.emission import Emission
from topics.incidents import Incident, IncidentState

steer = typer.Typer(
    help="""See what the brain does and why; approve, undo or freeze it.

    Example: [bold]playhead steer status[/]
    """,
    no_args_is_help=True,
)

IncidentArgument = Annotated[
    str, typer.Argument(help="An incident, or how its name begins.", show_default=False)
]
By = Annotated[
    str | None, typer.Option(help="Who says so; the user of this machine by default.", show_default=False)
]


def _stated(reason: str) -> str:
    if not reason.strip():
        raise typer.BadParameter("say why in a few words: it is kept with the decision")
    return reason


Reason = Annotated[
    str, typer.Option(help="Why: it is kept with the decision.", show_default=False, callback=_stated)
]
TakeBack = Annotated[bool, typer.Option("--take-back", help="Take the word back.")]


def register(app: typer.Typer) -> None:
    """Add `steer` to the command line."""
    app.add_typer(steer, name="steer")


@steer.command("status")
@tells_errors
def status(prefix: Prefix = None, as_json: AsJson = False) -> None:
    """Show who is told what, for how long, why and whether it helps; and what waits for a person.

    Example: [bold]playhead steer status[/]
    """
    settings, run = _settings(prefix)
    found = status_of(_known(settings, run), settings)
    if as_json:
        print_json(found)
        return
    show_status(found)


@steer.command("explain")
@tells_errors
def explain_decision(
    what: Annotated[
        str,
        typer.Argument(
            help="An audience, a command or an incident, how its name begins, or a part of it.",
            show_default=False,
        ),
    ],
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Show the decision record: what was seen, done and thought of, within which limits, and what came of it.

    Example: [bold]playhead steer explain isp=3320[/]
    """
    settings, run = _settings(prefix)
    found = explain(_known(settings, run), what)
    if as_json:
        print_json(found)
        return
    show_explanation(found)


@steer.command("dry-run")
@tells_errors
def dry_run(
    incident: IncidentArgument,
    policy: Annotated[
        Path | None,
        typer.Option(help="Policies in JSON, in place of those in force.", show_default=False),
    ] = None,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Show what would be done now about an incident, under other policies if given; nothing is published.

    Example: [bold]playhead steer dry-run d94ab8 --policy bolder.json[/]
    """
    policies = read_policies(policy) if policy is not None else None
    settings, run = _settings(prefix)
    known = _known(settings, run)
    trial = attempt(known, _incident(known, incident), settings, policies)
    if as_json:
        print_json(trial)
        return
    under = ", ".join(trial.policies) or "no policy: all is a dry run"
    people.print(f"[dim]incident {escape(trial.incident)}, under {escape(under)}; nothing was published[/]")
    for command in trial.commands:
        people.print(line(("would", "bold"), *describe(command)))
        for other in command.alternatives:
            people.print(Padding(Text(clean(other), "dim"), (0, 0, 0, 4)))
    for why in trial.held:
        people.print(line(("nothing:", "bold yellow"), why))


@steer.command("approve")
@tells_errors
def approve(
    incident: IncidentArgument,
    reason: Reason,
    by: By = None,
    lasting: Annotated[
        str | None, typer.Option("--for", help="How long it holds, such as 30m.", show_default=False)
    ] = None,
    take_back: TakeBack = False,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Let the policy act on an incident beyond the blast radius that needs a person's word.

    All else stays in force: limits, room, canary, verification. The first command follows within seconds.

    Example: [bold]playhead steer approve d94ab8 --by ada --reason "the match begins"[/]
    """
    settings, run = _settings(prefix)
    known = _known(settings, run, history=False)
    found = _incident(known, incident)
    if found.state is IncidentState.RESOLVED and not take_back:
        raise fail(f"incident {found.incident} is resolved: there is nothing to approve")
    _say(settings, run, known, ControlVerb.APPROVE, by, reason, found.incident, lasting, take_back, as_json)


@steer.command("undo")
@tells_errors
def undo(
    what: Annotated[
        str,
        typer.Argument(
            help="An incident or an audience, how its name begins, or a part of it.", show_default=False
        ),
    ],
    reason: Reason,
    by: By = None,
    take_back: TakeBack = False,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Take back what was done about an incident, and do nothing more about it.

    Example: [bold]playhead steer undo isp=3320 --by ada --reason "the other CDN complains"[/]
    """
    settings, run = _settings(prefix)
    known = _known(settings, run, history=False)
    served = {audience: answer.incident for audience, answer in known.answers.items() if answer.incident}
    if not take_back and what in known.answers and what not in served:
        raise fail(f"{what} is under no command: there is nothing to undo")
    name = the_one(what, [*known.incidents, *served], "incident, and no audience under a command,")
    found = _incident(known, served.get(name, name))
    _say(settings, run, known, ControlVerb.UNDO, by, reason, found.incident, None, take_back, as_json)


@steer.command("freeze")
@tells_errors
def freeze(
    reason: Reason,
    by: By = None,
    lasting: Annotated[
        str | None, typer.Option("--for", help="How long, such as 30m; until unfrozen.", show_default=False)
    ] = None,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Let nothing be changed: no new command, no wider one, no return; leases in force go on.

    Example: [bold]playhead steer freeze --by ada --reason "maintenance" --for 30m[/]
    """
    settings, run = _settings(prefix)
    known = _known(settings, run, history=False)
    _say(settings, run, known, ControlVerb.FREEZE, by, reason, "", lasting, False, as_json)


@steer.command("unfreeze")
@tells_errors
def unfreeze(
    reason: Annotated[str, typer.Option(help="Why: it is kept.")] = "",
    by: By = None,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Let the policy act again.

    Example: [bold]playhead steer unfreeze --by ada[/]
    """
    settings, run = _settings(prefix)
    known = _known(settings, run, history=False)
    _say(settings, run, known, ControlVerb.FREEZE, by, reason, "", None, True, as_json)


# -- reading and saying -----------------------------------------------------------------------------------


def _settings(prefix: str | None) -> tuple[Settings, str]:
    settings = load(os.environ).settings
    return settings, settings.prefix if prefix is None else prefix


def _known(settings: Settings, run: str, *, history: bool = True) -> Known:
    known = read_known(client_config(settings), run, now_ms(), history=history)
    if known.unreadable:
        notes.print(f"[yellow]{known.unreadable:,} records could not be read and are left out[/]")
    return known


def _incident(known: Known, asked: str) -> Incident:
    """Return the incident that `asked` names, or begins the name of."""
    if asked in known.incidents:
        return known.incidents[asked]
    fitting = [name for name in known.incidents if asked and name.startswith(asked)]
    if len(fitting) == 1:
        return known.incidents[fitting[0]]
    lasting = [name for name, each in known.incidents.items() if each.state is not IncidentState.RESOLVED]
    there = f"those that last are {', '.join(sorted(lasting)[:10])}" if lasting else "none lasts"
    how = "begins the names of several" if fitting else "is no incident"
    raise fail(f"{asked!r} {how}; {there}", Exit.USAGE)


def _say(
    settings: Settings,
    run: str,
    known: Known,
    verb: ControlVerb,
    by: str | None,
    reason: str,
    incident: str,
    lasting: str | None,
    take_back: bool,
    as_json: bool,
) -> None:
    """Publish a person's word and tell what follows."""
    until_ms = None if lasting is None else known.now_ms + parse_length(lasting)
    who = by or getpass.getuser()
    said = word(verb, known.now_ms, who, reason, incident=incident, enabled=not take_back, until_ms=until_ms)
    _send(settings, run, said)
    control = said[0].record
    if as_json:
        print_json(control)
    else:
        people.print(line(("said:", "bold green"), *describe(control)))


def _send(settings: Settings, run: str, said: list[Emission]) -> None:
    sender = BulkSender(producer_config(settings), notice=tell)
    for emission in said:
        spec, record = emission.spec, emission.record
        sender.send(spec.full_name(run), spec.encode(record), spec.key_of(record).encode())
    sender.flush()
    if sender.failed:
        raise fail(f"Kafka did not take it: {'; '.join(sender.failures)}", Exit.UNAVAILABLE)
