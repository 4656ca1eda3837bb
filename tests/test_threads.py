"""What runs in several threads decodes with decoders that were made before there were any.

msgspec publishes what it works out of a type before it is complete, and runs Python in between: a second
thread that decodes the same type for the first time reads a null pointer, and the process is gone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
THREADED = ["agents", "models", "playhead/engine", "playhead/gateway", "playhead/notify"]


def decodes_of_own_types(source: str) -> Iterator[int]:
    """Yield the lines that name a class as the type to decode to; builtin types have nothing to work out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".decode", ".convert")):
            for argument in node.keywords:
                names = {each.id for each in ast.walk(argument.value) if isinstance(each, ast.Name)}
                if argument.arg == "type" and any(name.lstrip("_")[0].isupper() for name in names - {"Any"}):
                    yield node.lineno


@pytest.mark.parametrize("package", THREADED)
def test_no_type_is_worked_out_at_the_first_use(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in decodes_of_own_types(path.read_text())
    ]

    assert not found, "make a Decoder beside the class, when the module is imported"


def test_the_search_finds_such_a_line() -> None:
    assert list(decodes_of_own_types("x = 1\nmsgspec.json.decode(data, type=list[_State])")) == [2]
    assert not list(decodes_of_own_types("msgspec.json.decode(data, type=tuple[str, dict[str, Any]])"))
