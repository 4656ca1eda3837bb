"""Which changes of a contract break records or readers, and which do not."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest

from topics import Cleanup, TopicSpec
from topics.evolution import changes, lock_of
from topics.fields import Record


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class FewerColours(StrEnum):
    RED = "red"


class MoreColours(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    name: str = ""


class Longer(Part, frozen=True, kw_only=True):
    length: int = 0


class Shorter(msgspec.Struct, frozen=True, kw_only=True):
    size: int


def record(**fields: Any) -> type[Record]:
    """Return a record type; a field is its type, or its type and default."""
    stated = [(name, *(at if isinstance(at, tuple) else (at,))) for name, at in fields.items()]
    return msgspec.defstruct("Thing", stated, bases=(Record,), frozen=True, kw_only=True)


def spec_of(value: type[Any], **contract: Any) -> TopicSpec[Any]:
    return TopicSpec(
        **{
            "name": "things",
            "key": "thing",
            "value": value,
            "key_of": lambda thing: thing.id,
            "describes": "Things.",
            "producers": ("a",),
            "consumers": ("b",),
        }
        | contract
    )


def found(old: TopicSpec[Any], new: TopicSpec[Any]) -> list[tuple[str, bool]]:
    return [(str(change), change.breaking) for change in changes(lock_of([old]), lock_of([new]))]


PLAIN = record(size=int)

BREAKING = {
    "a removed field": (record(size=int, name=(str, "")), PLAIN, "things.name: the field was removed"),
    "a new field without default": (
        PLAIN,
        record(size=int, name=str),
        "things.name: the new field has no default: older records lack it",
    ),
    "a field that became required": (
        record(size=(int, 0)),
        PLAIN,
        "things.size: the field became required: older records may lack it",
    ),
    "a changed default": (
        record(share=(float, 1.0)),
        record(share=(float, 0.5)),
        "things.share: the default changed from 1.0 to 0.5: older records come to mean another thing",
    ),
    "another type": (
        record(size=int),
        record(size=str),
        "things.size: the type changed: integer is no longer taken, string expected",
    ),
    "a number narrowed to whole ones": (
        record(size=float),
        record(size=int),
        "things.size: the type changed: number is no longer taken, integer expected",
    ),
    "null no longer taken": (
        record(size=int | None),
        record(size=int),
        "things.size: the type changed: null is no longer taken, integer expected",
    ),
    "a raised lower bound": (
        record(size=Annotated[int, msgspec.Meta(ge=0)]),
        record(size=Annotated[int, msgspec.Meta(ge=5)]),
        "things.size: minimum narrowed from 0 to 5",
    ),
    "a bound that became exclusive": (
        record(size=Annotated[float, msgspec.Meta(ge=0)]),
        record(size=Annotated[float, msgspec.Meta(gt=0)]),
        "things.size: minimum narrowed from 0 to beyond 0",
    ),
    "a lowered upper bound": (
        record(size=Annotated[int, msgspec.Meta(le=9)]),
        record(size=Annotated[int, msgspec.Meta(le=5)]),
        "things.size: maximum narrowed from 9 to 5",
    ),
    "a new bound": (
        record(name=str),
        record(name=Annotated[str, msgspec.Meta(max_length=5)]),
        "things.name: maxLength narrowed from none to 5",
    ),
    "a new pattern": (
        record(name=str),
        record(name=Annotated[str, msgspec.Meta(pattern="^a")]),
        "things.name: pattern changed from None to ^a",
    ),
    "bytes that became text": (
        record(data=bytes),
        record(data=str),
        "things.data: contentEncoding changed from base64 to None",
    ),
    "a removed enum value": (
        record(colour=Colour),
        record(colour=FewerColours),
        "things.colour: the value 'blue' was removed",
    ),
    "a field removed inside a list": (
        record(parts=list[Part]),
        record(parts=list[Shorter]),
        "things.parts[].name: the field was removed",
    ),
    "a type changed inside a map": (
        record(sizes=dict[str, int]),
        record(sizes=dict[str, str]),
        "things.sizes{}: the type changed: integer is no longer taken, string expected",
    ),
    "a type changed inside a tuple": (
        record(pairs=list[tuple[str, int]]),
        record(pairs=list[tuple[str, str]]),
        "things.pairs[][1]: the type changed: integer is no longer taken, string expected",
    ),
    "a longer tuple": (
        record(pairs=list[tuple[str, int]]),
        record(pairs=list[tuple[str, int, int]]),
        "things.pairs[]: the number of items changed from 2 to 3",
    ),
}

HARMLESS = {
    "a new field with a default": (PLAIN, record(size=int, name=(str, ""))),
    "a field that became optional": (PLAIN, record(size=(int, 0))),
    "whole numbers widened to all": (record(size=int), record(size=float)),
    "null taken too": (record(size=int), record(size=int | None)),
    "a lowered lower bound": (
        record(size=Annotated[int, msgspec.Meta(ge=5)]),
        record(size=Annotated[int, msgspec.Meta(ge=0)]),
    ),
    "an exclusive bound that takes its end in": (
        record(size=Annotated[float, msgspec.Meta(gt=0)]),
        record(size=Annotated[float, msgspec.Meta(ge=0)]),
    ),
    "a bound taken away": (record(name=Annotated[str, msgspec.Meta(max_length=5)]), record(name=str)),
    "a new enum value": (record(colour=Colour), record(colour=MoreColours)),
    "an enum widened to any text": (record(colour=Colour), record(colour=str)),
    "a field added inside a list": (record(parts=list[Part]), record(parts=list[Longer])),
    "a default whose record has grown": (
        record(part=(Part, Part(size=1))),
        record(part=(Longer, Longer(size=1))),
    ),
}


@pytest.mark.parametrize(("old", "new", "says"), BREAKING.values(), ids=BREAKING)
def test_it_breaks_and_names_field_and_rule(old: type[Record], new: type[Record], says: str) -> None:
    assert (says, True) in found(spec_of(old), spec_of(new))


@pytest.mark.parametrize(("old", "new"), HARMLESS.values(), ids=HARMLESS)
def test_it_breaks_nothing_but_makes_the_lock_stale(old: type[Record], new: type[Record]) -> None:
    differences = found(spec_of(old), spec_of(new))

    assert differences
    assert not any(breaking for _, breaking in differences)


@pytest.mark.parametrize(
    ("old", "new", "says", "breaking"),
    [
        ({"key": "thing"}, {"key": "owner"}, "the key's meaning changed from 'thing' to 'owner'", True),
        ({"partitions": 4}, {"partitions": 2}, "partitions lowered from 4 to 2", True),
        ({"partitions": 4}, {"partitions": 8}, "partitions raised from 4 to 8", False),
        ({"max_bytes": 900}, {"max_bytes": 800}, "max_bytes lowered from 900 to 800", True),
        ({"retention_hours": 9}, {"retention_hours": 3}, "retention_hours lowered from 9 to 3", False),
        ({}, {"cleanup": Cleanup.COMPACT}, "the cleanup changed from 'delete' to 'compact'", True),
        ({}, {"binary": True}, "the encoding changed from 'json' to 'msgpack'", True),
        ({"packed": Part}, {}, "packed records were removed", True),
        ({}, {"packed": Part}, "packed records are new", False),
    ],
)
def test_a_change_of_the_topic_itself_is_told(
    old: dict[str, Any], new: dict[str, Any], says: str, breaking: bool
) -> None:
    assert found(spec_of(PLAIN, **old), spec_of(PLAIN, **new)) == [(f"things: {says}", breaking)]


def test_a_change_inside_a_packed_record_is_told() -> None:
    assert found(spec_of(PLAIN, packed=Part), spec_of(PLAIN, packed=Shorter)) == [
        ("things (packed).name: the field was removed", True)
    ]


def test_a_removed_topic_breaks_and_a_new_one_does_not() -> None:
    one, other = spec_of(PLAIN), spec_of(PLAIN, name="others")

    assert found(one, other) == [
        ("things: the topic was removed", True),
        ("others: the topic is new", False),
    ]


def test_nothing_changes_where_only_words_do() -> None:
    def described(words: str) -> type[Record]:
        return record(size=Annotated[int, msgspec.Meta(description=words, title=words)])

    old, new = spec_of(described("old"), describes="Old."), spec_of(described("new"), describes="New.")

    assert found(old, new) == []


def test_a_field_may_be_called_as_a_word_of_the_schema_is() -> None:
    old, new = record(title=str, description=str), record(title=str)

    assert found(spec_of(old), spec_of(new)) == [("things.description: the field was removed", True)]
