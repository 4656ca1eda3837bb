"""Whether an expression means anything for the topics asked: a misspelling must not match nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from enum import Enum, IntEnum

from msgspec import inspect

from playhead.where.errors import WhereError
from playhead.where.meaning import PLACE_FIELDS
from playhead.where.syntax import And, Comparison, Expression, Node, Not, Or
from topics.spec import AnySpec

_NUMBERS = (inspect.IntType, inspect.FloatType)


def check(expression: Expression, specs: Sequence[AnySpec]) -> None:
    """Check every field and value of `expression` against the contracts of `specs`.

    Raises:
        WhereError: no topic among them has such a field, or the field cannot have such a value.
    """
    kinds = [inspect.type_info(spec.value) for spec in specs]
    for node in _comparisons(expression.root):
        _check(node, kinds, expression.text, [spec.name for spec in specs])


def _comparisons(node: Node) -> Iterator[Comparison]:
    match node:
        case Or(parts) | And(parts):
            for part in parts:
                yield from _comparisons(part)
        case Not(inner):
            yield from _comparisons(inner)
        case Comparison():
            yield node


def _check(node: Comparison, kinds: Sequence[inspect.Type], text: str, topics: list[str]) -> None:
    if node.path[0] in PLACE_FIELDS:
        if len(node.path) > 1:
            raise WhereError(f"{node.path[0]} has nothing inside", text, node.path_at)
        found = [inspect.type_info(PLACE_FIELDS[node.path[0]])]
    else:
        found = [leaf for kind in kinds for leaf in _reach(kind, node.path)]
    if not found:
        raise WhereError(_unknown(node, kinds, topics), text, node.path_at)
    if not node.operator or node.value.is_null:
        return
    leaves = [leaf for leaf in found if not isinstance(leaf, inspect.StructType | inspect.DictType)]
    if not leaves:
        inside = sorted({name for leaf in found for name in _names(leaf)}) or ["NAME"]
        path = ".".join(node.path)
        raise WhereError(f"{path} has parts: name one of them, as in {path}.{inside[0]}", text, node.path_at)
    problems = [_problem(leaf, node) for leaf in leaves]
    if all(problems):
        raise WhereError(f"{'.'.join(node.path)} {problems[0]}", text, node.value_at)


def _problem(leaf: inspect.Type, node: Comparison) -> str:
    """Return why the leaf's type cannot have the literal's value; nothing if it can."""
    if node.pattern is not None:
        return ""
    value = node.value
    if isinstance(leaf, inspect.EnumType):
        members: type[Enum] = leaf.cls
        names = [str(each.name).lower() if issubclass(members, IntEnum) else each.value for each in members]
        known = value.text.lower() in names if issubclass(members, IntEnum) else value.text in names
        if known or (value.number is not None and issubclass(members, IntEnum)):
            return ""
        return f"is one of {', '.join(names)}, not {value.text}"
    if isinstance(leaf, inspect.BoolType) and value.text not in ("true", "false"):
        return f"is true or false, not {value.text}"
    if isinstance(leaf, _NUMBERS) and value.number is None:
        return f"is a number, not {value}"
    return ""


def _reach(kind: inspect.Type, path: Sequence[str]) -> Iterator[inspect.Type]:
    match kind:
        case inspect.Metadata(type=inner):
            yield from _reach(inner, path)
        case inspect.UnionType(types=several):
            for each in several:
                if not isinstance(each, inspect.NoneType):
                    yield from _reach(each, path)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            yield from _reach(item, path)
        case _ if not path:
            yield kind
        case inspect.DictType(value_type=value):
            yield from _reach(value, path[1:])
        case inspect.StructType(fields=fields):
            for field in fields:
                if field.name == path[0]:
                    yield from _reach(field.type, path[1:])
        case _:
            return


def _names(kind: inspect.Type) -> list[str]:
    return [each.name for each in kind.fields] if isinstance(kind, inspect.StructType) else []


def _unknown(node: Comparison, kinds: Sequence[inspect.Type], topics: list[str]) -> str:
    names = sorted({name for kind in kinds for name in _names(kind)})
    near = get_close_matches(node.path[0], [*names, *PLACE_FIELDS], 1)
    hint = f"; did you mean {near[0]}?" if near and near[0] != node.path[0] else ""
    where = topics[0] if len(topics) == 1 else "none of these topics"
    has = "has no" if len(topics) == 1 else "has a"
    hint = hint or (f"; it has {', '.join(names)}" if len(topics) == 1 else "")
    return f"{where} {has} field {'.'.join(node.path)}{hint}"
