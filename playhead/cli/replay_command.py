"""`playhead replay`: a recording played again."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from config import Settings, load
from playhead.brokers import client_config, producer_config
from playhead.bulk_sender import BulkSender
from playhead.cli.interrupts import INTERRUPTED, stop_on_signals
from playhead.cli.meter import Meter
from playhead.cli.output import AsJson, Exit, fail, people, print_json, tells_errors
from playhead.cli.produce_command import tell
from playhead.cli.record_command import Folder
from playhead.clock import WallClock
from playhead.log_reader import spans_of
from playhead.recording.reader import Recording, Run
from playhead.recording.replay import Played, Replay, Target
from playhead.recording.shift import Shift
from playhead.render.words import duration, figure
from playhead.topic_names import complete, spec_named
from playhead.topics_admin import TopicsAdmin, Wanted
from playhead.when import iso, now_ms, parse_moment
from topics import BY_NAME

RecordedTopics = Annotated[
    list[str] | None,
    typer.Argument(help="Names of topics.", show_default="all that were recorded", autocompletion=complete),
]
Speed = Annotated[str, typer.Option(help="Seconds of event time played in a second, or max.")]
TargetPrefix = Annotated[
    str | None,
    typer.Option("--prefix", help="Prefix of the topics to play to.", show_default="replay-FOLDER."),
]
PlayFrom = Annotated[
    str | None, typer.Option("--from", help="Begin at this event time.", show_default="the first")
]
PlayTo = Annotated[
    str | None, typer.Option("--to", help="End before this event time.", show_default="after the last")
]
MaxGap = Annotated[
    float, typer.Option(min=0, help="Shorten longer stretches without a record to so many seconds; 0: none.")
]
Moved = Annotated[
    str | None,
    typer.Option(
        "--shift",
        help="Move all event times by so many seconds, or so that the first is now. Values change by it.",
        show_default="no",
    ),
]
SamePrefix = Annotated[
    bool, typer.Option("--same-prefix", help="Play even to the topics that were recorded.")
]
Append = Annotated[bool, typer.Option("--append", help="Play even to topics that hold records.")]


def register(app: typer.Typer) -> None:
    """Add `replay` to the command line."""
    app.command("replay")(replay_recording)


@tells_errors
def replay_recording(
    folder: Folder,
    topics: RecordedTopics = None,
    speed: Speed = "1",
    prefix: TargetPrefix = None,
    start: PlayFrom = None,
    end: PlayTo = None,
    max_gap: MaxGap = 3_600.0,
    shift: Moved = None,
    same_prefix: SamePrefix = False,
    append: Append = False,
    as_json: AsJson = False,
) -> None:
    """Play a recording to topics of another prefix, in the pace of its event times.

    Records of all topics and partitions come in one order of event time, the same at every replay, with keys,
    values, headers and partitions as they were. Missing topics are made.

    Example: [bold]playhead replay outage-42 --speed 10 --prefix trial.[/]
    """
    settings = load(os.environ).settings
    recording = Recording(folder)
    pace = _speed(speed)
    target = _default_prefix(recording.name) if prefix is None else prefix
    if target == recording.manifest.prefix and not same_prefix:
        raise fail(
            f"{folder} was recorded from prefix {target!r}: playing it there would double its records. "
            "Give another --prefix, or say --same-prefix",
            Exit.USAGE,
        )
    if not recording.finished:
        tell(f"{folder} was not finished: what its recorder had written is played")
    names = [spec_named(name).name for name in topics or [each.topic for each in recording.manifest.topics]]
    runs = [run for name in dict.fromkeys(names) for run in recording.runs(name)]
    targets = _make_targets(settings, recording, runs, target, may_hold_records=append or same_prefix)
    asked_ms = now_ms()
    from_ms = None if start is None else parse_moment(start, asked_ms)
    sender = BulkSender(producer_config(settings), tell, linger_ms=20.0 if pace is None else 1.0)
    total = sum(recording.topic(name).records for name in dict.fromkeys(names))
    with (
        stop_on_signals("waiting for Kafka to take what was sent") as stopped,
        Meter(f"playing to {target}*", total, quiet=as_json) as meter,
    ):

        def progress(played: Played) -> None:
            at = "" if played.event_to_ms is None else f"· {iso(played.event_to_ms)[:19]}"
            meter.update(played.records, played.records, at)

        played = Replay(
            runs,
            targets,
            sender,
            WallClock(),
            speed=pace,
            from_ms=from_ms,
            to_ms=None if end is None else parse_moment(end, asked_ms),
            max_gap_ms=round(max_gap * 1_000),
            max_future_ms=settings.engine.max_future_ms,
            rewrite=None if shift is None else Shift(_shift_ms(shift, recording, names, from_ms)),
            stopped=stopped.is_set,
        ).play(progress)
        took_s = meter.seconds
    told = _told(played, sender, target, took_s)
    if as_json:
        print_json(told)
    else:
        _tell_replay(played, sender, target, took_s)
    if played.stopped:
        raise typer.Exit(INTERRUPTED)
    if sender.failed:
        raise typer.Exit(Exit.FAILED)


def _make_targets(
    settings: Settings, recording: Recording, runs: Sequence[Run], prefix: str, *, may_hold_records: bool
) -> dict[str, Target]:
    """Make the topics to play to, and return them by the names of the recorded ones."""
    client = client_config(settings)
    wanted: list[Wanted] = []
    for name in dict.fromkeys(run.topic for run in runs):
        spec, partitions = BY_NAME[name], recording.topic(name).partitions
        wanted.append(Wanted(spec.full_name(prefix), partitions, spec.broker_config(), spec.max_bytes))
    made = TopicsAdmin(client, settings.engine.replication_factor).create(wanted)
    targets: dict[str, Target] = {}
    for name, topic in zip(dict.fromkeys(run.topic for run in runs), wanted, strict=True):
        spans = spans_of(client, topic.name)
        held = 0 if topic.name in made else sum(span.end - span.first for span in spans)
        if held and not may_hold_records:
            raise fail(
                f"{topic.name} holds {held:,} records already: give another --prefix, or say --append",
                Exit.USAGE,
            )
        if len(spans) < topic.partitions:
            tell(
                f"{topic.name} has {len(spans)} partitions, {topic.partitions} were recorded: the records of "
                "the others go where their keys belong"
            )
        targets[name] = Target(topic.name, len(spans))
    return targets


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise fail(f"--speed {text}: expected a number above 0, or max", Exit.USAGE)
    return speed


def _shift_ms(text: str, recording: Recording, names: Sequence[str], from_ms: int | None) -> int:
    if text == "now":
        times = [recording.topic(name).event_from_ms for name in names]
        first_ms = min((each for each in times if each is not None), default=now_ms())
        return now_ms() - max(first_ms, from_ms or 0)
    try:
        return round(float(text) * 1_000)
    except (ValueError, OverflowError) as error:
        raise fail(f"--shift {text}: expected seconds, or now", Exit.USAGE) from error


def _default_prefix(name: str) -> str:
    return f"replay-{re.sub(r'[^A-Za-z0-9._-]', '-', name)}."


def _told(played: Played, sender: BulkSender, prefix: str, seconds: float) -> dict[str, Any]:
    return {
        "prefix": prefix,
        "records": played.records,
        "by_topic": played.by_topic,
        "failed": sender.failed,
        "failures": sender.failures,
        "seconds": round(seconds, 3),
        "rate_per_s": round(played.records / seconds, 1),
        "event_from_ms": played.event_from_ms,
        "event_to_ms": played.event_to_ms,
        "pacing_error_p50_ms": played.lateness.percentile_ms(50),
        "pacing_error_p99_ms": played.lateness.percentile_ms(99),
        "gaps_shortened": played.gaps,
        "skipped_ms": played.skipped_ms,
        "interrupted": played.stopped,
    }


def _tell_replay(played: Played, sender: BulkSender, prefix: str, seconds: float) -> None:
    people.print(
        f"[green]played[/] [bold]{played.records:,}[/] records to {escape(prefix)}* in {seconds:.1f} s "
        f"({figure(played.records / seconds)}/s)",
        highlight=False,
    )
    for topic, count in played.by_topic.items():
        people.print(f"  {count:>12,}  {topic}", highlight=False)
    if played.event_from_ms is not None and played.event_to_ms is not None:
        span = duration(played.event_to_ms - played.event_from_ms)
        people.print(
            f"event time {iso(played.event_from_ms)} to {iso(played.event_to_ms)}, {span}", highlight=False
        )
    p50_ms, p99_ms = played.lateness.percentile_ms(50), played.lateness.percentile_ms(99)
    if p50_ms is not None and p99_ms is not None:
        people.print(f"late by {duration(p50_ms)} (p50), {duration(p99_ms)} (p99)", highlight=False)
    if played.gaps:
        skipped = duration(played.skipped_ms)
        people.print(f"[yellow]shortened[/] {played.gaps} gaps by {skipped} of event time", highlight=False)
    if sender.failed:
        reasons = escape("; ".join(sorted(set(sender.failures))))
        people.print(f"[red]not delivered[/] {sender.failed:,} records: {reasons}", highlight=False)
