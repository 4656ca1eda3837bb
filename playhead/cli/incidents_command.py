"""`playhead incidents`: see what is wrong, and say who has it, who need not be woken, and when it is over."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import Annotated

import typer

from config import load
from playhead.brokers import client_config, producer_config
from playhead.cli.incidents_watch import watch
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors
from playhead.incident_desk import Desk, DeskError, in_order
from playhead.render.incidents import incident_table, silence_table, story_lines
from playhead.when import now_ms, parse_length
from topics.fields import Cell
from topics.incidents import Incident, IncidentState
from topics.operator import OperatorVerb

ANSWER_TIMEOUT_S = 10.0

Id = Annotated[str, typer.Argument(metavar="ID", help="The incident's id, or how it begins.")]
By = Annotated[str, typer.Option("--by", help="Who you are; your login by default.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, for those who come after you.", show_default=False)]
PastViewers = Annotated[
    float | None,
    typer.Option("--past-viewers", min=0, help="Ends when more viewers are hit.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="Also those that are over.")]
State = Annotated[
    list[IncidentState] | None, typer.Option("--state", help="Only those in this state; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add `incidents` to the command line."""
    group = typer.Typer(
        invoke_without_command=True,
        help="See what is wrong, and say who has it, who need not be woken, and when it is over.",
        rich_markup_mode="rich",
    )
    group.callback()(overview)
    group.command("list")(list_incidents)
    group.command("show")(show)
    group.command("ack")(acknowledge)
    group.command("comment")(comment)
    group.command("resolve")(resolve)
    group.command("silence")(silence)
    group.command("silences")(list_silences)
    group.command("unsilence")(unsilence)
    group.command("watch")(watch)
    app.add_typer(group, name="incidents")


@tells_errors
def overview(
    context: typer.Context, every: All = False, state: State = None, as_json: AsJson = False
) -> None:
    """See what is wrong, and say who has it, who need not be woken, and when it is over.

    Example: [bold]playhead incidents[/]
    """
    if context.invoked_subcommand is None:
        _list(every, state, as_json)


@tells_errors
def list_incidents(every: All = False, state: State = None, as_json: AsJson = False) -> None:
    """List the incidents that are not over: what pages first, then the worst; parts under their whole.

    Example: [bold]playhead incidents list --state mitigating[/]
    """
    _list(every, state, as_json)


def _list(every: bool, states: list[IncidentState] | None, as_json: bool) -> None:
    chosen = set(states or IncidentState)
    if not every and not states:
        chosen.discard(IncidentState.RESOLVED)
    incidents = _desk().incidents()
    found = in_order(each for each in incidents.values() if each.state in chosen)
    if as_json:
        for each in found:
            print_json(each)
        return
    if found:
        people.print(incident_table(found, now_ms()))
    over = sum(each.state is IncidentState.RESOLVED for each in incidents.values())
    paging = sum(each.paging for each in found)
    notes.print(f"{len(found)} incidents, {paging} paging; {over} are over", highlight=False)


@tells_errors
def show(incident: Id, as_json: AsJson = False) -> None:
    """Tell all of one incident: causes, contrast, impact, what was decided and done, by whom, and when.

    Example: [bold]playhead incidents show d94ab8[/]
    """
    story = _desk().story(incident)
    if as_json:
        print_json(story)
        return
    for line in story_lines(story, now_ms()):
        people.print(line, soft_wrap=True, highlight=False)


@tells_errors
def acknowledge(
    incident: Id,
    by: By = "",
    lasting: Annotated[
        str, typer.Option("--for", help="It lapses, and pages again, after: 30m, 2h.")
    ] = "30m",
    reason: Reason = "",
    past_viewers: PastViewers = None,
    as_json: AsJson = False,
) -> None:
    """Say that you have it: it pages nobody until that lapses, or more viewers are hit than you say.

    Example: [bold]playhead incidents ack d94ab8 --by ada --for 30m --reason "calling the ISP"[/]
    """
    at_ms, desk = now_ms(), _desk()
    found = _lasting(desk.incident(incident))
    until_ms = at_ms + parse_length(lasting)
    more = {"reason": reason, "until_ms": until_ms, "wake_over_viewers": past_viewers}
    desk.act(found, OperatorVerb.ACKNOWLEDGE, _who(by), at_ms, **more)
    _answer(
        desk, found, lambda now: now.acknowledgement is not None and now.owner == _who(by), as_json=as_json
    )


@tells_errors
def comment(
    incident: Id,
    text: Annotated[str, typer.Argument(help="What is to stand in its timeline.")],
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Write into an incident's timeline.

    Example: [bold]playhead incidents comment d94ab8 "the ISP has confirmed a cut fibre"[/]
    """
    desk = _desk()
    found = desk.incident(incident)
    action = desk.act(found, OperatorVerb.COMMENT, _who(by), now_ms(), reason=text)
    written = f"{action.by}: {text}"
    _answer(desk, found, lambda now: any(each.what == written for each in now.timeline), as_json=as_json)


@tells_errors
def resolve(incident: Id, by: By = "", reason: Reason = "", as_json: AsJson = False) -> None:
    """Close an incident by hand. It comes back if it worsens, or if a further series departs.

    What was commanded because of it is undone in steps, as for any incident that is over.

    Example: [bold]playhead incidents resolve d94ab8 --reason "a test of the encoder"[/]
    """
    desk = _desk()
    found = _lasting(desk.incident(incident))
    desk.act(found, OperatorVerb.RESOLVE, _who(by), now_ms(), reason=reason)
    _answer(desk, found, lambda now: now.state is IncidentState.RESOLVED, as_json=as_json)


@tells_errors
def silence(
    incident: Annotated[
        str, typer.Argument(metavar="[ID]", help="One incident, by how its id begins.", show_default=False)
    ] = "",
    match: Annotated[
        list[str] | None,
        typer.Option(help="What it is about: cdn=a,isp=3, metric=stalled_*, subject=, kind=."),
    ] = None,
    lasting: Annotated[str, typer.Option("--for", help="It ends after: 30m, 2h, 1d.")] = "1h",
    past_viewers: PastViewers = None,
    reason: Annotated[str, typer.Option(help="Why; it is told to all who wonder.")] = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Wake nobody for an incident, or for all that match, until a time and up to so many viewers.

    A silence outgrown wakes people although somebody has acknowledged. It is listed, and its end is told.

    Example: [bold]playhead incidents silence --match cdn=a --for 2h --past-viewers 5000 --reason moves[/]
    """
    if bool(incident) == bool(match):
        raise fail("say which: one incident's ID, or --match with what it is about", Exit.USAGE)
    if not reason:
        raise fail("--reason: say why; a silence without a reason cannot be judged by others", Exit.USAGE)
    at_ms, desk = now_ms(), _desk()
    wanted = {"incident": desk.incident(incident).incident} if incident else parse_match(match or [])
    until_ms = at_ms + parse_length(lasting)
    made = desk.hush(
        wanted, _who(by), at_ms, until_ms=until_ms, reason=reason, wake_over_viewers=past_viewers
    )
    if as_json:
        print_json(made)
        return
    people.print(silence_table([made], now_ms()))


@tells_errors
def list_silences(every: All = False, as_json: AsJson = False) -> None:
    """List the silences that hold, soonest to end first, with who wished for them and why.

    Example: [bold]playhead incidents silences --all[/]
    """
    at_ms = now_ms()
    known = sorted(_desk().silences().values(), key=lambda each: each.until_ms)
    found = [each for each in known if every or (each.enabled and at_ms < each.until_ms)]
    if as_json:
        for each in found:
            print_json(each)
        return
    if found:
        people.print(silence_table(found, at_ms))
    notes.print(f"{len(found)} silences; {len(known) - len(found)} more have ended", highlight=False)


@tells_errors
def unsilence(
    silence: Annotated[str, typer.Argument(metavar="ID", help="The silence's id, or how it begins.")],
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Take a silence back: what it kept quiet pages again.

    Example: [bold]playhead incidents unsilence 5b6f31[/]
    """
    desk = _desk()
    ended = desk.unhush(desk.silence(silence), _who(by))
    if as_json:
        print_json(ended)
        return
    people.print(silence_table([ended], now_ms()))


def parse_match(texts: list[str]) -> Cell:
    """Return what a silence is about.

    Raises:
        DeskError: a part is not name=value, or a name is said twice.

    >>> parse_match(["cdn=a,isp=3", "metric=stalled_*"])
    {'cdn': 'a', 'isp': '3', 'metric': 'stalled_*'}
    """
    match: Cell = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not (name and equals and value):
            raise DeskError(f"--match {part!r}: expected name=value, such as cdn=a")
        if name in match:
            raise DeskError(f"--match: {name} is said twice, as {match[name]!r} and {value!r}")
        match[name] = value
    return match


def _desk() -> Desk:
    settings = load(os.environ).settings
    return Desk(client_config(settings), producer_config(settings), settings.prefix)


def _who(by: str) -> str:
    try:
        return by or getpass.getuser()
    except (KeyError, OSError) as error:
        raise DeskError("--by: say who you are, your login has no name") from error


def _lasting(incident: Incident) -> Incident:
    if incident.state is IncidentState.RESOLVED:
        raise DeskError(f"incident {incident.incident} is over: there is nothing to do about it any more")
    return incident


def _answer(desk: Desk, incident: Incident, done: Callable[[Incident], bool], *, as_json: bool) -> None:
    """Tell how the incident stands once what was asked for is done."""
    now = desk.await_change(incident, done, ANSWER_TIMEOUT_S)
    if as_json:
        print_json(now or incident)
    elif now is not None:
        people.print(incident_table([now], now_ms()))
    if now is None:
        notes.print(
            "[yellow]written, but not taken up yet: does a worker run the agent incidents? "
            "`playhead status` tells[/]"
        )
