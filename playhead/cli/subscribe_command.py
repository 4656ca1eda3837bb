"""`playhead subscribe`: what is said on some topics, as it is said."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from config import load
from playhead.brokers import client_config
from playhead.cli.interrupts import stop_on_signals
from playhead.cli.output import AsJson, notes, people, tells_errors
from playhead.cli.produce_command import Prefix, tell
from playhead.render import render
from playhead.subscribe import Seen, subscribe
from playhead.tail import Start, Tail
from playhead.topic_names import complete, spec_named
from playhead.when import now_ms, parse_moment
from playhead.where import Condition, check, parse
from topics import AnySpec

Topics = Annotated[
    list[str],
    typer.Argument(
        help="Names of topics, such as incidents commands.", show_default=False, autocompletion=complete
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="beginning, end, or a time: how long ago (5m), ISO 8601 (UTC), a Unix time. "
        "It is Kafka's time that counts: when the record was taken in.",
        show_default="end; beginning with --no-follow",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(help="Show only what this holds for, such as 'severity>=high'.", show_default=False),
]
Limit = Annotated[int | None, typer.Option(min=1, help="End after so many.", show_default=False)]
For = Annotated[
    float | None, typer.Option("--for", min=0, help="End after so many seconds.", show_default=False)
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Go on, or end where the topics end now.")]


def register(app: typer.Typer) -> None:
    """Add `subscribe` to the command line."""
    app.command("subscribe")(show)


@tells_errors
def show(
    topics: Topics,
    start: From = None,
    where: Where = None,
    limit: Limit = None,
    seconds: For = None,
    follow: Follow = True,
    prefix: Prefix = None,
    as_json: AsJson = False,
) -> None:
    """Show what is said on topics, one line each, until Ctrl-C.

    `--where` compares fields with values: ==, !=, <, <=, >, >=, ~ (regular expression), !~, and, or, not,
    parentheses; fields are dotted (cell.cdn), and $topic, $partition, $offset, $key, $time_ms say where the
    record stands. A record that cannot be read is told as a warning.

    Example: [bold]playhead subscribe incidents commands --from 1h --where 'severity>=high or kind==steer'[/]
    """
    settings = load(os.environ).settings
    run = settings.prefix if prefix is None else prefix
    specs = {spec.full_name(run): spec for spec in (spec_named(name, run) for name in topics)}
    condition = None if where is None else _condition(where, list(specs.values()))
    begin = parse_start(start or ("end" if follow else "beginning"))
    deadline_s = None if seconds is None else time.monotonic() + seconds
    with stop_on_signals() as stopped, Tail(client_config(settings), list(specs), begin, tell) as tail:

        def ended() -> bool:
            return stopped.is_set() or (deadline_s is not None and time.monotonic() >= deadline_s)

        batches = subscribe(tail, specs, follow=follow, stopped=ended)
        width = max(len(spec.name) for spec in specs.values()) if len(specs) > 1 else 0
        _show(batches, condition, limit, _json_lines if as_json else lambda seen: _people_lines(seen, width))


def parse_start(text: str) -> Start:
    """Return where to begin to read: ``beginning``, ``end`` or a moment.

    Raises:
        MomentError: `text` is none of these.
    """
    if text == "beginning":
        return "beginning"
    if text == "end":
        return "end"
    return parse_moment(text, now_ms())


def _condition(text: str, specs: Sequence[AnySpec]) -> Condition:
    expression = parse(text)
    check(expression, specs)
    return Condition(expression)


def _show(
    batches: Iterable[Iterable[Seen]],
    where: Condition | None,
    limit: int | None,
    write: Callable[[Iterable[Seen]], None],
) -> None:
    unreadable = 0

    def chosen(batch: Iterable[Seen]) -> Iterable[Seen]:
        nonlocal unreadable
        for seen in batch:
            unreadable += bool(seen.problem)
            if seen.chosen_by(where):
                yield seen

    left = limit
    for batch in batches:
        shown = list(islice(chosen(batch), left))
        if shown:
            write(shown)
        if left is not None:
            left -= len(shown)
            if left <= 0:
                break
    if unreadable and where is not None:
        notes.print(f"[yellow]{unreadable:,} records could not be read, so --where could not choose[/]")


def _json_lines(batch: Iterable[Seen]) -> None:
    sys.stdout.buffer.write(b"".join(msgspec.json.encode(seen.as_json()) + b"\n" for seen in batch))
    sys.stdout.buffer.flush()


def _people_lines(batch: Iterable[Seen], topic_width: int) -> None:
    people.print(Text("\n").join(render(seen, topic_width) for seen in batch), soft_wrap=True)
