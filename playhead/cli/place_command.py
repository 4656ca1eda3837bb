"""`playhead place`: at which sites titles are kept, and what is copied there when it is quiet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from config import load
from playhead.brokers import client_config, producer_config
from playhead.bulk_sender import BulkSender
from playhead.cli.output import AsJson, Exit, fail, people, print_json, tells_errors
from playhead.cli.produce_command import Prefix, tell
from playhead.log_reader import read_to_end
from playhead.placing import plan
from playhead.when import now_ms, parse_moment
from topics import CDN_NODES, PLACEMENTS, VIEWING, ContractError
from topics.placements import TitlePlacement
from topics.spec import AnySpec

SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add `place` to the command line."""
    app.command("place")(place)


@tells_errors
def place(
    since: Annotated[str, typer.Option(help="Plays from then on count: how long ago, or a time.")] = "24h",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, and publish nothing.")] = False,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Choose the sites of each title from what was played and from the nodes' reports; publish what changes.

    A title is kept where it is asked for, where there is room and where answers come soon, popular ones at
    more sites. What a site lacks is to be copied in its quietest hour. Run it once a day, from cron say.

    Example: [bold]playhead place --since 24h --dry-run[/]
    """
    settings = load(os.environ).settings
    run = settings.prefix if prefix is None else prefix
    client, time_ms = client_config(settings), now_ms()
    begin = datetime.fromtimestamp(parse_moment(since, time_ms) / 1_000, UTC)

    def records(spec: AnySpec, start: Any = "beginning") -> Iterator[Any]:
        for message in read_to_end(client, spec.full_name(run), start):
            try:
                yield spec.decode(message.value())
            except ContractError:
                continue

    before: dict[str, TitlePlacement] = {each.title: each for each in records(PLACEMENTS)}
    planned = plan(
        records(CDN_NODES), records(VIEWING, begin), before, time_ms, settings.placement, settings.routing
    )
    if not dry_run:
        sender = BulkSender(producer_config(settings), notice=tell)
        for each in planned:
            sender.send(PLACEMENTS.full_name(run), PLACEMENTS.encode(each), each.title.encode())
        sender.flush()
        if sender.failed:
            raise fail(f"Kafka did not take all of it: {'; '.join(sender.failures)}", Exit.UNAVAILABLE)
    if as_json:
        for each in planned:
            print_json(each)
        return
    table = Table("title", "plays", "sites", "to be copied", "dropped", header_style="bold", box=None)
    for each in planned[:SHOWN]:
        fills = ", ".join(f"{fill.site} at {fill.at_hour:02}:00" for fill in each.fills)
        table.add_row(each.title, f"{each.plays:,}", ", ".join(each.sites), fills, ", ".join(each.drops))
    people.print(table)
    told = "nothing was published" if dry_run else "published"
    people.print(f"{len(planned):,} titles are to be placed anew; {told}", highlight=False)
