"""`playhead topics`: the contracts, and the broker's topics beside them."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.highlighter import JSONHighlighter
from rich.markup import escape
from rich.table import Table
from rich.text import Text

import topics
from config import load
from playhead.brokers import client_config
from playhead.cli.output import AsJson, Exit, fail, notes, people, print_json, tells_errors
from playhead.topics_admin import TopicsAdmin, Wanted, wanted
from topics import ALL, BY_NAME, AnySpec, Cleanup
from topics.asyncapi import document
from topics.evolution import LOCK_FILE, agreed, changes, lock_of
from topics.examples import examples_of
from topics.notes import notes_of

ToFile = Annotated[
    Path | None, typer.Option("-o", "--output", help="Write to this file, not to standard output.")
]


def register(app: typer.Typer) -> None:
    """Add `topics` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Show the contracts, and make and check their topics.")
    group.command("list")(list_topics)
    group.command("show")(show)
    group.command("create")(create)
    group.command("check")(check)
    group.command("asyncapi")(asyncapi)
    group.command("lock")(lock)
    app.add_typer(group, name="topics")


@tells_errors
def list_topics(as_json: AsJson = False) -> None:
    """List every topic: its key, what it keeps and what it carries.

    Example: [bold]playhead topics list[/]
    """
    if as_json:
        for spec in ALL:
            print_json(summary(spec))
        return
    table = Table(box=None, header_style="bold")
    table.add_column("topic", min_width=max(map(len, BY_NAME)))
    for heading in ("key", "partitions", "keeps", "carries"):
        table.add_column(heading)
    for spec in ALL:
        style = "dim" if spec.internal else None
        table.add_row(spec.name, spec.key, str(spec.partitions), keeps(spec), spec.describes, style=style)
    people.print(table)


@tells_errors
def show(
    name: Annotated[
        str, typer.Argument(help="The topic, without prefix.", autocompletion=lambda: [*BY_NAME])
    ],
    as_json: AsJson = False,
) -> None:
    """Show one contract: who writes and reads it, its fields, and an example to copy.

    Example: [bold]playhead topics show playback[/]
    """
    spec = named(name)
    examples = examples_of(spec)
    if as_json:
        packed = {} if spec.packed is None else {"packed": msgspec.json.schema(spec.packed)}
        print_json(summary(spec) | {"schema": msgspec.json.schema(spec.value), "examples": examples} | packed)
        return
    people.print(f"[bold]{spec.name}[/]  {escape(spec.describes)}")
    for label, text in (
        ("key", spec.key),
        ("written by", ", ".join(spec.producers)),
        ("read by", ", ".join(spec.consumers)),
        ("partitions", str(spec.partitions)),
        ("keeps", keeps(spec)),
        ("largest", f"{spec.max_bytes:,} bytes"),
        ("encoding", encoding(spec)),
    ):
        people.print(f"  [dim]{label:<11}[/]{escape(text)}")
    people.print()
    people.print(field_table(spec))
    people.print()
    for line in msgspec.json.format(msgspec.json.encode(examples[0])).decode().splitlines():
        people.print(JSONHighlighter()(Text(line)), soft_wrap=True)


@tells_errors
def create(
    align: Annotated[
        bool,
        typer.Option(
            "--align", help="Also set cleanup, retention and size of topics that are there already."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the topics of all contracts that the broker lacks, with the prefix that is set.

    Example: [bold]PLAYHEAD_PREFIX=trial. playhead topics create[/]
    """
    admin, all_topics = _admin()
    made = admin.create(all_topics)
    mended = admin.align(all_topics) if align else []
    left = admin.check(all_topics)
    if as_json:
        print_json({"created": made, "aligned": mended, "differences": left})
        return
    for name in made:
        people.print(f"[green]created[/]  {name}")
    for difference in mended:
        people.print(f"[green]set[/]      {difference.topic}: {difference.what} = {difference.wanted}")
    there = len(all_topics) - len(made)
    notes.print(f"{len(made)} topics created, {there} were there already")
    for difference in left:
        notes.print(f"[yellow]differs[/]  {escape(str(difference))}", highlight=False, soft_wrap=True)


@tells_errors
def check(as_json: AsJson = False) -> None:
    """Check that the broker's topics agree with the contracts; exit code 1 if one does not.

    Example: [bold]playhead topics check[/]
    """
    admin, all_topics = _admin()
    differences = admin.check(all_topics)
    if as_json:
        for difference in differences:
            print_json(difference)
    else:
        for difference in differences:
            people.print(f"[red]differs[/]  {escape(str(difference))}", highlight=False, soft_wrap=True)
        if not differences:
            people.print(f"[green]{len(all_topics)} topics agree with their contracts[/]")
    if differences:
        raise typer.Exit(Exit.FAILED)


@tells_errors
def asyncapi(output: ToFile = None) -> None:
    """Write the contracts as an AsyncAPI 3.0 document, in JSON.

    Example: [bold]playhead topics asyncapi -o docs/asyncapi.json[/]
    """
    described = document(
        ALL, lambda spec, packed: examples_of(spec, packed=packed), metadata.version("playhead")
    )
    _write(output, described)


@tells_errors
def lock(
    accept_breaking: Annotated[
        bool, typer.Option(help="Write the lock although records or readers of the old contracts will break.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Agree on the contracts as they are now: write the lock that later changes are held against.

    A change that breaks records already written, or their readers, is refused.

    Example: [bold]playhead topics lock[/]
    """
    new = lock_of(ALL)
    found = changes(agreed(), new)
    for change in found:
        if as_json:
            print_json(change)
        else:
            style = "red]breaks " if change.breaking else "green]adds   "
            people.print(f"[{style}[/] {escape(str(change))}", highlight=False, soft_wrap=True)
    if any(change.breaking for change in found) and not accept_breaking:
        raise fail("the lock was not written: keep what was agreed on, or say --accept-breaking")
    _write(Path(topics.__file__).parent / LOCK_FILE, new)
    notes.print(f"{len(found)} changes; the lock agrees with the contracts")


def named(name: str) -> AnySpec:
    """Return the contract of topic `name`, or end the command saying which there are."""
    spec = BY_NAME.get(name)
    if spec is None:
        raise fail(f"there is no topic {name!r}; there are {', '.join(BY_NAME)}", Exit.USAGE)
    return spec


def summary(spec: AnySpec) -> dict[str, Any]:
    """Return what a script may want to know of a contract."""
    return {
        "name": spec.name,
        "key": spec.key,
        "partitions": spec.partitions,
        "cleanup": spec.cleanup,
        "retention_hours": spec.retention_hours if spec.cleanup is Cleanup.DELETE else None,
        "max_bytes": spec.max_bytes,
        "encoding": encoding(spec),
        "internal": spec.internal,
        "describes": spec.describes,
        "producers": spec.producers,
        "consumers": spec.consumers,
    }


def keeps(spec: AnySpec) -> str:
    """Return how long records stay, as people say it."""
    if spec.cleanup is Cleanup.COMPACT:
        return "newest per key"
    days, hours = divmod(spec.retention_hours, 24)
    return f"{spec.retention_hours} h" if hours or days == 1 else f"{days} days"


def encoding(spec: AnySpec) -> str:
    """Return how values are written."""
    plain = "MessagePack" if spec.binary else "JSON"
    return plain if spec.packed is None else f"{plain}; also many events to a record, as columns"


def field_table(spec: AnySpec) -> Table:
    """Return the fields of a contract's records: type, bounds, default, meaning."""
    schema = msgspec.json.schema(spec.value)
    record = schema["$defs"][spec.value.__name__]
    said = notes_of(spec.value)
    table = Table("field", "type", "default", "meaning", box=None, header_style="bold")
    for name, field in record["properties"].items():
        required = name in record["required"]
        default = "required" if required else msgspec.json.encode(field.get("default")).decode()
        meaning = said.get(name, field.get("description", ""))
        style = "bold" if required else None
        table.add_row(
            name, escape(type_words(field, schema["$defs"])), escape(default), escape(meaning), style=style
        )
    return table


def type_words(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a field's type and bounds in a few words.

    >>> type_words({"type": "number", "minimum": 0, "maximum": 1}, {})
    'number, 0 to 1'
    >>> type_words({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]}, {})
    'integer, at least 0, or null'
    """
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        values = definitions[name].get("enum")
        return name if values is None else " | ".join(str(value) for value in values)
    if "anyOf" in field:
        return ", or ".join(type_words(choice, definitions) for choice in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {type_words(field['items'], definitions)}" if field.get("items") else "list"
    if field.get("type") == "object":
        return f"map to {type_words(field['additionalProperties'], definitions)}"
    words = "bytes, in base64" if field.get("contentEncoding") else field.get("type", "anything")
    return words + bounds_words(field)


def bounds_words(field: dict[str, Any]) -> str:
    """Return the bounds of a number or a text, as they follow its type."""
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    if low is not None:
        return f", at least {low}"
    if "exclusiveMinimum" in field:
        return f", over {field['exclusiveMinimum']}"
    if "maxLength" in field:
        return f", {field.get('minLength', 0)} to {field['maxLength']} characters"
    return ""


def _admin() -> tuple[TopicsAdmin, list[Wanted]]:
    settings = load(os.environ).settings
    admin = TopicsAdmin(client_config(settings), settings.engine.replication_factor)
    return admin, wanted(ALL, settings.prefix)


def _write(path: Path | None, value: Any) -> None:
    text = msgspec.json.format(msgspec.json.encode(value)) + b"\n"
    if path is None:
        people.file.write(text.decode())
        return
    try:
        path.write_bytes(text)
    except OSError as error:
        raise fail(f"{path}: cannot be written ({error.strerror})", Exit.UNAVAILABLE) from error
