"""`playhead record`: what stands and comes on topics, kept in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from config import Settings, load
from playhead.brokers import client_config
from playhead.cli.interrupts import stop_on_signals
from playhead.cli.meter import Meter
from playhead.cli.output import AsJson, Exit, fail, people, print_json, tells_errors
from playhead.cli.produce_command import Prefix, tell
from playhead.cli.subscribe_command import For, parse_start
from playhead.clock import WallClock
from playhead.log_reader import TopicMissingError, spans_of
from playhead.recording.format import Ended
from playhead.recording.record import INPUTS, record
from playhead.recording.writer import RecordingWriter
from playhead.render.words import figure
from playhead.tail import Tail
from playhead.topic_names import complete, spec_named
from playhead.when import now_ms, parse_moment
from topics import ALL, AnySpec, PlayheadError

Folder = Annotated[Path, typer.Argument(help="Folder of the recording.", show_default=False)]
SomeTopics = Annotated[
    list[str] | None,
    typer.Argument(help="Names of topics.", show_default="all inputs", autocompletion=complete),
]
TakenFrom = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="beginning, end, or a time: how long ago (5m), ISO 8601 (UTC), Unix; Kafka's time counts.",
        show_default="end; beginning with --until-end or --to",
    ),
]
TakenTo = Annotated[
    str | None, typer.Option("--to", help="End at this time, of Kafka's.", show_default=False)
]
Limit = Annotated[int | None, typer.Option(min=1, help="End after so many records.", show_default=False)]
UntilEnd = Annotated[bool, typer.Option("--until-end", help="End where the topics end now.")]
All = Annotated[bool, typer.Option("--all", help="Every topic, also what Playhead made of the inputs.")]


def register(app: typer.Typer) -> None:
    """Add `record` to the command line."""
    app.command("record")(record_topics)


@tells_errors
def record_topics(
    folder: Folder,
    topics: SomeTopics = None,
    start: TakenFrom = None,
    end: TakenTo = None,
    seconds: For = None,
    limit: Limit = None,
    until_end: UntilEnd = False,
    everything: All = False,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Record topics to Parquet in a folder, until Ctrl-C or the end that is asked for.

    Keys, values and headers are kept byte for byte. The folder has its name once all is written; until then,
    and after a crash, it is FOLDER.partial, which can be shown and replayed too.

    Example: [bold]playhead record outage-42 telemetry playback --from 30m --until-end[/]
    """
    settings = load(os.environ).settings
    run = settings.prefix if prefix is None else prefix
    partitions = _to_record(settings, run, topics, everything)
    ends_by_itself = until_end or end is not None
    begin = parse_start(start or ("beginning" if ends_by_itself else "end"))
    to_ms = None if end is None else parse_moment(end, now_ms())
    names = [spec.full_name(run) for spec in partitions]
    problem: PlayheadError | None = None
    ended: Ended = "error"
    with (
        stop_on_signals("writing what was read") as stopped,
        Tail(client_config(settings), names, begin, tell) as tail,
        Meter(f"recording {len(names)} topics", tail.backlog if until_end else None, quiet=as_json) as meter,
    ):
        writer = RecordingWriter(folder, run, partitions)

        def progress() -> None:
            meter.update(writer.records, writer.records, f"· {figure(writer.value_bytes / 1e6)} MB")

        try:
            ended = record(
                tail,
                writer,
                WallClock(),
                until_end=until_end,
                to_ms=to_ms,
                for_s=seconds,
                limit=limit,
                stopped=stopped.is_set,
                now_ms=now_ms,
                progress=progress,
            )
        except PlayheadError as error:
            problem = error
        manifest = writer.finish(ended)
        took_s = meter.seconds
    if as_json:
        print_json({"folder": str(folder), "seconds": round(took_s, 3), **msgspec.to_builtins(manifest)})
    else:
        rate = figure(manifest.records / took_s)
        people.print(
            f"[green]recorded[/] [bold]{manifest.records:,}[/] records in {took_s:.1f} s ({rate}/s) "
            f"to {escape(str(folder))}, {figure(manifest.bytes / 1e6)} MB",
            highlight=False,
        )
    if problem is not None:
        raise problem


def _to_record(
    settings: Settings, prefix: str, names: Sequence[str] | None, everything: bool
) -> dict[AnySpec, int]:
    """Return the topics to record, with how many partitions each has on the broker."""
    if names and everything:
        raise fail("--all stands for every topic: name none with it", Exit.USAGE)
    some = ALL if everything else INPUTS
    specs = (
        [spec_named(name, prefix) for name in names]
        if names
        else [spec for spec in some if not spec.internal]
    )
    client = client_config(settings)
    partitions: dict[AnySpec, int] = {}
    for spec in specs:
        try:
            partitions[spec] = len(spans_of(client, spec.full_name(prefix)))
        except TopicMissingError:
            if names:
                raise
            tell(f"{spec.full_name(prefix)} is not on the broker: left out")
    if not partitions:
        raise fail(f"none of the topics is on the broker with prefix {prefix!r}: see `playhead topics list`")
    return partitions
