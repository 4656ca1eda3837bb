"""`playhead dead-letters`: look at records that were refused, and drive them back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import msgspec
import typer
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from config import Settings, load
from playhead import dead_letters
from playhead.brokers import client_config, producer_config
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors
from playhead.dead_letters import Kept, Step, letter_id, parse_origin
from playhead.when import iso, parse_moment
from topics.dead_letters import DeadLetter, origin

FIRST_BYTES = 48
HEX_COLUMNS = 16

Topic = Annotated[str, typer.Option(help="Only letters of this topic, named without prefix.")]
Reason = Annotated[str, typer.Option(help="Only letters whose reason has this text in it.")]
Since = Annotated[
    str, typer.Option(help="Only records written since: 30m, 2h, 1d, or a time like 2026-06-20T18:30.")
]


def register(app: typer.Typer) -> None:
    """Add `dead-letters` to the command line."""
    group = typer.Typer(
        no_args_is_help=True, help="Look at records that were refused, and drive them back to their topics."
    )
    group.command("list")(list_letters)
    group.command("show")(show)
    group.command("redrive")(redrive)
    app.add_typer(group, name="dead-letters")


@tells_errors
def list_letters(
    topic: Topic = "",
    reason: Reason = "",
    since: Since = "",
    driven_back: Annotated[
        bool, typer.Option("--driven-back", help="Also those that were driven back.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the records that were refused and wait to be driven back.

    Example: [bold]playhead dead-letters list --topic telemetry --since 1h[/]
    """
    settings = load(os.environ).settings
    chosen = choose(topic, reason, since)
    found = [summary(kept) for kept in _letters(settings, chosen) if driven_back or kept.redriven_ms is None]
    if as_json:
        for row in found:
            print_json(row)
    elif found:
        people.print(letter_table(found))
    if not found:
        notes.print("no dead letters" + (" like these" if topic or reason or since else ""))


@tells_errors
def show(
    place: Annotated[str, typer.Argument(metavar="ORIGIN", help="Where it stood: topic[partition]@offset.")],
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one refused record.

    Example: [bold]playhead dead-letters show 'telemetry[2]@7'[/]
    """
    settings = load(os.environ).settings
    wanted = parse_origin(place)
    found = list(_letters(settings, lambda letter: origin(letter) == wanted))
    if not found:
        raise _missing([wanted])
    for kept in found:
        if as_json:
            print_json(msgspec.to_builtins(kept.letter) | {"redriven_ms": kept.redriven_ms})
        else:
            _tell(kept)


@tells_errors
def redrive(
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ORIGIN]...", help="Where they stood: topic[partition]@offset."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every record that waits.")] = False,
    topic: Topic = "",
    reason: Reason = "",
    since: Since = "",
    again: Annotated[bool, typer.Option("--again", help="Also those that were driven back before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send refused records back to the topics they came from, with key, value and headers as they were.

    A record goes back once: it leaves a receipt, and is passed over from then on unless --again is said.

    Example: [bold]playhead dead-letters redrive --topic telemetry --since 1h --dry-run[/]
    """
    origins = {parse_origin(place) for place in places or ()}
    if not (origins or every or topic or reason or since):
        raise fail("say which: origins, --topic, --reason, --since, or --all", Exit.USAGE)
    settings = load(os.environ).settings
    chosen = choose(topic, reason, since)
    seen: set[str] = set()
    steps: list[bool] = []

    def wanted(letter: DeadLetter) -> bool:
        if (origins and origin(letter) not in origins) or not chosen(letter):
            return False
        seen.add(origin(letter))
        return True

    def pending() -> Iterator[Kept]:
        # What was driven back long ago is passed over in silence, unless it was asked for by name.
        for kept in _letters(settings, wanted):
            if kept.redriven_ms is None or again or origins:
                yield kept

    def told(step: Step) -> None:
        steps.append(step.done)
        if as_json:
            print_json({"origin": origin(step.letter), "done": step.done, "says": step.says})
        else:
            mark = Text("✓ " if step.done else "✗ ", style="green" if step.done else "red")
            people.print(mark + Text(f"{origin(step.letter)} {plain(step.says)}"), soft_wrap=True)

    producer = producer_config(settings)
    dead_letters.redrive(producer, settings.prefix, pending(), told, again=again, dry_run=dry_run)
    done = sum(steps)
    notes.print(f"{done} {'would be ' * dry_run}driven back, {len(steps) - done} not")
    if missing := sorted(origins - seen):
        raise _missing(missing)
    if done < len(steps):
        raise typer.Exit(Exit.FAILED)


def choose(topic: str, reason: str, since: str) -> Callable[[DeadLetter], bool]:
    """Return whether a letter is one of those asked for; an empty text asks for nothing.

    Raises:
        MomentError: `since` is no time.
    """
    since_ms = parse_moment(since, now_ms=_now_ms()) if since else 0
    part = reason.casefold()

    def chosen(letter: DeadLetter) -> bool:
        return (
            (not topic or letter.topic == topic)
            and part in letter.reason.casefold()
            and letter.time_ms >= since_ms
        )

    return chosen


def summary(kept: Kept) -> dict[str, Any]:
    """Return what a script may want to know of a letter, without its bytes."""
    letter = kept.letter
    return {
        "origin": origin(letter),
        "id": letter_id(letter),
        "time_ms": letter.time_ms,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "packed_index": letter.packed_index,
        "agent": letter.agent,
        "reason": letter.reason,
        "first_bytes": first_bytes(letter),
        "redriven_ms": kept.redriven_ms,
    }


def letter_table(found: Iterable[dict[str, Any]]) -> Table:
    """Return letters as people want to see them; those driven back are dim."""
    table = Table(box=None, header_style="bold")
    for heading in ("origin", "age", "agent", "reason", "first bytes"):
        table.add_column(heading, overflow="fold")
    for row in found:
        cells = (row["origin"], age(row["time_ms"]), row["agent"], row["reason"], row["first_bytes"])
        style = "dim" if row["redriven_ms"] is not None else None
        table.add_row(*(Text(plain(cell)) for cell in cells), style=style)
    return table


def age(time_ms: int) -> str:
    """Return how long ago `time_ms` was, in its largest unit."""
    seconds = max(_now_ms() - time_ms, 0) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def first_bytes(letter: DeadLetter) -> str:
    """Return how the value begins, on one line."""
    if letter.value is None:
        return "(no value)"
    return letter.value[:FIRST_BYTES].decode(errors="backslashreplace")


def plain(text: str) -> str:
    """Return `text` without what a terminal would obey: refused bytes may hold anything.

    >>> plain("red \\x1b[31malert")
    'red ·[31malert'
    """
    return "".join(character if character.isprintable() else "·" for character in text)


def hexdump(data: bytes) -> Iterator[str]:
    r"""Yield a line for every 16 bytes: offset, hexadecimal, text.

    >>> list(hexdump(b"play\x00head"))
    ['00000000  70 6c 61 79 00 68 65 61 64                       play·head']
    """
    for at in range(0, len(data), HEX_COLUMNS):
        row = data[at : at + HEX_COLUMNS]
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        yield f"{at:08x}  {row.hex(' '):<{HEX_COLUMNS * 3 - 1}}  {text}"


def _letters(settings: Settings, wanted: Callable[[DeadLetter], bool]) -> Iterator[Kept]:
    def strange(place: str) -> None:
        notes.print(f"[yellow]passed over[/] {place}: it is no dead letter", highlight=False, soft_wrap=True)

    return dead_letters.letters(client_config(settings), settings.prefix, wanted, strange=strange)


def _tell(kept: Kept) -> None:
    letter = kept.letter
    waits = "no" if kept.redriven_ms is None else f"at {iso(kept.redriven_ms)} UTC"
    people.print(Text(origin(letter), style="bold"))
    for label, text in (
        ("refused by", letter.agent),
        ("because", letter.reason),
        ("written", f"{iso(letter.time_ms)} UTC, {age(letter.time_ms)} ago"),
        ("driven back", waits),
        ("event", "" if letter.packed_index is None else f"number {letter.packed_index} of a packed record"),
        ("key", "none" if letter.key is None else letter.key.decode(errors="backslashreplace")),
        *(
            ("header", f"{name} = {value.decode(errors='backslashreplace')}")
            for name, value in letter.headers
        ),
        ("id", letter_id(letter)),
    ):
        if text:
            people.print(Text.assemble((f"  {label:<12}", "dim"), plain(text)), soft_wrap=True)
    value = letter.value
    if value is None:
        people.print(Text("  (no value)", style="dim"))
        return
    whole = "" if letter.value_bytes is None else f" of {letter.value_bytes}, the rest was not kept"
    people.print(Text(f"  {len(value)} bytes{whole}:", style="dim"))
    try:
        lines: Iterable[str] = map(plain, msgspec.json.format(value).decode().splitlines())
    except (msgspec.DecodeError, UnicodeDecodeError):
        lines = hexdump(value)
    for line in lines:
        people.print(JSONHighlighter()(Text(f"  {line}")), soft_wrap=True)


def _missing(origins: list[str]) -> typer.Exit:
    return fail(f"no dead letter of {', '.join(origins)}: `playhead dead-letters list` shows what there is")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
