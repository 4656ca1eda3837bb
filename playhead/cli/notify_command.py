"""`playhead notify`: who is told of incidents, whether that works, and what a message looks like."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Annotated

import httpx
import typer
from rich.table import Table

from config import Settings, load
from config.notify import ReceiverSettings
from models.notices import Notice, notice_of
from playhead.brokers import client_config, producer_config
from playhead.cli.output import AsJson, Exit, fail, people, print_json, tells_errors
from playhead.incident_desk import Desk
from playhead.notify.fields import fields_of
from playhead.notify.notifier import channel_of
from playhead.notify.posting import Answer, post
from playhead.notify.signing import signed
from playhead.notify.templates import load_template
from playhead.when import now_ms
from topics.anomalies import AnomalyKind, Severity
from topics.deliveries import NoticeKind
from topics.fields import derive_id
from topics.incidents import Incident, IncidentState

TEST_LASTS_MS = 60_000


def register(app: typer.Typer) -> None:
    """Add `notify` to the command line."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Who is told of incidents, and whether that works.",
        rich_markup_mode="rich",
    )
    group.command("receivers")(receivers)
    group.command("test")(send_test)
    group.command("render")(render)
    app.add_typer(group, name="notify")


@tells_errors
def receivers(as_json: AsJson = False) -> None:
    """List the receivers that are set.

    Example: [bold]playhead notify receivers[/]
    """
    known = load(os.environ).settings.notify.receivers
    if as_json:
        for name, each in known.items():
            shown = {"kind": each.kind, "url": each.url, "template": each.template}
            print_json({"receiver": name, **shown, "signed": bool(each.secret), "match": each.match})
        return
    table = Table(box=None, header_style="bold")
    for heading in ("receiver", "kind", "url", "template", "from", "signed"):
        table.add_column(heading, overflow="fold")
    for name, each in known.items():
        template = each.template if each.kind == "webhook" else ""
        table.add_row(name, each.kind, each.url, template, each.min_severity, "yes" if each.secret else "no")
    people.print(table)


@tells_errors
def send_test(
    receiver: Annotated[str, typer.Argument(help="Its name in [notify.receivers].")],
    as_json: AsJson = False,
) -> None:
    """Tell a receiver of an incident that is a test, and of its end; exit code 1 if it does not take both.

    Example: [bold]playhead notify test chat[/]
    """
    settings = load(os.environ).settings
    chosen = _receiver(settings, receiver)
    failed = False
    for over in (False, True):
        answer = asyncio.run(_tell(settings, receiver, chosen, example_incident(now_ms(), over=over)))
        failed = failed or not answer.taken
        if as_json:
            print_json({"receiver": receiver, "resolved": over, "taken": answer.taken, "answer": answer.said})
        else:
            mark = "[green]taken[/]" if answer.taken else "[red]not taken[/]"
            people.print(f"{mark}  {'resolved' if over else 'page'}: ", end="")
            people.print(answer.said, markup=False, highlight=False)
    if failed:
        raise typer.Exit(Exit.FAILED)


@tells_errors
def render(
    template: Annotated[str, typer.Argument(help="webhook, slack, pagerduty, or a file of your own.")],
    incident: Annotated[
        str, typer.Argument(metavar="[ID]", help="An incident; an example by default.", show_default=False)
    ] = "",
) -> None:
    """Print the message that a template makes of an incident.

    Example: [bold]playhead notify render slack d94ab8[/]
    """
    settings = load(os.environ).settings
    found = example_incident(now_ms(), over=False)
    if incident:
        desk = Desk(client_config(settings), producer_config(settings), settings.prefix)
        found = desk.incident(incident)
    notice = notice_of(found, "render") or Notice(derive_id("notice", found.incident), NoticeKind.PAGE, found)
    receiver = ReceiverSettings(url="http://localhost", template=template, key="routing-key")
    filled = load_template(template).fill(fields_of(notice, receiver, settings.notify))
    people.print_json(data=filled)


async def _tell(settings: Settings, name: str, receiver: ReceiverSettings, incident: Incident) -> Answer:
    # A test is told whatever the receiver is told else.
    every = receiver.model_copy(update={"min_severity": "low", "match": {}})
    channel = channel_of(name, every, settings.notify)
    message = channel.next([incident], lambda key: None, now_ms())
    assert message is not None
    headers = {
        **receiver.headers,
        **message.headers,
        **signed(message.body, receiver.secret, int(time.time())),
    }
    async with httpx.AsyncClient() as client:
        return await post(client, channel.url, message.body, headers, settings.notify.timeout_s)


def _receiver(settings: Settings, name: str) -> ReceiverSettings:
    known = settings.notify.receivers
    if name not in known:
        there = f"there are {', '.join(known)}" if known else "there are none: set one in [notify.receivers]"
        raise fail(f"there is no receiver {name!r}; {there}", Exit.USAGE)
    return known[name]


def example_incident(at_ms: int, *, over: bool) -> Incident:
    """Return an incident that says of itself that it is a test."""
    return Incident(
        time_ms=at_ms,
        incident=f"test-{at_ms // TEST_LASTS_MS}",
        subject="test",
        state=IncidentState.RESOLVED if over else IncidentState.OPEN,
        kind=AnomalyKind.STREAMING_QUALITY_DROP,
        severity=Severity.LOW,
        summary="This is a test of Playhead: nothing is wrong",
        cause={"cdn": "test"},
        contrast="everything else is fine, too",
        opened_ms=at_ms,
        resolved_ms=at_ms if over else None,
        firing=[] if over else ["test"],
        paging=not over,
        pages=1,
    )
