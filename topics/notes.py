"""The words that stand under a record's fields in its module, for documents and tables about it."""

from __future__ import annotations

import ast
import inspect
from textwrap import dedent

import msgspec


def notes_of(record: type[msgspec.Struct]) -> dict[str, str]:
    """Return the note of each field of `record` that has one, inherited fields included.

    >>> from topics.cdn import NodeReport
    >>> notes_of(NodeReport)["load"]
    'Share of `capacity_gbps` in use.'
    """
    notes: dict[str, str] = {}
    for parent in record.__bases__:
        if issubclass(parent, msgspec.Struct) and parent is not msgspec.Struct:
            notes |= notes_of(parent)
    (definition,) = ast.parse(dedent(inspect.getsource(record))).body
    if not isinstance(definition, ast.ClassDef):
        return notes
    for field, note in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = _text(note)
            if text is not None:
                notes[field.target.id] = " ".join(text.split())
    return notes


def _text(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        value = statement.value.value
        return value if isinstance(value, str) else None
    return None
