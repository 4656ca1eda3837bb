"""`playhead produce`: JSON lines into a topic."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from config import load
from models import words
from playhead.brokers import client_config, producer_config
from playhead.bulk_sender import BulkSender
from playhead.cli.interrupts import INTERRUPTED, stop_on_signals
from playhead.cli.meter import Meter
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors
from playhead.clock import WallClock
from playhead.lines import STANDARD_INPUT, LineReader
from playhead.log_reader import spans_of
from playhead.packing import EVENTS_PER_RECORD, MAX_EVENTS, Packer
from playhead.produce import TOLD_REFUSALS, Production, Tally
from playhead.refusals import Refusal
from playhead.topic_names import complete, spec_named
from topics import ALL, PlayheadError

PUBLIC = tuple(spec for spec in ALL if not spec.internal)

Topic = Annotated[
    str,
    typer.Argument(help="Name of the topic, such as telemetry.", show_default=False, autocompletion=complete),
]
File = Annotated[str, typer.Argument(help="File of JSON lines, plain, gzip or zstd; - is standard input.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")]
Pack = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_EVENTS,
        show_default=f"{EVENTS_PER_RECORD} where the topic has packed records",
        help="Events to a record, for telemetry, playback and cmcd; 0: one each.",
    ),
]
Rate = Annotated[float | None, typer.Option(min=0.01, help="The most events a second.", show_default=False)]
Prefix = Annotated[
    str | None, typer.Option(help="Prefix of the topics, in place of the one set.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add `produce` to the command line."""
    app.command()(produce)


@tells_errors
def produce(
    topic: Topic,
    file: File = STANDARD_INPUT,
    strict: Strict = False,
    pack: Pack = None,
    rate: Rate = None,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Send JSON lines to a topic, each checked against its contract and keyed by it.

    A bad line is told with file, line, field and value and left out; the rest is sent and the exit code is 1.
    Samples, beats and reports are packed, a hundred to a record, which makes everything after them several
    times as fast; an event of a slow input waits 0.2 s at most. Otherwise lines go out as they are, with the
    fields that the contract does not name; packed samples keep those that it names.

    Example: [bold]playhead produce telemetry samples.jsonl.gz --rate 5000[/]
    """
    settings = load(os.environ).settings
    run = settings.prefix if prefix is None else prefix
    spec = spec_named(topic, run, PUBLIC)
    if pack and spec.packed is None:
        able = words.listed([each.name for each in PUBLIC if each.packed is not None])
        raise fail(f"--pack: {spec.name} has no packed records; {able} have", Exit.USAGE)
    name = spec.full_name(run)
    partitions = len(spans_of(client_config(settings), name))
    if pack is None and spec.packed is not None:
        pack = EVENTS_PER_RECORD
    packer = Packer(spec, partitions=partitions, events_per_record=pack) if pack else None
    problem: PlayheadError | None = None
    with (
        stop_on_signals("sending what was read") as stopped,
        LineReader(file, max_line_bytes=spec.max_bytes, stopped=stopped.is_set) as reader,
        Meter(f"to {name}", reader.total_bytes, quiet=as_json) as meter,
    ):
        if file == STANDARD_INPUT and sys.stdin.isatty():
            notes.print("[dim]reading JSON lines from the terminal; Ctrl-D ends[/]")
        sender = BulkSender(producer_config(settings), notice=tell)
        production = Production(
            spec,
            name,
            sender,
            WallClock(),
            refuse=_RefusalTeller(),
            packer=packer,
            rate_per_s=rate,
            strict=strict,
            stopped=stopped.is_set,
        )
        try:
            for block in reader.blocks():
                goes_on = production.take(block, reader.name)
                meter.update(reader.taken_bytes, production.tally.sent)
                if stopped.is_set() or not goes_on:
                    break
        except PlayheadError as error:
            problem = error
        production.finish()
        seconds = meter.seconds
    tally = production.tally
    if as_json:
        print_json(_as_json(spec.name, tally, sender, seconds, interrupted=stopped.is_set()))
    else:
        _tell_summary(name, tally, sender, seconds, reader.name)
    if problem is not None:
        raise problem
    if stopped.is_set():
        raise typer.Exit(INTERRUPTED)
    if tally.refused or sender.failed:
        raise typer.Exit(Exit.FAILED)


class _RefusalTeller:
    """Tells the first refusals one by one, as they come."""

    def __init__(self) -> None:
        self._told = 0

    def __call__(self, refusal: Refusal) -> None:
        if self._told < TOLD_REFUSALS:
            notes.print(f"[yellow]refused:[/] {escape(str(refusal))}", highlight=False, soft_wrap=True)
        self._told += 1
        if self._told == TOLD_REFUSALS:
            notes.print("[yellow]refused:[/] more are counted, not shown", highlight=False)


def tell(what: str) -> None:
    """Tell of something that happens on the way, such as a broker that went away."""
    notes.print(f"[yellow]{escape(what)}[/]", highlight=False)


def _tell_summary(name: str, tally: Tally, sender: BulkSender, seconds: float, source: str) -> None:
    if not tally.lines:
        people.print(f"nothing to send: {escape(source)} holds no lines", highlight=False)
        return
    packed = f" in {tally.records:,} records" if tally.records != tally.sent else ""
    people.print(
        f"[green]sent[/] [bold]{tally.sent:,}[/]{packed} to {name} in {seconds:.1f} s "
        f"({tally.sent / seconds:,.0f}/s)",
        highlight=False,
    )
    if tally.refused:
        people.print(f"[yellow]refused[/] {tally.refused:,} of {tally.lines:,} lines", highlight=False)
    if sender.failed:
        reasons = escape("; ".join(sorted(set(sender.failures))))
        people.print(f"[red]not delivered[/] {sender.failed:,} records: {reasons}", highlight=False)


def _as_json(
    topic: str, tally: Tally, sender: BulkSender, seconds: float, *, interrupted: bool
) -> dict[str, object]:
    return {
        "topic": topic,
        "lines": tally.lines,
        "sent": tally.sent,
        "records": tally.records,
        "bytes": tally.bytes,
        "refused": tally.refused,
        "refusals": [asdict(refusal) for refusal in tally.refusals],
        "failed": sender.failed,
        "failures": sender.failures,
        "seconds": round(seconds, 3),
        "rate_per_s": round(tally.sent / seconds, 1),
        "interrupted": interrupted,
    }
